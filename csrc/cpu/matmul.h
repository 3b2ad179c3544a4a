// Matmuls of our own, by tiles that stay in registers; any strides between rows, any sizes, nothing allocated.
//
// An entry of the result is a sum over k in order, whatever tile it lies in: the same bits however a matmul is cut.
#pragma once

#include <cstdint>

namespace stackae::cpu {

// A matrix in row-major order, or the transpose of one.
template <typename T>
struct Factor {
  const T* data;
  int64_t ld;
  bool transposed;

  const T* at(int64_t row, int64_t column) const { return data + (transposed ? column * ld + row : row * ld + column); }
  Factor from(int64_t row, int64_t column) const { return {at(row, column), ld, transposed}; }
};

// Room for a part of a right factor, copied in the order in which its numbers are read; at the start of a cache line.
constexpr int64_t deepest_part = 256, widest_part = 256;
template <typename T>
struct Room {
  alignas(64) T part[deepest_part * widest_part];
};

// c (m, n) = a b, or += with `add`; a (m, k), b (k, n), c in row-major order.
void multiply(int64_t m, int64_t n, int64_t k, Factor<float> a, Factor<float> b, float* c, int64_t ldc, bool add,
              Room<float>& room);
void multiply(int64_t m, int64_t n, int64_t k, Factor<double> a, Factor<double> b, double* c, int64_t ldc, bool add,
              Room<double>& room);

}  // namespace stackae::cpu
