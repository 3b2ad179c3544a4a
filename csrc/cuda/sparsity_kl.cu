// sparsity_kl on CUDA: sum over units of KL(rho || rho_hat_j), rho_hat_j the batch mean of code column j.
//
// Fused: the sums of h and of 1 - h in one pass over the code, then one block that turns them into the penalty;
// backward is one kernel over units, no host synchronization. Deterministic: every sum has a fixed order.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "../checks.h"
#include "../code_penalty.h"
#include "launch.cuh"
#include "reduce.cuh"

namespace stackae::cuda {
namespace {

using at::Tensor;

template <typename scalar_t, typename opmath_t>
__global__ void mean_kernel(const scalar_t* h, opmath_t* partials, opmath_t share, int64_t rows, int64_t columns) {
  sum_strip<2>(partials, rows, columns, [=](int64_t row, int64_t column, opmath_t* sums) {
    accumulate_mean(static_cast<opmath_t>(h[row * columns + column]), /*centred=*/false, share, sums[0], sums[1]);
  });
}

// One block: each thread adds every threads_per_block-th unit, then the threads are added in order.
template <typename penalty_t, typename opmath_t>
__global__ void penalty_kernel(const opmath_t* partials, double* means, penalty_t* penalty, double rho, int64_t strips,
                               int64_t columns) {
  __shared__ double shared[threads_per_block];
  double sum = 0;
  for (int64_t j = threadIdx.x; j < columns; j += threads_per_block) {
    const double rho_hat = sum_of_strips<double>(partials, strips, columns, j);
    const double complement = sum_of_strips<double>(partials + strips * columns, strips, columns, j);
    means[j] = rho_hat;
    means[columns + j] = complement;
    sum += kl_value(rho, rho_hat, complement);
  }
  shared[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double total = 0;
  for (int thread = 0; thread < threads_per_block; ++thread) total += shared[thread];
  *penalty = static_cast<penalty_t>(total);
}

template <typename scalar_t, typename penalty_t>
__global__ void slope_kernel(const penalty_t* grad_penalty, const double* means, scalar_t* row, double rho,
                             int64_t rows, int64_t columns) {
  const int64_t j = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j >= columns) return;
  const double scale = static_cast<double>(*grad_penalty) / static_cast<double>(rows);
  row[j] = to_finite<scalar_t>(scale * kl_derivative(rho, means[j], means[columns + j]));
}

template <typename scalar_t>
void launch_penalty(const Tensor& h, Tensor& penalty, Tensor& means, double rho) {
  using opmath_t = at::opmath_type<scalar_t>;
  const int64_t rows = h.size(0), columns = h.size(1), strips = strip_count(rows);
  Tensor partials = at::empty({2, strips, columns}, h.options().dtype(c10::CppTypeToScalarType<opmath_t>::value));
  auto* const partials_data = partials.mutable_data_ptr<opmath_t>();
  if (columns > 0) {
    launch(mean_kernel<scalar_t, opmath_t>, strip_grid(rows, columns), strip_block(), {}, h.const_data_ptr<scalar_t>(),
           partials_data, opmath_t(1) / static_cast<opmath_t>(rows), rows, columns);
  }
  launch(penalty_kernel<opmath_t, opmath_t>, 1, threads_per_block, {}, partials_data, means.mutable_data_ptr<double>(),
         penalty.mutable_data_ptr<opmath_t>(), rho, strips, columns);
}

std::tuple<Tensor, Tensor> sparsity_kl_forward_cuda(const Tensor& h, double rho) {
  check_sparsity(h, rho);
  const c10::DeviceGuard guard(h.device());
  const Tensor codes = h.contiguous();
  Tensor means = at::empty({2, h.size(1)}, h.options().dtype(at::kDouble));
  Tensor penalty = at::empty({}, h.options().dtype(h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
  with_scalar_type(h.scalar_type(), [&](auto zero) { launch_penalty<decltype(zero)>(codes, penalty, means, rho); });
  return {penalty, means};
}

Tensor sparsity_kl_backward_cuda(const Tensor& grad_penalty, const Tensor& h, const Tensor& means, double rho) {
  check_sparsity(h, rho);
  const c10::DeviceGuard guard(h.device());
  const int64_t columns = h.size(1);
  Tensor row = at::empty({columns}, h.options());
  if (columns == 0) return row;
  with_scalar_type(h.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    using penalty_t = at::opmath_type<scalar_t>;
    launch(slope_kernel<scalar_t, penalty_t>, blocks_for(columns), threads_per_block, {},
           grad_penalty.const_data_ptr<penalty_t>(), means.const_data_ptr<double>(), row.mutable_data_ptr<scalar_t>(),
           rho, h.size(0), columns);
  });
  return row;
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, STACKAE_DEVICE_KEY, m) {
  m.impl("sparsity_kl_forward", sparsity_kl_forward_cuda);
  m.impl("sparsity_kl_backward", sparsity_kl_backward_cuda);
}

}  // namespace stackae::cuda
