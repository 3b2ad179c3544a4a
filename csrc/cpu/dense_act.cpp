// dense_act on the CPU: the matmul tile by tile (product.h), bias and activation while the tile is in cache.
//
// Fused: matmul + bias + activation forward; activation derivative + bias gradient backward. Never materialized:
// the pre-activation (but where f' is of it), the derivative.
// Contract: empty batches and empty layers work; the passes and tiled matmuls give the same bits for any thread
// count; those of the matmuls left to ATen (bfloat16, few rows) depend on its library.
#include <type_traits>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/OpMathType.h>
#include <torch/library.h>

#include "../activation.h"
#include "../checks.h"
#include "../dispatch.h"
#include "multiversion.h"
#include "parallel.h"
#include "product.h"

namespace stackae::cpu {
namespace {

using at::Tensor;

// One stretch of a row: y holds x W^T and becomes f(y + bias); pre receives y + bias where f keeps it, and is not
// touched otherwise.
template <typename F, typename opmath_t, typename scalar_t>
STACKAE_INLINE void bias_act_stretch(scalar_t* __restrict y, scalar_t* __restrict pre, const scalar_t* __restrict bias,
                                     int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    const opmath_t a = static_cast<opmath_t>(y[j]) + static_cast<opmath_t>(bias[j]);
    if constexpr (F::keeps_preactivation) pre[j] = static_cast<scalar_t>(a);
    y[j] = static_cast<scalar_t>(F::value(a));
  }
}

// A row: whole vectors in place, the rest through a padded copy. Left to the compiler, the rest would run one element
// at a time, at several nanoseconds each: a third of the pass for a row of 300.
template <typename F, typename opmath_t, typename scalar_t>
STACKAE_INLINE void bias_act_row(scalar_t* y, scalar_t* pre, const scalar_t* bias, int64_t width) {
  constexpr int64_t lanes = 16;
  const int64_t rest = width % lanes, whole = width - rest;
  bias_act_stretch<F, opmath_t>(y, pre, bias, whole);
  if (rest == 0) return;
  scalar_t y_rest[lanes] = {}, pre_rest[lanes], bias_rest[lanes] = {};
  std::copy_n(y + whole, rest, y_rest);
  std::copy_n(bias + whole, rest, bias_rest);
  bias_act_stretch<F, opmath_t>(y_rest, pre_rest, bias_rest, lanes);
  std::copy_n(y_rest, rest, y + whole);
  if constexpr (F::keeps_preactivation) std::copy_n(pre_rest, rest, pre + whole);
}

template <typename scalar_t>
STACKAE_INLINE void bias_act_tile(scalar_t* y, scalar_t* pre, const scalar_t* bias, int64_t columns, const Tile& tile,
                                  Activation activation) {
  using opmath_t = at::opmath_type<scalar_t>;
  with_activation<opmath_t>(activation, [=](auto f) __attribute__((always_inline)) {
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      const int64_t offset = i * columns + tile.column_begin;
      bias_act_row<decltype(f), opmath_t>(y + offset, pre + offset, bias + tile.column_begin,
                                          tile.column_end - tile.column_begin);
    }
  });
}

// One row of grad_pre = grad_y * f'(kept), added to the column sums.
template <typename F, typename opmath_t, typename scalar_t>
STACKAE_INLINE void derivative_row(const scalar_t* __restrict grad_y, const scalar_t* __restrict kept,
                                   scalar_t* __restrict grad_pre, opmath_t* __restrict sums, int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    const opmath_t g = static_cast<opmath_t>(grad_y[j]) * F::derivative(static_cast<opmath_t>(kept[j]));
    grad_pre[j] = static_cast<scalar_t>(g);
    sums[j] += g;
  }
}

template <typename scalar_t, typename opmath_t>
STACKAE_INLINE void derivative_tile(const scalar_t* grad_y, const scalar_t* kept, scalar_t* grad_pre, opmath_t* sums,
                                    int64_t columns, const Tile& tile, Activation activation) {
  with_activation<opmath_t>(activation, [=](auto f) __attribute__((always_inline)) {
    opmath_t partial[tile_columns] = {};
    const int64_t width = tile.column_end - tile.column_begin;
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      const int64_t offset = i * columns + tile.column_begin;
      derivative_row<decltype(f), opmath_t>(grad_y + offset, kept + offset, grad_pre + offset, partial, width);
    }
    std::copy_n(partial, width, sums + tile.row_block * columns + tile.column_begin);
  });
}

#define STACKAE_DEFINE_TILES(scalar_t)                                                                                \
  void bias_act_kernel(scalar_t* y, scalar_t* pre, const scalar_t* bias, int64_t columns, const Tile& tile,           \
                       Activation activation) {                                                                       \
    return STACKAE_AT_LEVEL(bias_act_tile(y, pre, bias, columns, tile, activation));                                  \
  }                                                                                                                   \
  void derivative_kernel(const scalar_t* grad_y, const scalar_t* kept, scalar_t* grad_pre,                            \
                         at::opmath_type<scalar_t>* sums, int64_t columns, const Tile& tile, Activation activation) { \
    return STACKAE_AT_LEVEL(derivative_tile(grad_y, kept, grad_pre, sums, columns, tile, activation));                \
  }

STACKAE_DEFINE_TILES(float)
STACKAE_DEFINE_TILES(double)
STACKAE_DEFINE_TILES(c10::BFloat16)
#undef STACKAE_DEFINE_TILES

std::tuple<Tensor, Tensor> dense_act_forward_cpu(const Tensor& x, const Tensor& weight,
                                                 const std::optional<Tensor>& bias, std::string_view activation_name) {
  check_dense(x, weight, bias);
  const auto activation = parse_activation(activation_name);
  const int64_t rows = x.size(0), columns = weight.size(0);
  Tensor y = at::empty({rows, columns}, x.options());
  Tensor pre = at::empty(keeps_preactivation(activation) ? y.sizes() : at::IntArrayRef{0}, x.options());
  const bool by_tile = tiles_pay(x, weight.t());
  if (!by_tile) at::mm_out(y, x, weight.t());
  if (!by_tile && activation == Activation::linear && !bias.has_value()) return {y, pre};
  const Tensor bias_row = bias.has_value() ? bias->contiguous() : at::zeros({columns}, x.options());
  with_scalar_type(x.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    auto* const y_data = y.mutable_data_ptr<scalar_t>();
    auto* const pre_data = pre.mutable_data_ptr<scalar_t>();
    const auto* const bias_data = bias_row.const_data_ptr<scalar_t>();
    const auto follow = [&](const Tile& tile) {
      bias_act_kernel(y_data, pre_data, bias_data, columns, tile, activation);
    };
    if constexpr (std::is_floating_point_v<scalar_t>)
      if (by_tile) return multiply_in_tiles<scalar_t>(as_factor(x), as_factor(weight.t()), y, follow);
    for_each_tile<OpThreads>(rows, columns, 1, follow);
  });
  return {y, pre};
}

// grad_pre = grad_y * f'(kept), and its column sums.
std::tuple<Tensor, Tensor> activation_gradient(const Tensor& grad_y, const Tensor& kept, Activation activation) {
  const int64_t rows = kept.size(0), columns = kept.size(1);
  const Tensor grad_in = grad_y.contiguous(), kept_in = kept.contiguous();
  Tensor grad_pre = at::empty(kept.sizes(), kept.options());
  Tensor grad_bias = at::empty({columns}, kept.options());
  with_scalar_type(kept.scalar_type(), [&](auto zero) {
    using scalar_t = decltype(zero);
    using opmath_t = at::opmath_type<scalar_t>;
    std::vector<opmath_t> sums(row_blocks(rows) * columns);
    const auto* const grad_in_data = grad_in.const_data_ptr<scalar_t>();
    const auto* const kept_data = kept_in.const_data_ptr<scalar_t>();
    auto* const grad_pre_data = grad_pre.mutable_data_ptr<scalar_t>();
    for_each_tile<OpThreads>(rows, columns, 1, [&](const Tile& tile) {
      derivative_kernel(grad_in_data, kept_data, grad_pre_data, sums.data(), columns, tile, activation);
    });
    auto* const grad_bias_data = grad_bias.mutable_data_ptr<scalar_t>();
    for (int64_t j = 0; j < columns; ++j) {
      opmath_t sum = 0;
      for (int64_t block = 0; block < row_blocks(rows); ++block) sum += sums[block * columns + j];
      grad_bias_data[j] = static_cast<scalar_t>(sum);
    }
  });
  return {grad_pre, grad_bias};
}

std::tuple<Tensor, Tensor, Tensor> dense_act_backward_cpu(const Tensor& grad_y, const Tensor& kept, const Tensor& x,
                                                          const Tensor& weight, std::string_view activation,
                                                          bool input_gradient, bool weight_gradient) {
  check_dense_backward(grad_y, kept, x, weight);
  const auto [grad_pre, grad_bias] = activation_gradient(grad_y, kept, parse_activation(activation));
  const auto none = [&] { return at::empty({0}, x.options()); };  // results of an op must not alias
  return {input_gradient ? product(grad_pre, weight) : none(), weight_gradient ? product(grad_pre.t(), x) : none(),
          grad_bias};
}

}  // namespace

TORCH_LIBRARY_IMPL(stackae, CPU, m) {
  m.impl("dense_act_forward", dense_act_forward_cpu);
  m.impl("dense_act_backward", dense_act_backward_cpu);
}

}  // namespace stackae::cpu
