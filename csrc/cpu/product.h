// Matmuls on the CPU, cut into the tiles of parallel.h so that an epilogue finds its tile in cache.
//
// There are two libraries: MKL, through ATen, and oneDNN's brgemm. MKL leaves AMD's AVX-512 units unused: on Zen 5
// brgemm is 2.2 times as fast (benchmarks/ops.py). The choice follows from the processor alone, never from a clock,
// so that a restarted run gives the same bits. STACKAE_PRODUCTS=aten in the environment refuses brgemm.
#pragma once

#include <ATen/core/Tensor.h>

#include "parallel.h"

namespace stackae::cpu {

// Whether brgemm computes matmuls of this type on this processor.
bool brgemm_serves(at::ScalarType type);

// Whether brgemm is to compute a b for a (m, k), b (k, n): it reads b in row-major order, and copying a transposed b
// costs as much time as about twenty rows of a save.
bool brgemm_pays(const at::Tensor& a, const at::Tensor& b);

// c (m, n) = a b, or += with `add`; a (m, k), b (k, n), each with its row stride. For bfloat16, k is even and b in
// pairs of rows (operand.h), its stride counted in pairs' columns. Nothing is allocated.
void brgemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                  int64_t ldc, bool add);
void brgemm_block(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda, const c10::BFloat16* b,
                  int64_t ldb, float* c, int64_t ldc, bool add);

// The same by ATen's library, each factor as it lies or transposed, on all threads; no storage is allocated.
void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, bool a_transposed, const float* b, int64_t ldb,
          bool b_transposed, float* c, int64_t ldc, bool add);
void gemm(int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, bool a_transposed, const double* b,
          int64_t ldb, bool b_transposed, double* c, int64_t ldc, bool add);

// The tile of a b into out; a (m, k), b (k, n), out (m, n), float32, row-major, none of them empty.
void brgemm_tile(const float* a, const float* b, float* out, int64_t k, int64_t n, const Tile& tile);

// t (rows, columns), float32, in row-major order: itself where it already is, else a copy. A transposed view is copied
// block by block on all threads, where ATen copies it on one.
at::Tensor row_major(const at::Tensor& t);

// out = a b and nothing else, in tiles by brgemm: a lower bound of a step's time. a (m, k), b (k, n) or, for bfloat16,
// (k / 2, n, 2), out (m, n) float32; all contiguous.
void bare_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out);

// a b for a (m, k), b (k, n) of any strides.
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

}  // namespace stackae::cpu
