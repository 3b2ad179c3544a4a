// See product.h. Not an op itself: the ops of this folder call it.
#include "product.h"

#include <ATen/native/CPUBlas.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "operand.h"

namespace stackae::cpu {
namespace {

constexpr int64_t fewest_rows = 32;
constexpr int64_t depth_at_once = 1024;  // rows of b that brgemm reads before it goes on

// A right result: not every build of torch has the path.
bool brgemm_computes() {
  const c10::BFloat16 a[] = {2, 4}, b[] = {3, 5};
  float out = 0;
  try {
    brgemm_block(1, 1, 2, a, 2, b, 1, &out, 1, /*add=*/false);
  } catch (const c10::Error&) {
    return false;
  }
  return out == 26;
}

bool probe_brgemm() {
#if defined(__x86_64__) && defined(__GNUC__) && defined(CPUBLAS_BRGEMM_BF16BF16F32)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && brgemm_computes();  // amx_bf16 comes with it
#else
  return false;
#endif
}

// Calls body with a number of the type of the tensor, which is float32 or float64.
template <typename Body>
void with_own_type(const at::Tensor& t, Body body) {
  if (t.scalar_type() == at::kFloat)
    body(float());
  else
    body(double());
}

bool is_own_type(const at::Tensor& t) { return t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble; }

// Whether the numbers of each row lie side by side, wherever the rows lie.
bool in_rows(const at::Tensor& t) { return t.size(1) < 2 || t.stride(1) == 1; }
bool is_factor(const at::Tensor& t) { return in_rows(t) || in_rows(t.t()); }

void multiply_halves(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const auto *const left = a.const_data_ptr<c10::BFloat16>(), *const right = b.const_data_ptr<c10::BFloat16>();
  auto* const to = out.mutable_data_ptr<float>();
  for_each_tile<OpThreads>(m, n, k, [&](const Tile& tile) {
    brgemm_block(tile.row_end - tile.row_begin, tile.column_end - tile.column_begin, k, left + tile.row_begin * k, k,
                 right + 2 * tile.column_begin, n, to + tile.row_begin * n + tile.column_begin, n, /*add=*/false);
  });
}

}  // namespace

bool brgemm_serves() {
  static const bool available = probe_brgemm();
  return available;
}

bool tiles_pay(const at::Tensor& a, const at::Tensor& b) {
  return is_own_type(a) && a.numel() > 0 && b.numel() > 0 && (b.is_contiguous() || a.size(0) >= fewest_rows);
}

void brgemm_block(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda, const c10::BFloat16* b,
                  int64_t ldb, float* c, int64_t ldc, bool add) {
  for (int64_t begin = 0; begin < k; begin += depth_at_once)
    at::native::cpublas::brgemm(m, n, std::min(depth_at_once, k - begin), lda, ldb, ldc, add || begin > 0, a + begin,
                                b + begin * ldb, c, /*is_vnni=*/true);
  at::native::cpublas::brgemm_release(/*is_vnni=*/true);
}

at::Tensor as_factor(const at::Tensor& t) { return is_factor(t) ? t : t.contiguous(); }

void bare_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  const bool half = a.scalar_type() == at::kBFloat16;
  TORCH_CHECK_VALUE(half ? a.is_contiguous() && b.is_contiguous() && out.is_contiguous()
                         : is_factor(a) && is_factor(b) && in_rows(out),
                    "bare_product: expected matrices in row-major order, or transposes of such, got strides ",
                    a.strides(), ", ", b.strides(), ", ", out.strides());
  TORCH_CHECK_VALUE(b.scalar_type() == a.scalar_type() && b.size(0) == (half ? k / 2 : k) && out.size(0) == m &&
                        out.size(1) == n && b.numel() == k * n &&
                        out.scalar_type() == (half ? at::kFloat : a.scalar_type()) &&
                        (half ? brgemm_serves() : is_own_type(a)),
                    "bare_product: expected (m, k), (k, n) or (k / 2, n, 2), (m, n) of a type that has matmuls, got ",
                    a.sizes(), ", ", b.sizes(), ", ", out.sizes(), " ", a.scalar_type());
  if (half) return multiply_halves(a, b, out);
  with_own_type(a, [&](auto zero) { multiply_in_tiles<decltype(zero)>(a, b, out, [](const Tile&) {}); });
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  if (!tiles_pay(a, b)) return at::mm(a, b);
  at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  const at::Tensor left = as_factor(a), right = as_factor(b);
  with_own_type(a, [&](auto zero) { multiply_in_tiles<decltype(zero)>(left, right, out, [](const Tile&) {}); });
  return out;
}

}  // namespace stackae::cpu
