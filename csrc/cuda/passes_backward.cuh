// The kernel of a step from the gradient of the output on: gradients of codes.
//
// Fused: product, KL slope, L1 sign, derivative, contraction, bias gradient. Never materialised: the slopes of the
// penalty.
#pragma once

#include "../sparsity.h"
#include "passes.cuh"

namespace stackae::cuda {

struct OnOff {
  double on = 0, off = 0;
};

// The means of a unit of the first code and of its complement, over row blocks in order.
template <typename A>
__device__ OnOff code_means(const MemberData<A>& member, const LayerData<A>& code, int column) {
  OnOff means;
  const int ld = static_cast<int>(padded(code.n_out));
#pragma unroll 8
  for (int block = 0; block < member.code_blocks; ++block) {
    means.on += static_cast<double>(member.on[block * ld + column]);
    means.off += static_cast<double>(member.off[block * ld + column]);
  }
  return means;
}

// d penalty / d h_j for a unit of the first code, the same for every row.
template <typename A>
__device__ typename A::number sparsity_slope(const MemberData<A>& member, const LayerData<A>& code, const Span& span,
                                             int column) {
  using T = typename A::number;
  const auto [on, off] = code_means(member, code, column);
  const double scale = member.sparsity_weight * (code.activation == Activation::tanh ? 0.5 : 1);
  constexpr double largest = sizeof(T) == 8 ? 1.7976931348623157e308 : 3.4028234663852886e38;
  return to_finite<T>(scale * kl_slope(member.sparsity_target, on, off) / static_cast<double>(span.size), largest);
}

// The gradient of layer l - 1's pre-activation from that of layer l, and its columns' sums.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) backward_kernel(Networks<A> networks, int l) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A> layer = networks.layer(l), below = networks.layer(l - 1);
  const MemberData<A> member = networks.member();
  const int n_in = static_cast<int>(layer.n_in);
  const Place<Shape> at(n_in);
  const int ld = static_cast<int>(padded(n_in)), column = at.column + Lanes<Shape>::column();
  const bool inside = column < n_in, penalised = l == 1;
  const bool contracts = penalised && member.contraction > 0;
  const int64_t corner = int64_t(at.row) * ld + column;
  Span span;
  T slope = 0, l1 = 0, pull = 0, kept[each] = {};
  const auto read_code = [&] {
    const Span expected = expected_span(member, networks.batch_size);
    if (!inside) return;
    const bool keeps = keeps_preactivation(below.activation);
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int row = Lanes<Shape>::row(i);
      kept[i] = keeps ? below.pre[corner + row * ld] : A::read(below.output[corner + row * ld]);
    }
    if (!penalised) return;
    if (member.sparsity_weight > 0) slope = sparsity_slope(member, below, expected, column);
    l1 = static_cast<T>(member.l1_weight / static_cast<double>(expected.size));
    if (contracts)
      pull = static_cast<T>(2 * member.contraction / static_cast<double>(expected.size)) * member.norms[column];
  };
  const auto c = product_tile<A, Shape, library>(Factor<typename A::operand>{layer.gradient, padded(layer.n_out)},
                                                 layer.backward, layer.product, n_in, static_cast<int>(layer.n_out), at,
                                                 /*early=*/true, read_code, [&] {
                                                   span = span_of_step(networks, member);
                                                   if (has_failed(member, span)) span.size = 0;
                                                 });
  if (span.size == 0) return;
  T sum[1] = {};
  if (inside)
    with_activation<T>(below.activation, [&](auto f) {
      using F = decltype(f);
      T g[each];
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = Lanes<Shape>::row(i);
        T h = kept[i];
        if constexpr (F::keeps_preactivation) h = F::value(h);
        g[i] = code_gradient<F>(c(row, Lanes<Shape>::column()), h, kept[i], slope, l1);
      }
      if (contracts)
#pragma unroll
        for (int i = 0; i < each; ++i) g[i] += steepness_gradient<F>(kept[i], pull);
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = Lanes<Shape>::row(i);
        g[i] = at.row + row < span.size ? g[i] : T(0);
        sum[0] += g[i];
        below.gradient[corner + row * ld] = A::round(g[i]);
      }
    });
  sum_down<Shape>(sum);
  if (Lanes<Shape>::lane() == 0 && inside) below.sums[at.row_block * ld + column] = sum[0];
}

}  // namespace stackae::cuda
