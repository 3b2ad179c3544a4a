// The kernels of a step up to the loss and its gradient: forward, output; logits and softmax.
//
// Fused: matmul, bias, activation, code sums; matmul, bias, activation, loss, gradient, bias
// gradient. Never materialized: the reconstruction, a target, noise, pre-activations (but where f' is of them).
#pragma once

#include "passes.cuh"

namespace stackae::cuda {

// The first forward pass begins the step.
template <typename A>
__device__ Span span_of_forward(const Networks<A>& networks, const NetworkData<A>& network, int l) {
  return l == 0 ? begin_step(networks, network) : span_of_step(networks, network);
}

// h = f(x W^T + b), and of the first code its sums for the penalties. `turn` is 1 for steps of an odd number.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) forward_kernel(Networks<A> networks, int l, int turn) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A> layer = networks.layer(l);
  const NetworkData<A> network = networks.own();
  const int n_out = static_cast<int>(layer.n_out);
  const Place<Shape> at(n_out);
  const int ld = static_cast<int>(padded(n_out)), column = at.column + Lanes<Shape>::column();
  const bool inside = column < n_out, centred = layer.activation == Activation::tanh;
  Span span;
  T bias = 0;
  const auto c = product_tile<A, Shape, library>(
      layer.input.at_step(turn), layer.forward, layer.product, n_out, static_cast<int>(layer.n_in), at,
      /*early=*/l > 0, [] {},
      [&] {
        span = span_of_forward(networks, network, l);
        if (inside) bias = layer.bias[column];
      });
  if (span.size == 0) return;
  const T share = T(1) / static_cast<T>(span.size);
  const CodePenalty penalty = network.objective.penalty;
  const bool contracts = l == 0 && penalty.contracts();
  const int64_t corner = int64_t(at.row) * ld + column;
  const EntryPenalty<T> entry(penalty, static_cast<double>(span.size));
  T means[2] = {}, entries = 0, steepness[1] = {};
  if (inside)
    with_activation<T>(layer.activation, [&](auto f) {
      using F = decltype(f);
      T kept[each];  // h or pre, whichever f' is computed from
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = Lanes<Shape>::row(i);
        const T a = c(row, Lanes<Shape>::column()) + bias, h = F::value(a);
        const bool live = at.row + row < span.size;
        kept[i] = h;
        if constexpr (F::keeps_preactivation) layer.pre[corner + row * ld] = kept[i] = a;
        if (live) accumulate_mean(h, centred, share, means[0], means[1]);
        entries += live ? entry.value(h) : T(0);
        layer.output[corner + row * ld] = A::round(live ? h : T(0));
      }
      if (contracts)
#pragma unroll
        for (int i = 0; i < each; ++i)
          if (at.row + Lanes<Shape>::row(i) < span.size) accumulate_steepness<F>(kept[i], share, steepness[0]);
    });
  if (l > 0) return;
  const bool first = Lanes<Shape>::lane() == 0 && inside;
  if (penalty.has_means()) {
    sum_down<Shape>(means);
    if (first) {
      network.means[at.row_block * ld + column] = means[0];
      network.complements[at.row_block * ld + column] = means[1];
    }
  }
  if (!network.has_code_losses()) return;
  double loss = 0;
  if (penalty.has_entries()) loss = static_cast<double>(entries) * penalty.weight / static_cast<double>(span.size);
  if (contracts) {
    sum_down<Shape>(steepness);
    if (first) {
      network.steepness[at.row_block * ld + column] = steepness[0];
      loss += penalty.contraction * static_cast<double>(steepness[0]) * static_cast<double>(network.norms[column]);
    }
  }
  loss = sum_of_block(loss);
  if (threadIdx.x == 0) {
    network.code_losses[blockIdx.x] = loss;
    if (!is_finite(loss)) fail(network, span);
  }
}

// The results of the last kernel before the gradients; `loss` is that of this block's rows and columns.
template <typename A>
__device__ void note_loss(const NetworkData<A>& network, const Span& span, double loss) {
  network.losses[blockIdx.x] = loss;
  if (!is_finite(loss)) fail(network, span);
}

// The gradient of the output's pre-activation, its columns' sums, and the loss; the target is the row itself.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) output_kernel(Networks<A> networks, int l, int turn) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A> layer = networks.layer(l);
  const NetworkData<A> network = networks.own();
  const int n_out = static_cast<int>(layer.n_out);
  const Place<Shape> at(n_out);
  const int ld = static_cast<int>(padded(n_out)), column = at.column + Lanes<Shape>::column();
  const bool inside = column < n_out;
  Span span;
  T bias = 0, target[each] = {};
  const auto read_targets = [&](const Span& of) {
    if (!inside) return;
    const Source source = network.source;
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int row = Lanes<Shape>::row(i);
      if (at.row + row < of.size)
        target[i] = read_entry<T>(source, row_number(network, of.begin + at.row + row), column);
    }
  };
  const auto c = product_tile<A, Shape, library>(
      layer.input.at_step(turn), layer.forward, layer.product, n_out, static_cast<int>(layer.n_in), at,
      /*early=*/l > 0,
      [&] {
        if (l > 0) read_targets(expected_span(network, networks.batch_size));
      },
      [&] {
        span = span_of_forward(networks, network, l);
        if (l == 0) read_targets(span);
        if (inside) bias = layer.bias[column];
      });
  if (span.size == 0) return;
  const T share = T(1) / static_cast<T>(span.size);
  const int64_t corner = int64_t(at.row) * ld + column;
  T loss = 0, sum[1] = {};
  const auto each_row = [&](auto entry) {
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int row = Lanes<Shape>::row(i);
      const T g = entry(c(row, Lanes<Shape>::column()) + bias, target[i], at.row + row < span.size);
      sum[0] += g;
      layer.gradient[corner + row * ld] = A::round(g);
    }
  };
  if (inside) {
    if (networks.loss == Loss::binary_cross_entropy)
      each_row([&](T a, T wanted, bool live) {
        T own = 0;
        const T g = binary_cross_entropy(a, wanted, share, own);
        loss += live ? own : T(0);
        return live ? g : T(0);
      });
    else
      with_activation<T>(layer.activation, [&](auto f) {
        each_row([&](T a, T wanted, bool live) {
          T own = 0;
          const T g = squared_error<decltype(f)>(a, wanted, share, own);
          loss += live ? own : T(0);
          return live ? g : T(0);
        });
      });
  }
  sum_down<Shape>(sum);
  if (Lanes<Shape>::lane() == 0 && inside) layer.sums[at.row_block * ld + column] = sum[0];
  const double total = sum_of_block(static_cast<double>(loss)) * static_cast<double>(share);
  if (threadIdx.x == 0) note_loss(network, span, total);
}

// The matmul of the last layer of a classifier alone: softmax needs whole rows.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) logits_kernel(Networks<A> networks, int l, int turn) {
  const LayerData<A> layer = networks.layer(l);
  const int n_out = static_cast<int>(layer.n_out);
  const NetworkData<A> network = networks.own();
  const Place<Shape> at(n_out);
  Span span;
  const auto c = product_tile<A, Shape, library>(
      layer.input.at_step(turn), layer.forward, layer.product, n_out, static_cast<int>(layer.n_in), at,
      /*early=*/l > 0, [] {}, [&] { span = span_of_forward(networks, network, l); });
  const int column = at.column + Lanes<Shape>::column();
  if (column >= n_out) return;
#pragma unroll
  for (int i = 0; i < Lanes<Shape>::rows; ++i) {
    const int row = Lanes<Shape>::row(i);
    if (at.row + row < span.size)
      network.logits[(int64_t(at.row) + row) * padded(n_out) + column] = c(row, Lanes<Shape>::column());
  }
}

// Softmax cross-entropy of one row by a warp: the logits become their gradient; returns the row's loss at every lane.
template <typename T>
__device__ T softmax_row(T* row, const T* bias, int64_t classes, int64_t label, T share, int lane) {
  T largest = -INFINITY, sum = 0;
  for (int64_t j = lane; j < classes; j += 32) {
    row[j] += bias[j];
    largest = row[j] > largest ? row[j] : largest;
  }
  largest = over_warp(largest, [](T a, T b) { return a > b ? a : b; });
  T own = 0;
  for (int64_t j = lane; j < classes; j += 32) {
    if (j == label) own = row[j] - largest;
    row[j] = exp_nonpositive(row[j] - largest);
    sum += row[j];
  }
  sum = over_warp(sum, [](T a, T b) { return a + b; });
  own = over_warp(own, [](T a, T b) { return a + b; });
  const T scale = share / sum;
  for (int64_t j = lane; j < classes; j += 32) row[j] = row[j] * scale - (j == label ? share : T(0));
  return static_cast<T>(::log(static_cast<double>(sum)) - static_cast<double>(own));
}

// A block has the rows of one row block: one warp per row, then one thread per column for the sums.
template <typename A, typename Shape>
__global__ void __launch_bounds__(tile_threads) softmax_kernel(Networks<A> networks, int l) {
  using T = typename A::number;
  const NetworkData<A> network = networks.own();
  const LayerData<A> layer = networks.layer(l);
  wait_for_launch_before();
  const Span span = span_of_step(networks, network);
  let_next_launch_begin();
  if (span.size == 0) return;
  const int64_t ld = padded(layer.n_out), begin = int64_t(blockIdx.x) * Shape::rows;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const T share = T(1) / static_cast<T>(span.size);
  double loss = 0;
  for (int64_t row = begin + warp; row < begin + Shape::rows && row < span.size; row += tile_threads / 32) {
    const int64_t label = network.labels[row_number(network, span.begin + row)];
    const T own = softmax_row(network.logits + row * ld, layer.bias, layer.n_out, label, share, lane);
    if (lane == 0) loss += static_cast<double>(own);
  }
  __syncthreads();
  for (int64_t column = threadIdx.x; column < layer.n_out; column += tile_threads) {
    T sum = 0;
    for (int64_t row = begin; row < begin + Shape::rows; ++row) {
      const T g = row < span.size ? network.logits[row * ld + column] : T(0);
      sum += g;
      layer.gradient[row * ld + column] = A::round(g);
    }
    layer.sums[blockIdx.x * ld + column] = sum;
  }
  const double total = sum_of_block(loss) * static_cast<double>(share);
  if (threadIdx.x == 0) note_loss(network, span, total);
}

}  // namespace stackae::cuda
