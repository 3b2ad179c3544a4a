// What a training step is told: the networks, their objectives, how they are updated, and the rows they read.
#pragma once

#include <memory>
#include <optional>
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
  double sparsity_target = 0.05, sparsity_weight = 0, l1_weight = 0, contraction = 0;
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

// One network of a training, and what it is trained for.
struct Member {
  std::vector<DenseLayer> layers;
  Objective objective;
  Update update;
  Corruption corruption;
  Rows rows;
  NoiseKey key;
};

// What a call trains one member on: rows (int64), cut into batches, with one learning rate for each of them. `total` is
// the sum of the losses of the batches before.
struct Batches {
  at::Tensor rows;
  std::vector<double> learning_rates;
  double total = 0;
};

// How far a call came. `total`: the sum that it was given, to which the loss of each batch times its rows was added,
// one after another in their order. `steps`: how many were taken.
struct Progress {
  double total = 0;
  int64_t steps = 0;
};

// fp32 is the arithmetic of the parameters' own type, float64 included; tf32 and bf16 round the operands of products
// and nothing else: sums, weights, moments and every other pass are float32.
enum class Precision { fp32, tf32, bf16 };

// Trains one network, or several of one shape together.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // One step for each learning rate: step + i on the i-th batch_size of a member's rows. Losses are those before each
  // step. What is not finite never gets into parameters or moments. A batch whose loss is not finite moves nothing; one
  // whose update would make some of them not finite leaves these as they are, and moves the others. Either ends the
  // call for its member; its loss is added, and it is no step taken. A member without rows stands still.
  virtual std::vector<Progress> advance(const std::vector<Batches>& batches, int64_t batch_size, int64_t step) = 0;

  // The update's memory, member by member and layer by layer: the first and second moments of its weight, where it has
  // one of its own, and of its bias. What is copied into them is what the next step goes on from.
  virtual std::vector<std::vector<at::Tensor>> moments() const = 0;
};

// How a kind of device trains: a step for members that fit each other, and the library of its products, if it has any
// of that precision.
struct StepMaker {
  std::unique_ptr<TrainStep> (*make)(std::vector<Member> members, Precision precision);
  std::optional<std::string> (*products)(Precision precision);
};

// Each device's sources announce themselves while the extension is loaded, as ops do to the dispatcher.
struct RegisterSteps {
  RegisterSteps(at::DeviceType device, StepMaker maker);
};

// The maker for a device; null where the extension has none.
const StepMaker* steps_on(at::DeviceType device);

}  // namespace stackae
