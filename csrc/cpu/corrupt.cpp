// corrupt on the CPU: x~ ~ q(x~ | x) by masking, salt and pepper or Gaussian noise.
//
// Fused: the random words, the numbers they stand for and their effect; no noise is ever stored.
// Contract: any strides, empty batches; a draw depends on (seed, layer, step) and its place in the batch alone, so the
// bits are the same for any thread count.
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <vector>

#include <torch/library.h>

#include "../checks.h"
#include "../dispatch.h"
#include "multiversion.h"
#include "noise.h"
#include "parallel.h"

namespace stackae::cpu {
namespace {

using at::Tensor;

template <typename scalar_t>
STACKAE_INLINE void corrupt_one(const scalar_t* from, scalar_t* to, const Corruption& corruption, const Stream& stream,
                                int64_t row, int64_t width, at::opmath_type<scalar_t>* buffer) {
  for (int64_t j = 0; j < width; ++j) buffer[j] = static_cast<at::opmath_type<scalar_t>>(from[j]);
  corrupt_row(corruption, stream, buffer, row, width);
  for (int64_t j = 0; j < width; ++j) to[j] = static_cast<scalar_t>(buffer[j]);
}

#define STACKAE_DEFINE_ROW(scalar_t)                                                                          \
  void corrupt_kernel(const scalar_t* from, scalar_t* to, const Corruption& corruption, const Stream& stream, \
                      int64_t row, int64_t width, at::opmath_type<scalar_t>* buffer) {                        \
    return STACKAE_AT_LEVEL(corrupt_one(from, to, corruption, stream, row, width, buffer));                   \
  }

STACKAE_DEFINE_ROW(float)
STACKAE_DEFINE_ROW(double)
STACKAE_DEFINE_ROW(c10::BFloat16)
#undef STACKAE_DEFINE_ROW

Tensor corrupt_cpu(const Tensor& x, std::string_view kind, double level, double low, double high, int64_t seed,
                   int64_t layer, int64_t step) {
  check_corrupt(x, seed, layer, step);
  const Corruption corruption(kind, level, low, high);
  const Stream stream(seed, Purpose::corruption, static_cast<uint32_t>(layer), step);
  const int64_t width = x.size(1);
  const Tensor from = x.contiguous();
  Tensor to = at::empty(x.sizes(), x.options());
  with_scalar_type(x.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    const auto* const source = from.const_data_ptr<scalar_t>();
    auto* const target = to.mutable_data_ptr<scalar_t>();
    const int64_t grain = std::max<int64_t>(1, smallest_parallel_size / std::max<int64_t>(1, width));
    at::parallel_for(0, x.size(0), grain, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      std::vector<at::opmath_type<scalar_t>> buffer(width);
      for (int64_t row = begin; row < end; ++row)
        corrupt_kernel(source + row * width, target + row * width, corruption, stream, row, width, buffer.data());
    });
  });
  return to;
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, CPU, m) { m.impl("corrupt", corrupt_cpu); }

}  // namespace stackae::cpu
