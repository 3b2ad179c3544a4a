// The update of every parameter by its gradient; besides, the sum of the loss and the gathering of the next step's
// rows.
//
// Fused: matmul, contraction, optimizer, the weight's forms as operand.
// Never materialized: weight gradients.
#pragma once

#include "passes_backward.cuh"
#include "passes_input.cuh"

namespace stackae::cuda {

// Calls body(rule), where rule(p, g, first, second, scalars) updates p and its optimizer state and returns whether it
// did: one switch, outside every loop.
template <typename A, typename Body>
__device__ void with_rule(const Networks<A>& networks, Body body) {
  using T = typename A::number;
  using M = const OptimizerScalars<T>&;
  if (networks.rule == Rule::adam)
    body([](T& p, T g, T& first, T& second, M scalars) { return adam<false>(p, g, first, second, scalars); });
  else if (networks.rule == Rule::adamw)
    body([](T& p, T g, T& first, T& second, M scalars) { return adam<true>(p, g, first, second, scalars); });
  else if (networks.has_momentum)
    body([](T& p, T g, T& first, T&, M scalars) { return sgd<true>(p, g, first, scalars); });
  else
    body([](T& p, T g, T& first, T&, M scalars) { return sgd<false>(p, g, first, scalars); });
}

// The gradient term of a contraction for a row of the code's weight, as a factor of that row.
template <typename A>
__device__ typename A::number term_of_row(const NetworkData<A>& network, const LayerData<A>& code, int64_t unit) {
  using T = typename A::number;
  T steepness = 0;
#pragma unroll 1  // seldom needed, and inlined for every row of a thread
  for (int block = 0; block < network.code_blocks; ++block)
    steepness += network.steepness[block * padded(code.n_out) + unit];
  return weight_term<T>(network.objective.penalty, static_cast<double>(steepness));
}

// Updates one tile of layer l's weight by its gradient, and writes it as operand. The gradient of the last layer is
// there before the launch before has ended; what that reads may be written after.
template <typename A, typename Shape, bool library>
__device__ void move_weight(const Networks<A>& networks, const NetworkData<A>& network, int l, const Span& span,
                            int number) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A>& layer = networks.layer(l);
  const bool contracts = l == 0 && network.objective.penalty.contracts(),
             early = !library && l > 0 && l + 1 == networks.layer_count;
  const int n_in = static_cast<int>(layer.n_in), n_out = static_cast<int>(layer.n_out);
  const Place<Shape> at(n_in, number);
  const int j = Lanes<Shape>::column(), column = at.column + j;
  const int64_t corner = int64_t(at.row) * n_in + column;
  T *const weights = layer.weight + corner, *const firsts = layer.first + corner,
           *const seconds = layer.second + corner;
  const int rows_inside = column < n_in ? n_out - at.row : 0;
  const auto holds = [&](int i) { return Lanes<Shape>::row(i) < rows_inside; };
  const int height = static_cast<int>(padded(n_out)), ld = static_cast<int>(padded(n_in));
  auto* const panel = layer.panel == nullptr ? nullptr : layer.panel + int64_t(at.row) * ld + column;
  auto* const transposed = layer.transposed + int64_t(at.column) * height + at.row + j;
  const OptimizerScalars<T> scalars = network.scalars[2 * span.index];
  T p[each] = {}, first[each] = {}, second[each] = {};
  const auto load = [&](int begin, int end) {
#pragma unroll
    for (int i = begin; i < end; ++i) {
      const int place = Lanes<Shape>::row(i) * n_in;
      if (!holds(i)) continue;
      p[i] = weights[place];
      first[i] = firsts[place];
      second[i] = seconds[place];
    }
  };
  constexpr int beforehand = each < 8 ? each : 8;  // as many as there are registers for beside a matmul
  if (!early) {
    load(0, beforehand);
    wait_for_launch_before();
    let_next_launch_begin();
  }
  TileProduct<A, Shape> tile;
  const auto c = [&] {
    if constexpr (library) {
      load(beforehand, each);
      return Entries<T, 1>{layer.weight_product + int64_t(at.row) * n_in + at.column, n_in, 0};
    } else {
      const int depth = static_cast<int>(networks.batch_size);
      for (int use = 0; use < layer.uses; ++use)
        tile.template add<true>(layer.left[use].at_step(span.index), layer.right[use].at_step(span.index), at.row,
                                at.column, depth, /*begun=*/false, [&] {
                                  if (early) load(0, beforehand);
                                });
      load(beforehand, each);
      return tile.template entries<true>();
    }
  }();
  if (early) {
    wait_for_launch_before();
    let_next_launch_begin();
  }
  T g[each] = {};
#pragma unroll
  for (int i = 0; i < each; ++i)
    if (!library || holds(i)) g[i] = c(Lanes<Shape>::row(i), j);
  if (contracts)
#pragma unroll
    for (int i = 0; i < each; ++i)
      if (holds(i)) g[i] += term_of_row(network, layer, at.row + Lanes<Shape>::row(i)) * p[i];
  bool all_moved = true;
  with_rule(networks, [&](auto rule) {
#pragma unroll  // without branches, so that the long chains of arithmetic overlap
    for (int i = 0; i < each; ++i) all_moved = rule(p[i], g[i], first[i], second[i], scalars) & all_moved;
  });
  constexpr int stride = Shape::columns + 1;  // read along columns, so that the transpose is written along rows
  auto* const moved = TileProduct<A, Shape>::beside_results();
#pragma unroll
  for (int i = 0; i < each; ++i) {
    const int row = Lanes<Shape>::row(i);
    if (!library) moved[row * stride + j] = p[i];
    if (!holds(i)) continue;
    weights[row * n_in] = p[i];
    firsts[row * n_in] = first[i];
    seconds[row * n_in] = second[i];
    if (!library || panel != nullptr) panel[row * ld] = A::round(p[i]);
  }
  if (!all_moved) network.state->kept = 1;
  if constexpr (!library) {
    static_assert(Shape::rows == Shape::columns);
    __syncthreads();
    if (at.row + j >= n_out) return;
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const int across = Lanes<Shape>::row(i);
      if (at.column + across < n_in) transposed[across * height] = A::round(moved[j * stride + across]);
    }
  }
}

// As many biases as a block has threads.
template <typename A>
__device__ void move_biases(const Networks<A>& networks, const NetworkData<A>& network, const LayerData<A>& layer,
                            const Span& span, int number) {
  const int column = number * tile_threads + static_cast<int>(threadIdx.x);
  if (column >= layer.n_out) return;
  const auto g = sum_of_blocks(layer.sums, layer.sum_blocks, padded(layer.n_out), column);
  bool moved = true;
  with_rule(networks, [&](auto rule) {
    moved = rule(layer.bias[column], g, layer.bias_first[column], layer.bias_second[column],
                 network.scalars[2 * span.index + 1]);
  });
  if (!moved) network.state->kept = 1;
}

// The loss of the step, with its penalties, added to the call's: known before the launch before has ended.
template <typename A>
__device__ void add_loss(const Networks<A>& networks, const NetworkData<A>& network, const Span& span) {
  const auto& code = networks.layer(0);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < network.losses_count; i += tile_threads) sum += network.losses[i];
  if (network.has_code_losses())
    for (int i = static_cast<int>(threadIdx.x); i < network.code_losses_count; i += tile_threads)
      sum += network.code_losses[i];
  const CodePenalty& penalty = network.objective.penalty;
  if (penalty.has_means())
    for (int j = static_cast<int>(threadIdx.x); j < code.n_out; j += tile_threads) {
      const auto [mean, complement] = code_means(network, code, j);
      sum += penalty.weight * kl_value(penalty.target, mean, complement);
    }
  sum = sum_of_block(sum);
  wait_for_launch_before();
  let_next_launch_begin();
  if (threadIdx.x != 0) return;
  network.state->next = span.index + 1;
  network.state->total += sum * static_cast<double>(span.size);
  if (!is_finite(sum)) network.state->kept = 1;  // by a penalty, which was not checked before
}

// Two blocks of a multiprocessor may have 128 registers a thread; plain sums of large tiles want more.
template <typename A, typename Shape>
constexpr int update_blocks = sizeof(typename A::number) > 4 || (A::is_plain && Shape::rows > warp_tile) ? 1 : 2;

// How the blocks of an update are shared out: the tiles of every weight, the last layer's first; the gathering of the
// next step's rows, the loss, the biases of every layer.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads, update_blocks<A, Shape>)
    update_kernel(Networks<A> networks, int gathering) {
  const NetworkData<A> network = networks.own();
  if (networks.layer_count == 1) wait_for_launch_before();
  const Span span = span_of_step(networks, network);  // of a step that failed too: its loss is added
  const bool stands_still = span.size == 0 || has_failed(network, span);
  int number = static_cast<int>(blockIdx.x);
  for (int l = networks.layer_count - 1; l >= 0; --l) {
    const auto& layer = networks.layer(l);
    if (layer.weight == nullptr) continue;
    const int tiles = static_cast<int>(tiles_of<Shape>(layer.n_out, layer.n_in));
    if (number < tiles) {
      if (!stands_still) move_weight<A, Shape, library>(networks, network, l, span, number);
      return;
    }
    number -= tiles;
  }
  if (number < gathering) {
    const Span next(network.count, span.index + 1, networks.batch_size, stands_still);
    gather(networks, next, number * tile_threads + static_cast<int>(threadIdx.x), gathering * tile_threads);
    return;
  }
  number -= gathering;
  if (number == 0) {
    if (span.size > 0) add_loss(networks, network, span);
    return;
  }
  --number;
  wait_for_launch_before();
  let_next_launch_begin();
  if (stands_still) return;
  for (int l = 0; l < networks.layer_count; ++l) {
    const auto& layer = networks.layer(l);
    const int blocks = static_cast<int>((layer.n_out + tile_threads - 1) / tile_threads);
    if (number < blocks) {
      move_biases(networks, network, layer, span, number);
      return;
    }
    number -= blocks;
  }
}

// Before the steps of a call, or of the part of it whose rows are on the device.
static __global__ void begin_kernel(CallState* states, int64_t count) {
  const int64_t i = threadIdx.x + int64_t(blockIdx.x) * blockDim.x;
  if (i >= count) return;
  auto& state = states[i];
  state.before += state.next;
  state.next = 0;
  state.failed[0] = state.failed[1] = state.failed[0] | state.failed[1];
}

// A weight that was changed from outside, as operand.
template <typename A>
__global__ void panel_kernel(LayerData<A> layer) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= layer.n_out * layer.n_in) return;
  const int64_t row = i / layer.n_in, column = i % layer.n_in;
  const auto entry = A::round(layer.weight[i]);
  if (layer.panel != nullptr) layer.panel[row * padded(layer.n_in) + column] = entry;
  if (layer.transposed != nullptr) layer.transposed[column * padded(layer.n_out) + row] = entry;
}

}  // namespace stackae::cuda
