// Matmuls on the CPU, cut into the tiles of parallel.h so that an epilogue finds its tile in cache: of float32 and
// float64 by our own tiles (matmul.h), of bfloat16 by oneDNN's brgemm.
#pragma once

#include <ATen/core/Tensor.h>

#include "matmul.h"
#include "parallel.h"

namespace stackae::cpu {

// Whether there is a matmul of bfloat16 on this processor.
bool brgemm_serves();

// Whether a b for a (m, k), b (k, n) is to be computed in tiles: they read b in row-major order, and copying a
// transposed b costs as much time as about twenty rows of a save.
bool tiles_pay(const at::Tensor& a, const at::Tensor& b);

// c (m, n) = a b, or += with `add`; a (m, k), b (k, n), k even, and b in pairs of rows (operand.h), its stride counted
// in pairs' columns. Nothing is allocated.
void brgemm_block(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda, const c10::BFloat16* b,
                  int64_t ldb, float* c, int64_t ldc, bool add);

// The tile of a b into out; a (m, k), b (k, n) and out (m, n) with their row strides.
template <typename T>
void multiply_tile(Left<T> a, const T* b, int64_t ldb, T* out, int64_t ld, int64_t k, const Tile& tile) {
  multiply(tile.row_end - tile.row_begin, tile.column_end - tile.column_begin, k, a.from(tile.row_begin, 0),
           b + tile.column_begin, ldb, out + tile.row_begin * ld + tile.column_begin, ld, /*add=*/false);
}

// t (rows, columns) in row-major order: itself where it already is, else a copy. A transposed view is copied block by
// block on all threads, where ATen copies it on one.
at::Tensor row_major(const at::Tensor& t);

// out = a b and nothing else, in tiles: a lower bound of a step's time. a (m, k) or its transpose, b (k, n) and out
// (m, n) in row-major order, float32 or float64; or of bfloat16, all contiguous, with b (k / 2, n, 2) and out float32.
void bare_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out);

// a b for a (m, k), b (k, n) of any strides.
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

}  // namespace stackae::cpu
