// The kernels of a step from the gradient of the output on: gradients of codes, then the update of every parameter.
//
// Fused: product, KL slope, L1 sign, derivative, contraction, bias gradient; product, contraction, optimiser, the
// weight's forms as operand.
// Never materialised: weight gradients, the slopes of the penalty.
#pragma once

#include "../sparsity.h"
#include "passes.cuh"

namespace stackae {

// d penalty / d h_j for a unit of the first code, the same for every row.
template <typename A, typename Shape>
__device__ typename A::number sparsity_slope(const Networks<A>& networks, const LayerData<A>& code, const Span& span,
                                             int64_t column) {
  using T = typename A::number;
  const auto& member = networks.member();
  const int64_t ld = padded(code.n_out), blocks = (span.size + Shape::size - 1) / Shape::size;
  double on = 0, off = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    on += static_cast<double>(member.on[block * ld + column]);
    off += static_cast<double>(member.off[block * ld + column]);
  }
  const double scale = member.sparsity_weight * (code.activation == Activation::tanh ? 0.5 : 1);
  constexpr double largest = sizeof(T) == 8 ? 1.7976931348623157e308 : 3.4028234663852886e38;
  return to_finite<T>(scale * kl_slope(member.sparsity_target, on, off) / static_cast<double>(span.size), largest);
}

// The gradient of layer l - 1's pre-activation from that of layer l, and its columns' sums.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) backward_kernel(Networks<A> networks, int64_t l) {
  using T = typename A::number;
  const Span span = span_of_backward(networks);
  if (span.size == 0) return;
  const auto& member = networks.member();
  const auto &layer = networks.layer(l), &below = networks.layer(l - 1);
  const Place<Shape> at(layer.n_in);
  const Factor<typename A::operand> gradient{layer.gradient, padded(layer.n_out)};
  const auto c = tile_entries<A, Shape, library>(gradient, layer.backward, layer.product, layer.n_in, layer.n_out, at);
  const int64_t ld = padded(layer.n_in), column = at.column + Lanes<Shape>::column();
  const bool inside = column < layer.n_in, penalised = l == 1;
  const bool contracts = penalised && member.contraction > 0;
  T slope = 0, l1 = 0, pull = 0, sum = 0;
  if (penalised && inside && member.sparsity_weight > 0)
    slope = sparsity_slope<A, Shape>(networks, below, span, column);
  if (penalised) l1 = static_cast<T>(member.l1_weight / static_cast<double>(span.size));
  if (contracts && inside)
    pull = static_cast<T>(2 * member.contraction / static_cast<double>(span.size)) * member.norms[column];
  with_activation<T>(below.activation, [&](auto f) {
    using F = decltype(f);
    Lanes<Shape>::for_rows([&](int i) {
      const int64_t row = at.row + i;
      if (!inside) return;
      T g = 0;
      if (row < span.size) {
        const T h = A::read(below.output[row * ld + column]);
        T kept = h;
        if constexpr (std::is_same_v<F, Gelu<T>>) kept = below.pre[row * ld + column];
        g = code_gradient<F>(c(i, Lanes<Shape>::column()), h, kept, slope, l1);
        if (contracts) g += steepness_gradient<F>(kept, pull);
      }
      sum += g;
      below.gradient[row * ld + column] = A::round(g);
    });
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
template <typename A, typename Shape>
__device__ typename A::number weight_pull(const Networks<A>& networks, const LayerData<A>& code, const Span& span,
                                          int64_t unit) {
  using T = typename A::number;
  const auto& member = networks.member();
  const int64_t blocks = (span.size + Shape::size - 1) / Shape::size;
  const T steep = sum_of_blocks(member.steep, blocks, padded(code.n_out), unit);
  return static_cast<T>(2 * member.contraction * static_cast<double>(steep));
}

// Moves one tile of layer l's weight by its gradient, and writes it as operand.
template <typename A, typename Shape, bool library>
__device__ void move_weight(const Networks<A>& networks, int64_t l, const Span& span, int64_t number) {
  using T = typename A::number;
  const auto& layer = networks.layer(l);
  const bool contracts = l == 0 && networks.member().contraction > 0;
  const Place<Shape> at(layer.n_in, number);
  Entries<T> c{layer.weight_product + at.row * layer.n_in + at.column, layer.n_in, 0, 1};
  if constexpr (!library) {
    TileProduct<A, Shape> tile;
    for (int use = 0; use < layer.uses; ++use)
      tile.template add<true>(layer.left[use], layer.right[use], at.row, at.column, networks.batch_size);
    c = tile.entries();
  }
  const Motion<T> motion = networks.member().motions[2 * span.index];
  const int j = Lanes<Shape>::column();
  Lanes<Shape>::for_rows([&](int i) {
    const int64_t row = at.row + i, column = at.column + j;
    if (row >= layer.n_out || column >= layer.n_in) return;
    const int64_t place = row * layer.n_in + column;
    T p = layer.weight[place], first = layer.first[place], second = layer.second[place], g = c(i, j);
    if (contracts) g += weight_pull<A, Shape>(networks, layer, span, row) * p;
    move(networks, p, g, first, second, motion);
    layer.weight[place] = p;
    layer.first[place] = first;
    layer.second[place] = second;
    if (layer.panel != nullptr) layer.panel[row * padded(layer.n_in) + column] = A::round(p);
    if constexpr (!library) dynamic_shared<T>()[i * TileProduct<A, Shape>::stride + j] = p;
  });
  if constexpr (!library) {
    __syncthreads();  // the tile is read along its columns now, so that its transpose is written along rows
    Lanes<Shape>::for_rows([&](int i) {
      const int64_t row = at.row + j, column = at.column + i;
      if (row < layer.n_out && column < layer.n_in)
        layer.transposed[column * padded(layer.n_out) + row] =
            A::round(dynamic_shared<T>()[j * TileProduct<A, Shape>::stride + i]);
    });
  }
}

// 128 biases a block.
template <typename A, typename Shape>
__device__ void move_biases(const Networks<A>& networks, const LayerData<A>& layer, const Span& span, int64_t number) {
  const int64_t column = number * tile_threads + threadIdx.x;
  if (column >= layer.n_out) return;
  const int64_t blocks = (span.size + Shape::size - 1) / Shape::size;
  const auto g = sum_of_blocks(layer.sums, blocks, padded(layer.n_out), column);
  move(networks, layer.bias[column], g, layer.bias_first[column], layer.bias_second[column],
       networks.member().motions[2 * span.index + 1]);
}

// The loss of the step, with its penalties, added to the call's.
template <typename A, typename Shape>
__device__ void add_loss(const Networks<A>& networks, const Span& span) {
  const auto& member = networks.member();
  const auto &code = networks.layer(0), &top = networks.layer(networks.layer_count - 1);
  const auto across = [](int64_t columns) { return (columns + Shape::size - 1) / Shape::size; };
  const int64_t used = (networks.batch_size + Shape::size - 1) / Shape::size;
  const int64_t parts = used * (networks.loss == Loss::cross_entropy ? 1 : across(top.n_out));
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += tile_threads) sum += member.losses[i];
  if (member.has_code_losses())
    for (int64_t i = threadIdx.x; i < used * across(code.n_out); i += tile_threads) sum += member.code_losses[i];
  if (member.sparsity_weight > 0)
    for (int64_t j = threadIdx.x; j < code.n_out; j += tile_threads) {
      double on = 0, off = 0;
      for (int64_t block = 0; block < used; ++block) {
        on += static_cast<double>(member.on[block * padded(code.n_out) + j]);
        off += static_cast<double>(member.off[block * padded(code.n_out) + j]);
      }
      sum += member.sparsity_weight * kl_bernoulli(member.sparsity_target, on, off);
    }
  sum = sum_of_block(sum);
  if (threadIdx.x != 0) return;
  member.course->total += sum * static_cast<double>(span.size);
  if (!is_finite(sum)) member.course->kept = 1;  // by a penalty, which nobody looked at before
}

// Blocks: the tiles of every weight, then the biases of every layer, then one for the loss.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) update_kernel(Networks<A> networks) {
  const Span span = span_of_forward(networks);  // of a step that failed too: its loss is added
  if (span.size == 0) return;
  const bool stands_still = networks.member().course->failed != 0;
  int64_t number = blockIdx.x;
  for (int64_t l = 0; l < networks.layer_count; ++l) {
    const auto& layer = networks.layer(l);
    if (layer.weight == nullptr) continue;
    const int64_t tiles =
        ((layer.n_out + Shape::size - 1) / Shape::size) * ((layer.n_in + Shape::size - 1) / Shape::size);
    if (number < tiles) {
      if (!stands_still) move_weight<A, Shape, library>(networks, l, span, number);
      return;
    }
    number -= tiles;
  }
  for (int64_t l = 0; l < networks.layer_count; ++l) {
    const auto& layer = networks.layer(l);
    const int64_t blocks = (layer.n_out + tile_threads - 1) / tile_threads;
    if (number < blocks) {
      if (!stands_still) move_biases<A, Shape>(networks, layer, span, number);
      return;
    }
    number -= blocks;
  }
  add_loss<A, Shape>(networks, span);
}

// Before the steps of a call, or of the part of it whose rows are on the device.
static __global__ void begin_kernel(Course* courses, int64_t members) {
  const int64_t i = threadIdx.x + int64_t(blockIdx.x) * blockDim.x;
  if (i >= members) return;
  courses[i].before += courses[i].next;
  courses[i].next = 0;
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

}  // namespace stackae
