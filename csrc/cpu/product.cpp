// See product.h. Not an op itself: the ops of this folder call it.
#include "product.h"

#include <array>
#include <cstdlib>
#include <string_view>

#include <ATen/native/CPUBlas.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

namespace stackae::cpu {
namespace {

constexpr int64_t fewest_rows = 32;
constexpr int64_t depth_at_once = 1024;  // rows of b that a tile reads before it goes on: 1 MB of a 256-wide panel

template <typename O>
void in_depths(int64_t m, int64_t n, int64_t k, const O* a, int64_t lda, const O* b, int64_t ldb, float* c, int64_t ldc,
               bool add, bool is_vnni) {
  for (int64_t begin = 0; begin < k; begin += depth_at_once)
    at::native::cpublas::brgemm(m, n, std::min(depth_at_once, k - begin), lda, ldb, ldc, add || begin > 0, a + begin,
                                b + begin * ldb, c, is_vnni);
  at::native::cpublas::brgemm_release(is_vnni);
}

template <typename T>
at::Tensor view(const T* data, int64_t rows, int64_t columns, int64_t ld, bool transposed) {
  const std::array<int64_t, 2> strides = {transposed ? 1 : ld, transposed ? ld : 1};
  return at::from_blob(const_cast<T*>(data), {rows, columns}, strides, at::dtype(c10::CppTypeToScalarType<T>::value));
}

template <typename T>
void multiply(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, bool a_transposed, const T* b, int64_t ldb,
              bool b_transposed, T* c, int64_t ldc, bool add) {
  at::Tensor out = view(c, m, n, ldc, false);
  const at::Tensor left = view(a, m, k, lda, a_transposed), right = view(b, k, n, ldb, b_transposed);
  if (add)
    at::addmm_out(out, out, left, right);
  else
    at::mm_out(out, left, right);
}

bool brgemm_refused() {
  const char* const wish = std::getenv("STACKAE_PRODUCTS");
  return wish != nullptr && std::string_view(wish) == "aten";
}

// A right result: not every build of torch has the path.
template <typename O>
bool brgemm_computes() {
  const O a[] = {2, 4}, b[] = {3, 5};
  float out = 0;
  try {
    brgemm_block(1, 1, 2, a, 2, b, 1, &out, 1, /*add=*/false);
  } catch (const c10::Error&) {
    return false;
  }
  return out == 26;
}

bool probe_brgemm() {
#if defined(__x86_64__) && defined(__GNUC__) && defined(CPUBLAS_BRGEMM_F32F32F32)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f") && brgemm_computes<float>();
#else
  return false;
#endif
}

bool probe_half_brgemm() {
#if defined(__x86_64__) && defined(__GNUC__) && defined(CPUBLAS_BRGEMM_BF16BF16F32)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && brgemm_computes<c10::BFloat16>();  // amx_bf16 comes with it
#else
  return false;
#endif
}

}  // namespace

bool brgemm_serves(at::ScalarType type) {
  static const bool available = !brgemm_refused() && probe_brgemm();
  static const bool half_available = !brgemm_refused() && probe_half_brgemm();
  return type == at::kFloat ? available : type == at::kBFloat16 && half_available;
}

bool brgemm_pays(const at::Tensor& a, const at::Tensor& b) {
  const bool empty = a.numel() == 0 || b.numel() == 0;
  return a.scalar_type() == at::kFloat && brgemm_serves(at::kFloat) && !empty &&
         (b.is_contiguous() || a.size(0) >= fewest_rows);
}

void brgemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                  int64_t ldc, bool add) {
  in_depths(m, n, k, a, lda, b, ldb, c, ldc, add, /*is_vnni=*/false);
}

void brgemm_block(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda, const c10::BFloat16* b,
                  int64_t ldb, float* c, int64_t ldc, bool add) {
  in_depths(m, n, k, a, lda, b, ldb, c, ldc, add, /*is_vnni=*/true);
}

void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, bool a_transposed, const float* b, int64_t ldb,
          bool b_transposed, float* c, int64_t ldc, bool add) {
  multiply(m, n, k, a, lda, a_transposed, b, ldb, b_transposed, c, ldc, add);
}

void gemm(int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, bool a_transposed, const double* b,
          int64_t ldb, bool b_transposed, double* c, int64_t ldc, bool add) {
  multiply(m, n, k, a, lda, a_transposed, b, ldb, b_transposed, c, ldc, add);
}

void brgemm_tile(const float* a, const float* b, float* out, int64_t k, int64_t n, const Tile& tile) {
  brgemm_block(tile.row_end - tile.row_begin, tile.column_end - tile.column_begin, k, a + tile.row_begin * k, k,
               b + tile.column_begin, n, out + tile.row_begin * n + tile.column_begin, n, /*add=*/false);
}

at::Tensor row_major(const at::Tensor& t) {
  if (t.is_contiguous() || !t.t().is_contiguous()) return t.contiguous();
  const int64_t rows = t.size(0), columns = t.size(1);
  at::Tensor out = at::empty({rows, columns}, t.options());
  const auto* const from = t.const_data_ptr<float>();
  auto* const to = out.mutable_data_ptr<float>();
  constexpr int64_t block = 16;  // a block's rows and columns both stay in L1
  for_each_tile(rows, columns, 1, [=](const Tile& tile) {
    for (int64_t j0 = tile.column_begin; j0 < tile.column_end; j0 += block)
      for (int64_t i = tile.row_begin; i < tile.row_end; ++i)
        for (int64_t j = j0; j < std::min(j0 + block, tile.column_end); ++j) to[i * columns + j] = from[j * rows + i];
  });
  return out;
}

void bare_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const bool half = a.scalar_type() == at::kBFloat16;
  TORCH_CHECK_VALUE(a.is_contiguous() && b.is_contiguous() && out.is_contiguous() && out.scalar_type() == at::kFloat,
                    "bare_product: expected contiguous factors and a contiguous float32 result");
  TORCH_CHECK_VALUE(b.scalar_type() == a.scalar_type() && b.size(0) == (half ? k / 2 : k) && out.size(0) == m &&
                        out.size(1) == n && b.numel() == k * n && brgemm_serves(a.scalar_type()),
                    "bare_product: expected (m, k), (k, n) or (k / 2, n, 2), (m, n) of a type that brgemm serves, got ",
                    a.sizes(), ", ", b.sizes(), ", ", out.sizes(), " ", a.scalar_type());
  auto* const to = out.mutable_data_ptr<float>();
  for_each_tile(m, n, k, [&](const Tile& tile) {
    const int64_t rows = tile.row_end - tile.row_begin, columns = tile.column_end - tile.column_begin;
    float* const c = to + tile.row_begin * n + tile.column_begin;
    if (half)
      brgemm_block(rows, columns, k, a.const_data_ptr<c10::BFloat16>() + tile.row_begin * k, k,
                   b.const_data_ptr<c10::BFloat16>() + 2 * tile.column_begin, n, c, n, /*add=*/false);
    else
      brgemm_block(rows, columns, k, a.const_data_ptr<float>() + tile.row_begin * k, k,
                   b.const_data_ptr<float>() + tile.column_begin, n, c, n, /*add=*/false);
  });
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  if (!brgemm_pays(a, b)) return at::mm(a, b);
  const at::Tensor a_rows = row_major(a), b_rows = row_major(b);
  at::Tensor out = at::empty({m, n}, a.options());
  const auto *const a_data = a_rows.const_data_ptr<float>(), *const b_data = b_rows.const_data_ptr<float>();
  auto* const out_data = out.mutable_data_ptr<float>();
  for_each_tile(m, n, k, [&](const Tile& tile) { brgemm_tile(a_data, b_data, out_data, k, n, tile); });
  return out;
}

}  // namespace stackae::cpu
