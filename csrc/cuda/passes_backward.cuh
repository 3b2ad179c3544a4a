// The kernels of a step from the gradient of the output on: gradients of codes, then the update of every parameter.
//
// Fused: product, KL slope, L1 sign, derivative, contraction, bias gradient; product, contraction, optimiser, the
// weight's forms as operand.
// Never materialised: weight gradients, the slopes of the penalty.
#pragma once

#include "../sparsity.h"
#include "passes_forward.cuh"

namespace stackae::cuda {

// Of a column of the first code, over row blocks in order: on or off.
template <typename A>
__device__ double code_sum(const MemberData<A>& member, const typename A::number* sums, const LayerData<A>& code,
                           int64_t column) {
  double sum = 0;
#pragma unroll 4
  for (int block = 0; block < member.code_blocks; ++block)
    sum += static_cast<double>(sums[block * padded(code.n_out) + column]);
  return sum;
}

// d penalty / d h_j for a unit of the first code, the same for every row.
template <typename A>
__device__ typename A::number sparsity_slope(const Networks<A>& networks, const LayerData<A>& code, const Span& span,
                                             int column) {
  using T = typename A::number;
  const auto& member = networks.member();
  const double on = code_sum(member, member.on, code, column), off = code_sum(member, member.off, code, column);
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
  const MemberData<A>& member = networks.member();
  const int n_in = static_cast<int>(layer.n_in);
  const Place<Shape> at(n_in);
  const int ld = static_cast<int>(padded(n_in)), column = at.column + Lanes<Shape>::column();
  const bool inside = column < n_in, penalised = l == 1;
  const bool contracts = penalised && member.contraction > 0;
  const int64_t corner = int64_t(at.row) * ld + column;
  Span span;
  T slope = 0, l1 = 0, pull = 0, kept[each] = {};
  TileProduct<A, Shape> tile;
  const auto c = product_tile<A, Shape, library>(
      tile, layer.backward, layer.product, n_in, static_cast<int>(layer.n_out), at, /*early=*/true,
      [&](auto& gradient) {
        wait_for_launch_before();
        span = span_of_step(networks);
        if (has_failed(networks, span)) span.size = 0;
        let_next_launch_begin();
        gradient = {layer.gradient, padded(layer.n_out)};
        return span.size > 0;
      },
      [&] {
        if (!inside) return;
        const bool keeps = keeps_preactivation(below.activation);
#pragma unroll
        for (int i = 0; i < each; ++i) {
          const int row = Lanes<Shape>::row(i);
          if (at.row + row >= span.size) continue;
          kept[i] = keeps ? below.pre[corner + row * ld] : A::read(below.output[corner + row * ld]);
        }
        if (!penalised) return;
        if (member.sparsity_weight > 0) slope = sparsity_slope(networks, below, span, column);
        l1 = static_cast<T>(member.l1_weight / static_cast<double>(span.size));
        if (contracts)
          pull = static_cast<T>(2 * member.contraction / static_cast<double>(span.size)) * member.norms[column];
      });
  if (span.size == 0) return;
  T sum = 0;
  if (inside)
    with_activation<T>(below.activation, [&](auto f) {
      using F = decltype(f);
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = Lanes<Shape>::row(i);
        T g = 0;
        if (at.row + row < span.size) {
          T h = kept[i];
          if constexpr (std::is_same_v<F, Gelu<T>>) h = F::value(h);
          g = code_gradient<F>(c(row, Lanes<Shape>::column()), h, kept[i], slope, l1);
          if (contracts) g += steepness_gradient<F>(kept[i], pull);
        }
        sum += g;
        below.gradient[corner + row * ld] = A::round(g);
      }
    });
  sum = sum_down<Shape>(sum);
  if (Lanes<Shape>::lane() == 0 && inside) below.sums[at.row_block * ld + column] = sum;
}

// Moves p and its moments, or keeps them and says so for all of this member's parameters.
template <typename A>
__device__ void move(const Networks<A>& networks, typename A::number& p, typename A::number g,
                     typename A::number& first, typename A::number& second, const Motion<typename A::number>& motion) {
  const auto by_rule = [&] {
    switch (networks.rule) {
      case Rule::sgd: return networks.has_momentum ? sgd<true>(p, g, first, motion) : sgd<false>(p, g, first, motion);
      case Rule::adam: return adam<false>(p, g, first, second, motion);
      default: return adam<true>(p, g, first, second, motion);
    }
  };
  if (!by_rule()) networks.member().course->kept = 1;
}

// How much of each entry of row j of the code's weight the contraction adds to its gradient: 2 lambda times the mean of
// f'(a_j)^2.
template <typename A>
__device__ typename A::number weight_pull(const MemberData<A>& member, const LayerData<A>& code, int64_t unit) {
  using T = typename A::number;
  const T steep = sum_of_blocks(member.steep, member.code_blocks, padded(code.n_out), unit);
  return static_cast<T>(2 * member.contraction * static_cast<double>(steep));
}

// Moves one tile of layer l's weight by its gradient, and writes it as operand. The gradient of the last layer is
// there before the launch before has ended; what that reads may be written after.
template <typename A, typename Shape, bool library>
__device__ void move_weight(const Networks<A>& networks, int l, const Span& span, int number) {
  using T = typename A::number;
  constexpr int each = Lanes<Shape>::rows;
  const LayerData<A>& layer = networks.layer(l);
  const MemberData<A>& member = networks.member();
  const bool contracts = l == 0 && member.contraction > 0, early = !library && l > 0 && l + 1 == networks.layer_count;
  const int n_in = static_cast<int>(layer.n_in), n_out = static_cast<int>(layer.n_out);
  const Place<Shape> at(n_in, number);
  const int j = Lanes<Shape>::column(), column = at.column + j;
  const int64_t corner = int64_t(at.row) * n_in + column;
  if (!early) {
    wait_for_launch_before();
    let_next_launch_begin();
  }
  const auto holds = [&](int i) { return at.row + Lanes<Shape>::row(i) < n_out && column < n_in; };
  constexpr int at_once = each < 8 ? each : 8;  // rows of a thread whose numbers are in registers
  T p[at_once] = {}, first[at_once] = {}, second[at_once] = {};
  const auto load = [&](int begin) {
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      if (!holds(begin + i)) continue;
      const int64_t place = corner + int64_t(Lanes<Shape>::row(begin + i)) * n_in;
      p[i] = layer.weight[place];
      first[i] = layer.first[place];
      second[i] = layer.second[place];
    }
  };
  TileProduct<A, Shape> tile;
  const auto c = [&] {
    if constexpr (library) {
      load(0);
      return Entries<T, 1>{layer.weight_product + int64_t(at.row) * n_in + at.column, n_in, 0};
    } else {
      const int depth = static_cast<int>(networks.batch_size);
      for (int use = 0; use < layer.uses; ++use)
        tile.template add<true>(layer.left[use].at_step(span.index), layer.right[use].at_step(span.index), at.row,
                                at.column, depth, /*begun=*/false, [&] {
                                  if (use == 0) load(0);
                                });
      return tile.template entries<true>();
    }
  }();
  const Motion<T> motion = member.motions[2 * span.index];
  if (early) {
    wait_for_launch_before();
    let_next_launch_begin();
  }
  constexpr int stride = Shape::columns + 1;  // read along columns, so that the transpose is written along rows
  auto* const moved = TileProduct<A, Shape>::beside_results();
  const int64_t ld = padded(n_in);
  for (int begin = 0; begin < each; begin += at_once) {
    if (begin > 0) load(begin);
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const int row = Lanes<Shape>::row(begin + i);
      if (!holds(begin + i)) continue;
      T g = c(row, j);
      if (contracts) g += weight_pull(member, layer, at.row + row) * p[i];
      move(networks, p[i], g, first[i], second[i], motion);
      const int64_t place = corner + int64_t(row) * n_in;
      layer.weight[place] = p[i];
      layer.first[place] = first[i];
      layer.second[place] = second[i];
      if (layer.panel != nullptr) layer.panel[(at.row + row) * ld + column] = A::round(p[i]);
      if constexpr (!library) moved[row * stride + j] = p[i];
    }
  }
  if constexpr (!library) {
    static_assert(Shape::rows == Shape::columns);
    __syncthreads();
    const int row = at.row + j;
    if (row >= n_out) return;
#pragma unroll 8
    for (int i = 0; i < each; ++i) {
      const int across = at.column + Lanes<Shape>::row(i);
      if (across < n_in)
        layer.transposed[across * padded(n_out) + row] = A::round(moved[j * stride + Lanes<Shape>::row(i)]);
    }
  }
}

// As many biases as a block has threads.
template <typename A>
__device__ void move_biases(const Networks<A>& networks, const LayerData<A>& layer, const Span& span, int number) {
  const int column = number * tile_threads + static_cast<int>(threadIdx.x);
  if (column >= layer.n_out) return;
  const auto g = sum_of_blocks(layer.sums, layer.sum_blocks, padded(layer.n_out), column);
  move(networks, layer.bias[column], g, layer.bias_first[column], layer.bias_second[column],
       networks.member().motions[2 * span.index + 1]);
}

// The loss of the step, with its penalties, added to the call's.
template <typename A>
__device__ void add_loss(const Networks<A>& networks, const Span& span) {
  const auto& member = networks.member();
  const auto& code = networks.layer(0);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < member.losses_count; i += tile_threads) sum += member.losses[i];
  if (member.has_code_losses())
    for (int i = static_cast<int>(threadIdx.x); i < member.code_losses_count; i += tile_threads)
      sum += member.code_losses[i];
  if (member.sparsity_weight > 0)
    for (int j = static_cast<int>(threadIdx.x); j < code.n_out; j += tile_threads)
      sum += member.sparsity_weight * kl_bernoulli(member.sparsity_target, code_sum(member, member.on, code, j),
                                                   code_sum(member, member.off, code, j));
  sum = sum_of_block(sum);
  if (threadIdx.x != 0) return;
  member.course->next = span.index + 1;
  member.course->total += sum * static_cast<double>(span.size);
  if (!is_finite(sum)) member.course->kept = 1;  // by a penalty, which nobody looked at before
}

// How the blocks of an update are shared out: the tiles of every weight, the last layer's first; the gathering of the
// next step's rows, the biases of every layer, the loss.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads, sizeof(typename A::number) > 4 ? 1 : 2)
    update_kernel(Networks<A> networks, int gathering) {
  if (networks.layer_count == 1) wait_for_launch_before();
  const Span span = span_of_step(networks);  // of a step that failed too: its loss is added
  const bool stands_still = span.size == 0 || has_failed(networks, span);
  int number = static_cast<int>(blockIdx.x);
  for (int l = networks.layer_count - 1; l >= 0; --l) {
    const auto& layer = networks.layer(l);
    if (layer.weight == nullptr) continue;
    const int tiles = static_cast<int>(tiles_of<Shape>(layer.n_out, layer.n_in));
    if (number < tiles) {
      if (!stands_still) move_weight<A, Shape, library>(networks, l, span, number);
      wait_for_launch_before();
      let_next_launch_begin();
      return;
    }
    number -= tiles;
  }
  if (number < gathering) {
    const Span next(networks.member().count, span.index + 1, networks.batch_size, stands_still);
    gather(networks, next, number * tile_threads + static_cast<int>(threadIdx.x), gathering * tile_threads);
    wait_for_launch_before();
    let_next_launch_begin();
    return;
  }
  number -= gathering;
  wait_for_launch_before();
  let_next_launch_begin();
  if (span.size == 0) return;
  for (int l = 0; l < networks.layer_count; ++l) {
    const auto& layer = networks.layer(l);
    const int blocks = static_cast<int>((layer.n_out + tile_threads - 1) / tile_threads);
    if (number < blocks) {
      if (!stands_still) move_biases(networks, layer, span, number);
      return;
    }
    number -= blocks;
  }
  add_loss(networks, span);
}

// Before the steps of a call, or of the part of it whose rows are on the device.
static __global__ void begin_kernel(Course* courses, int64_t members) {
  const int64_t i = threadIdx.x + int64_t(blockIdx.x) * blockDim.x;
  if (i >= members) return;
  auto& course = courses[i];
  course.before += course.next;
  course.next = 0;
  course.failed[0] = course.failed[1] = course.failed[0] | course.failed[1];
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
