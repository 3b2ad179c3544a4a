// corrupt on CUDA: x~ ~ q(x~ | x) by masking, salt and pepper or Gaussian noise; the CPU's words, bit for bit.
//
// Fused: the random words, the numbers they stand for and their effect.
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "../checks.h"
#include "../corruption.h"
#include "launch.cuh"
#include "noise.cuh"

namespace stackae::cuda {
namespace {

using at::Tensor;

// One thread a block of the generator: words b, 16 + b, 32 + b and 48 + b of its chunk.
template <typename scalar_t>
__global__ void corrupt_kernel(const scalar_t* from, scalar_t* to, Corruption corruption, Stream stream, int64_t rows,
                               int64_t width, int64_t chunks) {
  using opmath_t = at::opmath_type<scalar_t>;
  const int64_t block = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (block >= rows * chunks * chunk_blocks) return;
  float draws[4];
  draw_block(corruption, stream, static_cast<uint32_t>(block), draws);
  const int64_t row = block / (chunks * chunk_blocks), chunk = block / chunk_blocks % chunks;
  for (int lane = 0; lane < 4; ++lane) {
    const int64_t column = chunk * chunk_words + lane * chunk_blocks + block % chunk_blocks;
    if (column >= width) continue;
    const int64_t at = row * width + column;
    to[at] = static_cast<scalar_t>(corrupt_entry(corruption, static_cast<opmath_t>(from[at]), draws[lane]));
  }
}

Tensor corrupt_cuda(const Tensor& x, std::string_view kind, double level, double low, double high, int64_t seed,
                    int64_t layer, int64_t step) {
  check_corrupt(x, seed, layer, step);
  const c10::DeviceGuard guard(x.device());
  const Corruption corruption(kind, level, low, high);
  const Stream stream(seed, Purpose::corruption, static_cast<uint32_t>(layer), step);
  const int64_t rows = x.size(0), width = x.size(1), chunks = (width + chunk_words - 1) / chunk_words;
  const Tensor from = x.contiguous();
  Tensor to = at::empty(x.sizes(), x.options());
  if (x.numel() == 0) return to;
  with_scalar_type(x.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    launch(corrupt_kernel<scalar_t>, blocks_for(rows * chunks * chunk_blocks), threads_per_block, {},
           from.const_data_ptr<scalar_t>(), to.mutable_data_ptr<scalar_t>(), corruption, stream, rows, width, chunks);
  });
  return to;
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, STACKAE_DEVICE_KEY, m) { m.impl("corrupt", corrupt_cuda); }

}  // namespace stackae::cuda
