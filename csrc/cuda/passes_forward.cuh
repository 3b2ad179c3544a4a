// The kernels of a step up to the loss and its gradient: gather, forward, output; logits and softmax.
//
// Fused: rows, scaling, noise; product, bias, activation, code sums; product, bias, activation, loss, gradient, bias
// gradient. Never materialised: the reconstruction, a target, noise, pre-activations (but for GELU).
#pragma once

#include "passes.cuh"

namespace stackae {

// Rows of the source, corrupted, as operand; rows that the batch lacks are zeros. One thread a block of the generator.
template <typename A>
__global__ void gather_kernel(Networks<A> networks) {
  using T = typename A::number;
  const auto& member = networks.member();
  const Span span = span_of_gather(networks);
  const int64_t number = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (number == 0) {
    member.course->current = member.course->next;
    member.course->halted = member.course->refused() ? 1 : 0;
  }
  const int64_t width = member.source.width, chunks = (width + chunk_words - 1) / chunk_words;
  const int64_t row = number / (chunks * chunk_blocks);
  if (span.size == 0 || row >= padded(networks.batch_size)) return;
  const int64_t chunk = number / chunk_blocks % chunks;
  float draws[4] = {};
  if (member.corruption.noise != Noise::none) {
    const Stream stream(member.key.seed, Purpose::corruption, static_cast<uint32_t>(member.key.layer),
                        member.first_step + span.index);
    draw_block(member.corruption, stream, static_cast<uint32_t>(number), draws);
  }
  auto* const to = member.x + row * padded(width);
  for (int lane = 0; lane < 4; ++lane) {
    const int64_t column = chunk * chunk_words + lane * chunk_blocks + number % chunk_blocks;
    if (column >= width) continue;
    T x = 0;
    if (row < span.size) {
      x = read_entry<T>(member.source, member.rows[span.begin + row], column);
      x = corrupt_entry(member.corruption, x, draws[lane]);
    }
    to[column] = A::round(x);
  }
}

// |W_j|^2 for each unit of the first code, before anything moves: what its contraction is weighed with. One block a
// unit.
template <typename A>
__global__ void __launch_bounds__(tile_threads) norms_kernel(Networks<A> networks) {
  const auto& layer = networks.layer(0);
  const int64_t unit = blockIdx.x;
  double own = 0;
  for (int64_t i = threadIdx.x; i < layer.n_in; i += tile_threads) {
    const auto w = static_cast<double>(layer.weight[unit * layer.n_in + i]);
    own += w * w;
  }
  own = sum_of_block(own);
  if (threadIdx.x == 0) networks.member().norms[unit] = static_cast<typename A::number>(own);
}

// h = f(x W^T + b), and of the first code its sums for the penalties.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) forward_kernel(Networks<A> networks, int64_t l) {
  using T = typename A::number;
  const Span span = span_of_forward(networks);
  if (span.size == 0) return;
  const auto& member = networks.member();
  const auto& layer = networks.layer(l);
  const Place<Shape> at(layer.n_out);
  const auto c =
      tile_entries<A, Shape, library>(layer.input, layer.forward, layer.product, layer.n_out, layer.n_in, at);
  const int64_t ld = padded(layer.n_out), column = at.column + Lanes<Shape>::column();
  const bool inside = column < layer.n_out, centred = layer.activation == Activation::tanh;
  const T bias = inside ? layer.bias[column] : T(0), share = T(1) / static_cast<T>(span.size);
  const bool contracts = l == 0 && member.contraction > 0;
  T on = 0, off = 0, absolute = 0, steep = 0;
  with_activation<T>(layer.activation, [&](auto f) {
    using F = decltype(f);
    Lanes<Shape>::for_rows([&](int i) {
      const int64_t row = at.row + i;
      if (!inside) return;
      T h = 0;
      if (row < span.size) {
        const T a = c(i, Lanes<Shape>::column()) + bias;
        h = F::value(a);
        T kept = h;
        if constexpr (std::is_same_v<F, Gelu<T>>) layer.pre[row * ld + column] = kept = a;
        on += unit_code(h, centred) * share;
        off += (T(1) - unit_code(h, centred)) * share;
        absolute += h < 0 ? -h : h;
        if (contracts) steep += steepness<F>(kept) * share;
      }
      layer.output[row * ld + column] = A::round(h);
    });
  });
  if (l > 0) return;
  if (member.sparsity_weight > 0) {
    on = sum_down<Shape>(on);
    off = sum_down<Shape>(off);
    if (Lanes<Shape>::lane() == 0 && inside) {
      member.on[at.row_block * ld + column] = on;
      member.off[at.row_block * ld + column] = off;
    }
  }
  if (!member.has_code_losses()) return;
  double loss = static_cast<double>(absolute) * member.l1_weight / static_cast<double>(span.size);
  if (contracts) {
    steep = sum_down<Shape>(steep);
    if (Lanes<Shape>::lane() == 0 && inside) {
      member.steep[at.row_block * ld + column] = steep;
      loss += member.contraction * static_cast<double>(steep) * static_cast<double>(member.norms[column]);
    }
  }
  loss = sum_of_block(loss);
  if (threadIdx.x == 0) {
    member.code_losses[blockIdx.x] = loss;
    if (!is_finite(loss)) member.course->failed = 1;
  }
}

// What the last kernel before the gradients leaves behind; `loss` is that of this block's rows and columns.
template <typename A>
__device__ void note_loss(const MemberData<A>& member, const Span& span, double loss) {
  member.losses[blockIdx.x] = loss;
  if (!is_finite(loss)) member.course->failed = 1;
  if (blockIdx.x == 0) member.course->next = span.index + 1;
}

// The gradient of the output's pre-activation, its columns' sums, and the loss; the target is the row itself.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) output_kernel(Networks<A> networks, int64_t l) {
  using T = typename A::number;
  const Span span = span_of_forward(networks);
  if (span.size == 0) return;
  const auto& member = networks.member();
  const auto& layer = networks.layer(l);
  const Place<Shape> at(layer.n_out);
  const auto c =
      tile_entries<A, Shape, library>(layer.input, layer.forward, layer.product, layer.n_out, layer.n_in, at);
  const int64_t ld = padded(layer.n_out), column = at.column + Lanes<Shape>::column();
  const bool inside = column < layer.n_out;
  const T bias = inside ? layer.bias[column] : T(0), share = T(1) / static_cast<T>(span.size);
  T loss = 0, sum = 0;
  const auto each_row = [&](auto entry) {
    Lanes<Shape>::for_rows([&](int i) {
      const int64_t row = at.row + i;
      if (!inside) return;
      T g = 0;
      if (row < span.size) {
        const T target = read_entry<T>(member.source, member.rows[span.begin + row], column);
        g = entry(c(i, Lanes<Shape>::column()) + bias, target);
      }
      sum += g;
      layer.gradient[row * ld + column] = A::round(g);
    });
  };
  if (networks.loss == Loss::binary_cross_entropy)
    each_row([&](T a, T target) { return binary_cross_entropy(a, target, share, loss); });
  else
    with_activation<T>(layer.activation, [&](auto f) {
      each_row([&](T a, T target) { return squared_error<decltype(f)>(a, target, share, loss); });
    });
  sum = sum_down<Shape>(sum);
  if (Lanes<Shape>::lane() == 0 && inside) layer.sums[at.row_block * ld + column] = sum;
  const double total = sum_of_block(static_cast<double>(loss)) * static_cast<double>(share);
  if (threadIdx.x == 0) note_loss(member, span, total);
}

// The product of the last layer of a classifier alone: softmax needs whole rows.
template <typename A, typename Shape, bool library>
__global__ void __launch_bounds__(tile_threads) logits_kernel(Networks<A> networks, int64_t l) {
  if (span_of_forward(networks).size == 0) return;
  const auto& layer = networks.layer(l);
  const Place<Shape> at(layer.n_out);
  const auto c =
      tile_entries<A, Shape, library>(layer.input, layer.forward, layer.product, layer.n_out, layer.n_in, at);
  const int64_t column = at.column + Lanes<Shape>::column();
  Lanes<Shape>::for_rows([&](int i) {
    if (column < layer.n_out)
      networks.member().logits[(at.row + i) * padded(layer.n_out) + column] = c(i, Lanes<Shape>::column());
  });
}

template <typename T, typename Combine>
__device__ T over_warp(T own, Combine combine) {
  for (int bits = 16; bits > 0; bits /= 2) own = combine(own, from_lane_xor(own, bits));
  return own;
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

// A block has the rows of one row block: a warp a row, then a thread a column for the sums.
template <typename A, typename Shape>
__global__ void __launch_bounds__(tile_threads) softmax_kernel(Networks<A> networks, int64_t l) {
  using T = typename A::number;
  const Span span = span_of_forward(networks);
  if (span.size == 0) return;
  const auto& member = networks.member();
  const auto& layer = networks.layer(l);
  const int64_t ld = padded(layer.n_out), begin = int64_t(blockIdx.x) * Shape::size;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const T share = T(1) / static_cast<T>(span.size);
  double loss = 0;
  for (int64_t row = begin + warp; row < begin + Shape::size && row < span.size; row += tile_threads / 32) {
    const int64_t label = member.labels[member.rows[span.begin + row]];
    const T own = softmax_row(member.logits + row * ld, layer.bias, layer.n_out, label, share, lane);
    if (lane == 0) loss += static_cast<double>(own);
  }
  __syncthreads();
  for (int64_t column = threadIdx.x; column < layer.n_out; column += tile_threads) {
    T sum = 0;
    for (int64_t row = begin; row < begin + Shape::size; ++row) {
      const T g = row < span.size ? member.logits[row * ld + column] : T(0);
      sum += g;
      layer.gradient[row * ld + column] = A::round(g);
    }
    layer.sums[blockIdx.x * ld + column] = sum;
  }
  const double total = sum_of_block(loss) * static_cast<double>(share);
  if (threadIdx.x == 0) note_loss(member, span, total);
}

}  // namespace stackae
