// Matrix products on the CPU, cut into the tiles of parallel.h so that an epilogue finds its tile in cache.
//
// Two libraries are at hand: MKL, through ATen, and oneDNN's brgemm. MKL leaves AMD's AVX-512 units unused: on Zen 5
// brgemm is 2.2 times as fast (benchmarks/ops.py). The choice follows from the processor alone, never from a clock,
// so that a restarted run gives the same bits. STACKAE_PRODUCTS=aten in the environment refuses brgemm.
#pragma once

#include <ATen/core/Tensor.h>

#include "parallel.h"

namespace stackae {

// Whether brgemm computes products of this type on this processor.
bool brgemm_serves(at::ScalarType type);

// Whether brgemm is to compute a b for a (m, k), b (k, n): it wants b in row-major order, and a copy of a transposed b
// costs what about twenty rows of a save.
bool brgemm_pays(const at::Tensor& a, const at::Tensor& b);

// The tile of a b into out; a (m, k), b (k, n), out (m, n), float32, row-major, none of them empty.
void brgemm_tile(const float* a, const float* b, float* out, int64_t k, int64_t n, const Tile& tile);

// t (rows, columns), float32, in row-major order: itself where it already is, else a copy. A transposed view is copied
// block by block on all threads, where ATen copies it on one.
at::Tensor row_major(const at::Tensor& t);

// a b for a (m, k), b (k, n) of any strides.
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

}  // namespace stackae
