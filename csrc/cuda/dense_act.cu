// dense_act on CUDA: cuBLAS's matmul, then one kernel for bias and activation.
//
// Fused: bias + activation forward (in place); activation derivative + bias gradient backward.
// Never materialized: the pre-activation (but where f' is of it), the derivative. Deterministic: partial sums are
// added in a fixed order. The matmul follows torch's own precision setting (tf32 or IEEE).
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include "../activation.h"
#include "../checks.h"
#include "launch.cuh"
#include "reduce.cuh"

namespace stackae::cuda {
namespace {

using at::Tensor;

template <typename F, typename scalar_t, typename opmath_t>
__global__ void bias_act_kernel(scalar_t* y, scalar_t* pre, const scalar_t* bias, int64_t rows, int64_t columns) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows * columns) return;
  const opmath_t a = static_cast<opmath_t>(y[i]) + (bias ? static_cast<opmath_t>(bias[i % columns]) : opmath_t(0));
  if constexpr (F::keeps_preactivation) pre[i] = static_cast<scalar_t>(a);
  y[i] = static_cast<scalar_t>(F::value(a));
}

// grad_pre = grad_y * f'(kept), and the column sums of each strip.
template <typename F, typename scalar_t, typename opmath_t>
__global__ void derivative_kernel(const scalar_t* grad_y, const scalar_t* kept, scalar_t* grad_pre, opmath_t* partials,
                                  int64_t rows, int64_t columns) {
  sum_strip<1>(partials, rows, columns, [=](int64_t row, int64_t column, opmath_t* sums) {
    const int64_t i = row * columns + column;
    const opmath_t g = static_cast<opmath_t>(grad_y[i]) * F::derivative(static_cast<opmath_t>(kept[i]));
    grad_pre[i] = static_cast<scalar_t>(g);
    sums[0] += g;
  });
}

template <typename scalar_t, typename opmath_t>
__global__ void bias_gradient_kernel(scalar_t* grad_bias, const opmath_t* partials, int64_t strips, int64_t columns) {
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column < columns)
    grad_bias[column] = static_cast<scalar_t>(sum_of_strips<opmath_t>(partials, strips, columns, column));
}

template <typename scalar_t>
void launch_bias_act(Tensor& y, Tensor& pre, const Tensor& bias, Activation activation) {
  using opmath_t = at::opmath_type<scalar_t>;
  auto* const y_data = y.mutable_data_ptr<scalar_t>();
  auto* const pre_data = keeps_preactivation(activation) ? pre.mutable_data_ptr<scalar_t>() : nullptr;
  const auto* const bias_data = bias.defined() ? bias.const_data_ptr<scalar_t>() : nullptr;
  with_activation<opmath_t>(activation, [&](auto f) {
    launch(bias_act_kernel<decltype(f), scalar_t, opmath_t>, blocks_for(y.numel()), threads_per_block, {}, y_data,
           pre_data, bias_data, y.size(0), y.size(1));
  });
}

template <typename scalar_t>
void launch_derivative(const Tensor& grad_y, const Tensor& kept, Tensor& grad_pre, Tensor& grad_bias,
                       Activation activation) {
  using opmath_t = at::opmath_type<scalar_t>;
  const int64_t rows = kept.size(0), columns = kept.size(1), strips = strip_count(rows);
  Tensor partials = at::empty({strips, columns}, kept.options().dtype(c10::CppTypeToScalarType<opmath_t>::value));
  auto* const partials_data = partials.mutable_data_ptr<opmath_t>();
  if (rows > 0)
    with_activation<opmath_t>(activation, [&](auto f) {
      launch(derivative_kernel<decltype(f), scalar_t, opmath_t>, strip_grid(rows, columns), strip_block(), {},
             grad_y.const_data_ptr<scalar_t>(), kept.const_data_ptr<scalar_t>(), grad_pre.mutable_data_ptr<scalar_t>(),
             partials_data, rows, columns);
    });
  launch(bias_gradient_kernel<scalar_t, opmath_t>, blocks_for(columns), threads_per_block, {},
         grad_bias.mutable_data_ptr<scalar_t>(), partials_data, strips, columns);
}

std::tuple<Tensor, Tensor> dense_act_forward_cuda(const Tensor& x, const Tensor& weight,
                                                  const std::optional<Tensor>& bias, std::string_view activation_name) {
  check_dense(x, weight, bias);
  const auto activation = parse_activation(activation_name);
  const c10::DeviceGuard guard(x.device());
  Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  Tensor pre = at::empty(keeps_preactivation(activation) ? y.sizes() : at::IntArrayRef{0}, x.options());
  at::mm_out(y, x, weight.t());
  const bool bare = activation == Activation::linear && !bias.has_value();
  if (bare || y.numel() == 0) return {y, pre};
  const Tensor bias_row = bias.has_value() ? bias->contiguous() : Tensor();
  with_scalar_type(x.scalar_type(), [&](auto zero) { launch_bias_act<decltype(zero)>(y, pre, bias_row, activation); });
  return {y, pre};
}

std::tuple<Tensor, Tensor, Tensor> dense_act_backward_cuda(const Tensor& grad_y, const Tensor& kept, const Tensor& x,
                                                           const Tensor& weight, std::string_view activation_name,
                                                           bool input_gradient, bool weight_gradient) {
  check_dense_backward(grad_y, kept, x, weight);
  const auto activation = parse_activation(activation_name);
  const c10::DeviceGuard guard(kept.device());
  const Tensor grad_in = grad_y.contiguous(), kept_in = kept.contiguous();
  Tensor grad_pre = at::empty(kept.sizes(), kept.options());
  Tensor grad_bias = at::empty({kept.size(1)}, kept.options());
  if (kept.size(1) > 0)
    with_scalar_type(kept.scalar_type(), [&](auto zero) {
      launch_derivative<decltype(zero)>(grad_in, kept_in, grad_pre, grad_bias, activation);
    });
  const auto none = [&] { return at::empty({0}, x.options()); };  // results of an op must not alias
  return {input_gradient ? at::mm(grad_pre, weight) : none(), weight_gradient ? at::mm(grad_pre.t(), x) : none(),
          grad_bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, STACKAE_DEVICE_KEY, m) {
  m.impl("dense_act_forward", dense_act_forward_cuda);
  m.impl("dense_act_backward", dense_act_backward_cuda);
}

}  // namespace stackae::cuda
