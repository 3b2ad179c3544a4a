// The kernel of a step from the gradient of the output on: gradients of codes.
//
// Fused: matmul, KL slope, L1 sign, derivative, contraction, bias gradient. Never materialized: the slopes of the
// penalty.
#pragma once

#include "passes.cuh"

namespace stackae::cuda {

struct UnitMeans {
  double mean = 0, complement = 0;
};

// Of a unit of the first code, over row blocks in order.
template <typename A>
__device__ UnitMeans code_means(const NetworkData<A>& network, const LayerData<A>& code, int column) {
  UnitMeans means;
  const int ld = static_cast<int>(padded(code.n_out));
#pragma unroll 8
  for (int block = 0; block < network.code_blocks; ++block) {
    means.mean += static_cast<double>(network.means[block * ld + column]);
    means.complement += static_cast<double>(network.complements[block * ld + column]);
  }
  return means;
}

// The gradient of layer l - 1's pre-activation from that of layer l, and its columns' sums.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) backward_kernel(Networks<A> networks, int l) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A> layer = networks.layer(l), below = networks.layer(l - 1);
  const NetworkData<A> network = networks.own();
  const int n_in = static_cast<int>(layer.n_in);
  const Place<Shape> at(n_in);
  const int ld = static_cast<int>(padded(n_in)), column = at.column + Lanes<Shape>::column();
  const bool inside = column < n_in, penalised = l == 1;
  const CodePenalty penalty = network.objective.penalty;
  const bool contracts = penalised && penalty.contracts();
  const int64_t corner = int64_t(at.row) * ld + column;
  Span span;
  T slope = 0, term = 0, kept[each] = {};
  EntryPenalty<T> entry;
  const auto read_code = [&] {
    const Span expected = expected_span(network, networks.batch_size);
    if (!inside) return;
    const bool keeps = keeps_preactivation(below.activation);
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int row = Lanes<Shape>::row(i);
      kept[i] = keeps ? below.pre[corner + row * ld] : A::read(below.output[corner + row * ld]);
    }
    if (!penalised) return;
    const auto rows = static_cast<double>(expected.size);
    if (penalty.has_means()) {
      const auto [mean, complement] = code_means(network, below, column);
      slope = kl_slope<T>(penalty, below.activation == Activation::tanh, mean, complement, rows);
    }
    entry = {penalty, rows};
    if (contracts) term = contraction_term(penalty, network.norms[column], rows);
  };
  const auto c = product_tile<A, Shape, library>(Factor<typename A::operand>{layer.gradient, padded(layer.n_out)},
                                                 layer.backward, layer.product, n_in, static_cast<int>(layer.n_out), at,
                                                 /*early=*/true, read_code, [&] {
                                                   span = span_of_step(networks, network);
                                                   if (has_failed(network, span)) span.size = 0;
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
        g[i] = code_gradient<F>(c(row, Lanes<Shape>::column()), h, kept[i], slope, entry);
      }
      if (contracts)
#pragma unroll
        for (int i = 0; i < each; ++i) g[i] += steepness_gradient<F>(kept[i], term);
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
