// Matmuls on the CPU, cut into the tiles of parallel.h so that an epilogue finds its tile in cache: of float32 and
// float64 by our own tiles (matmul.h), of bfloat16 by oneDNN's brgemm.
#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "matmul.h"
#include "parallel.h"

namespace stackae::cpu {

// Whether there is a matmul of bfloat16 on this processor.
bool brgemm_serves();

// Whether a b for a (m, k), b (k, n) is to be computed in tiles: copying a transposed b costs as much time as few rows
// take, where a library reads it as it lies.
bool tiles_pay(const at::Tensor& a, const at::Tensor& b);

// c (m, n) = a b, or += with `add`; a (m, k), b (k, n), k even, and b in pairs of rows (operand.h), its stride counted
// in pairs' columns. Nothing is allocated.
void brgemm_block(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda, const c10::BFloat16* b,
                  int64_t ldb, float* c, int64_t ldc, bool add);

// The matrix as a factor: in rows, or columns, that lie anywhere.
template <typename T>
Factor<T> factor_of(const at::Tensor& t) {
  const bool transposed = t.size(1) > 1 && t.stride(1) != 1;
  return {t.const_data_ptr<T>(), t.stride(transposed ? 1 : 0), transposed};
}

// t, or a copy that is a factor.
at::Tensor as_factor(const at::Tensor& t);

// out = a b; body(tile) for each tile of it, while that is in cache.
template <typename T, typename Body>
void multiply_in_tiles(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, Body body) {
  constexpr int64_t most_tiles = 8;
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1), ld = out.stride(0);
  const Factor<T> left = factor_of<T>(a), right = factor_of<T>(b);
  T* const to = out.mutable_data_ptr<T>();
  for_each_group<OpThreads>(m, n, k, most_tiles, [&](const Tile& first, const Tile& last) {
    const auto room = std::make_unique_for_overwrite<Room<T>>();
    multiply(last.row_end - first.row_begin, first.column_end - first.column_begin, k, left.from(first.row_begin, 0),
             right.from(0, first.column_begin), to + first.row_begin * ld + first.column_begin, ld, /*add=*/false,
             *room);
    for (int64_t block = first.row_block; block <= last.row_block; ++block) body(tile_at(m, n, block, first.stripe));
  });
}

// out = a b and nothing else, in tiles: a lower bound of a step's time. a (m, k) and b (k, n) or their transposes, and
// out (m, n), in row-major order, float32 or float64; or of bfloat16, all contiguous, with b (k / 2, n, 2) and out
// float32.
void bare_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out);

// a b for a (m, k), b (k, n) of any strides.
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

}  // namespace stackae::cpu
