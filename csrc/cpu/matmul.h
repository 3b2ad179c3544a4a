// Matmuls of our own, by tiles that stay in registers; any strides between rows, any sizes, nothing allocated.
//
// An entry of the result is a sum over k in order, whatever tile it lies in: the same bits however a matmul is cut.
#pragma once

#include <cstdint>

namespace stackae::cpu {

// a (m, k) in row-major order, or a^T so.
template <typename T>
struct Left {
  const T* data;
  int64_t ld;
  bool transposed;

  const T* at(int64_t row, int64_t column) const { return data + (transposed ? column * ld + row : row * ld + column); }
  Left from(int64_t row, int64_t column) const { return {at(row, column), ld, transposed}; }
};

// c (m, n) = a b, or += with `add`; b (k, n) and c in row-major order.
void multiply(int64_t m, int64_t n, int64_t k, Left<float> a, const float* b, int64_t ldb, float* c, int64_t ldc,
              bool add);
void multiply(int64_t m, int64_t n, int64_t k, Left<double> a, const double* b, int64_t ldb, double* c, int64_t ldc,
              bool add);

}  // namespace stackae::cpu
