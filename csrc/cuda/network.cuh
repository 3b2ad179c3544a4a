// The data of networks and of their progress that the kernels of a training step read; all of it lies on the device.
#pragma once

#include "../source.h"
#include "../update.h"
#include "noise.cuh"
#include "tile.cuh"

namespace stackae::cuda {

// Rows and columns of operands are padded with zeros to whole tiles of any shape and whole chunks of any type.
constexpr int64_t padding = 128;
STACKAE_HOST_DEVICE inline int64_t padded(int64_t n) { return (n + padding - 1) / padding * padding; }

// One weight's gradient is a sum of this many matmuls at the most: its own layer's, and those of layers tied to it.
constexpr int most_uses = 4;

// A layer of one network. `forward` and `backward` are its weight as right factor, with k along its rows.
template <typename A>
struct LayerData {
  using number = typename A::number;
  using operand = typename A::operand;

  int64_t n_in, n_out;
  Activation activation;
  Factor<operand> input, forward, backward;
  operand *output, *gradient;  // (rows, padded(n_out))
  number *pre, *sums;          // sums (sum_blocks, padded(n_out)): of the gradient's columns, by tiles of rows
  int sum_blocks;
  number *bias, *bias_first, *bias_second;
  number* product;  // of the library, (rows, n_out) or (rows, n_in)

  // Only where the weight is this layer's own: its gradient is the sum over uses of left^T right.
  number *weight, *first, *second, *weight_product;
  operand *panel, *transposed;  // the weight as operand (n_out, n_in), and its transpose; null where nothing reads them
  Factor<operand> left[most_uses], right[most_uses];
  int uses;
};

// How far a call has come. Nobody reads what its own launch writes, or threads of one block could part ways. The first
// kernel of a step reads `next`, `kept` and what the step before wrote to `failed`, and writes `current` and `halted`,
// which all others read. Where a loss is not finite, `failed` is written for this step. The update writes `next` and
// `total`, and `kept` where a parameter would not be finite. `before` counts the steps of the parts of the call that
// are over.
struct CallState {
  int64_t next, current, before;
  double total;
  int failed[2];  // by even and odd steps; that of the next step is 0, or it would not be begun
  int kept, halted;

  STACKAE_HOST_DEVICE bool refused() const { return failed[0] != 0 || failed[1] != 0 || kept != 0; }
  Progress progress() const { return {total, before + next - (refused() ? 1 : 0)}; }
};

template <typename A>
struct NetworkData {
  using number = typename A::number;

  Source source;
  const int64_t* labels;
  const int32_t* rows;  // the numbers of the call's rows; null where they lie in the order in which they are read
  const OptimizerScalars<number>* scalars;  // of step i: 2 i for weights, 2 i + 1 for biases
  int64_t count, first_step;
  Objective objective;
  typename A::operand* x;                   // the rows of a batch as operand, in two buffers that steps use by turns
  int64_t x_turn;                           // entries to the second of them; 0: there is one
  number *means, *complements, *steepness;  // of the code, (code_blocks, padded(n_hidden)), by tiles of rows
  number* norms;                            // of each row of the code's weight, squared
  number* logits;
  int code_blocks, code_losses_count, losses_count;
  double *losses, *code_losses;
  CallState* state;

  // Whether the first code adds to the loss of each tile: a NaN or Inf there shows before any parameter is updated.
  __device__ bool has_code_losses() const { return objective.penalty.has_entries() || objective.penalty.contracts(); }
};

// The argument of every kernel of a step.
template <typename A>
struct Networks {
  const NetworkData<A>* data;
  const LayerData<A>* layers;  // network by network
  int layer_count;
  int64_t batch_size;
  Loss loss;
  Rule rule;
  bool has_momentum;

  __device__ const NetworkData<A>& own() const { return data[blockIdx.z]; }
  __device__ const LayerData<A>& layer(int l) const { return layers[static_cast<int>(blockIdx.z) * layer_count + l]; }
};

// The rows of one step: those of the call from `begin` on. A network that has none left, or stands still, has size 0.
struct Span {
  int64_t index = 0, begin = 0;
  int size = 0;

  Span() = default;
  __device__ Span(int64_t count, int64_t index, int64_t batch_size, bool stands_still)
      : index(index), begin(index * batch_size) {
    const int64_t left = count - begin;
    if (!stands_still && left > 0) size = static_cast<int>(left < batch_size ? left : batch_size);
  }
};

// Of the step that this launch begins, which notes how far the call has come.
template <typename A>
__device__ Span begin_step(const Networks<A>& networks, const NetworkData<A>& network) {
  auto* const state = network.state;
  const int64_t index = state->next;
  const bool stands_still = state->kept != 0 || state->failed[(index + 1) % 2] != 0;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    state->current = index;
    state->halted = stands_still ? 1 : 0;
  }
  return {network.count, index, networks.batch_size, stands_still};
}

// Of the same step before the launch before has ended, which may be the one that begins it: should it stand still, this
// does not tell. Not in the first launch of a step, nor in the update.
template <typename A>
__device__ Span expected_span(const NetworkData<A>& network, int64_t batch_size) {
  return {network.count, network.state->next, batch_size, false};
}

// Of the step that an earlier launch began: for forward passes and the loss, and for what only a finite loss allows.
template <typename A>
__device__ Span span_of_step(const Networks<A>& networks, const NetworkData<A>& network) {
  return {network.count, network.state->current, networks.batch_size, network.state->halted != 0};
}
template <typename A>
__device__ bool has_failed(const NetworkData<A>& network, const Span& span) {
  return network.state->failed[span.index % 2] != 0;
}
template <typename A>
__device__ void fail(const NetworkData<A>& network, const Span& span) {
  network.state->failed[span.index % 2] = 1;
}

// The place in the source of row i of the call.
template <typename A>
__device__ int64_t row_number(const NetworkData<A>& network, int64_t i) {
  return network.rows == nullptr ? i : network.rows[i];
}

// Entry (row, column) of the source.
template <typename T>
__device__ T read_entry(const Source& source, int64_t row, int64_t column) {
  const int64_t at = row * source.width + column;
  switch (source.type) {
    case Source::Type::bytes:
      return static_cast<T>(
          scaled_byte(static_cast<const uint8_t*>(source.data)[at], source.offset[column], source.scale[column]));
    case Source::Type::single_precision: return static_cast<T>(static_cast<const float*>(source.data)[at]);
    default: return static_cast<T>(static_cast<const double*>(source.data)[at]);
  }
}

}  // namespace stackae::cuda
