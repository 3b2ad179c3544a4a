// The input passes of a step: gather rows, scale and corrupt them; for a contraction, the norms of the code's weights.
#pragma once

#include "passes.cuh"

namespace stackae::cuda {

// Rows of the source for one step, corrupted, as operand; rows that the batch lacks are zeros. Every thread has whole
// blocks of the generator: those from `number` on, `apart` from each other.
template <typename A>
__device__ void gather(const Networks<A>& networks, const Span& span, int number, int apart) {
  using T = typename A::number;
  const NetworkData<A> network = networks.own();
  if (span.size == 0) return;
  const int width = static_cast<int>(network.source.width), chunks = (width + chunk_words - 1) / chunk_words;
  const int blocks_a_row = chunks * chunk_blocks, rows = static_cast<int>(padded(networks.batch_size));
  const int ld = static_cast<int>(padded(width));
  auto* const to = network.x + span.index % 2 * network.x_turn;
  const auto& corruption = network.objective.corruption;
  const Stream stream(network.objective.seed, Purpose::corruption, static_cast<uint32_t>(network.objective.layer),
                      network.first_step + span.index);
  for (; number < rows * blocks_a_row; number += apart) {
    const int row = number / blocks_a_row, block = number % blocks_a_row;
    const int first = block / chunk_blocks * chunk_words + block % chunk_blocks;
    const bool inside = row < span.size;
    const int64_t from = inside ? row_number(network, span.begin + row) : 0;
    T x[4] = {};
    for (int lane = 0; lane < 4; ++lane) {
      const int column = first + lane * chunk_blocks;
      if (inside && column < width) x[lane] = read_entry<T>(network.source, from, column);
    }
    float draws[4] = {};
    if (corruption.noise != Noise::none) draw_block(corruption, stream, static_cast<uint32_t>(number), draws);
    for (int lane = 0; lane < 4; ++lane) {
      const int column = first + lane * chunk_blocks;
      if (column >= width) continue;
      if (inside) x[lane] = corrupt_entry(corruption, x[lane], draws[lane]);
      to[int64_t(row) * ld + column] = A::round(x[lane]);
    }
  }
}

// The rows of the step that comes next.
template <typename A>
__global__ void __launch_bounds__(tile_threads) gather_kernel(Networks<A> networks) {
  wait_for_launch_before();
  const auto& network = networks.own();
  const Span span(network.count, network.state->next, networks.batch_size, false);
  let_next_launch_begin();
  gather(networks, span, static_cast<int>(blockIdx.x) * tile_threads + static_cast<int>(threadIdx.x),
         static_cast<int>(gridDim.x) * tile_threads);
}

// |W_j|^2 for each unit of the first code, before the update: the factor of its contraction. One block per unit.
template <typename A>
__global__ void __launch_bounds__(tile_threads) norms_kernel(Networks<A> networks) {
  wait_for_launch_before();
  let_next_launch_begin();
  const auto& layer = networks.layer(0);
  const int64_t unit = blockIdx.x;
  double own = 0;
  for (int64_t i = threadIdx.x; i < layer.n_in; i += tile_threads) {
    const auto w = static_cast<double>(layer.weight[unit * layer.n_in + i]);
    own += w * w;
  }
  own = sum_of_block(own);
  if (threadIdx.x == 0) networks.own().norms[unit] = static_cast<typename A::number>(own);
}

}  // namespace stackae::cuda
