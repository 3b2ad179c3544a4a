// What a training step is told: the network, its objective, how it is updated, and the rows it reads.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "activation.h"
#include "corruption.h"

namespace stackae {

// y = f(x W^T + b); weight (n_out, n_in), or undefined where W is the transposed weight of layer `tied_to`.
struct DenseLayer {
  at::Tensor weight, bias;
  Activation activation = Activation::linear;
  int64_t tied_to = -1;
};

enum class Loss { squared_error, binary_cross_entropy, cross_entropy };

// The loss of the last layer's output, and the penalties on the first layer's code.
struct Objective {
  Loss loss = Loss::squared_error;
  double sparsity_target = 0.05, sparsity_weight = 0, l1_weight = 0;
};

enum class Rule { sgd, adam, adamw };

struct Update {
  Rule rule = Rule::adam;
  double weight_decay = 0, momentum = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

// x (n, n_visible): floating-point numbers of the network's type or float32 as they are, or bytes, read as
// (x - offset) / scale. labels (n,) int64 for cross-entropy; otherwise the rows are their own targets.
struct Rows {
  at::Tensor x, offset, scale, labels;
};

// Where the noise of a step comes from.
struct NoiseKey {
  int64_t seed = 0, layer = 0;
};

class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // One step for each learning rate: step + i on the i-th batch_size of the given rows (int64). Returns the sum over
  // rows of the loss before each step. A batch whose loss is not finite ends the call: it moves nothing, and that
  // loss is returned.
  virtual double advance(const at::Tensor& rows, int64_t batch_size, int64_t step,
                         const std::vector<double>& learning_rates) = 0;

  // The update's memory, layer by layer: the first and second moments of its weight, where it has one of its own, and
  // of its bias. What is copied into them is what the next step goes on from.
  virtual std::vector<at::Tensor> moments() const = 0;
};

}  // namespace stackae
