// The arguments and results of a training step: networks, objectives, updates, and the rows that are read.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "activation.h"
#include "code_penalty.h"
#include "corruption.h"

namespace stackae {

// y = f(x W^T + b); weight (n_out, n_in), or undefined where W is the transposed weight of layer `tied_to`. The layer
// stands still before step `begins`, from which Adam counts, and then learns at `rate` times the given learning rate;
// its weight decays where it says so.
struct DenseLayer {
  at::Tensor weight, bias;
  Activation activation = Activation::linear;
  int64_t tied_to = -1;
  double rate = 1;
  int64_t begins = 0;
  bool decays = true;

  bool moves(int64_t step) const { return step >= begins; }
};

enum class Loss { squared_error, binary_cross_entropy, cross_entropy };
enum class Rule { sgd, adam, adamw };
// fp32 is the arithmetic of the parameters' own type, float64 included; tf32 and bf16 round the operands of matmuls
// and nothing else: sums, weights, optimizer state and every other pass are float32.
enum class Precision { fp32, tf32, bf16 };

constexpr std::array<std::string_view, 3> loss_names = {"mse", "bce", "cross_entropy"};
constexpr std::array<std::string_view, 3> rule_names = {"sgd", "adam", "adamw"};
constexpr std::array<std::string_view, 3> precision_names = {"fp32", "tf32", "bf16"};

// Weights of the errors of inputs that the corruption replaced, and of the others.
struct Emphasis {
  double replaced = 1, others = 1;
  bool given() const { return replaced != 1 || others != 1; }
};

// The probabilities by which an input is dropped, and a unit of each of the first `layers` layers; what is kept is
// divided by its own probability. Drawn by (seed, layer, step), from streams apart from the corruption's.
struct Dropout {
  double inputs = 0, units = 0;
  int64_t layers = 0;
  bool of_layer(int64_t l) const { return units > 0 && l < layers; }
};

// A loss of dead units of a code that keeps few: those that were not active in the last `rows` rows. The `keeps` of
// them with the largest pre-activations a in a row make sum_j a_j D_j of it, D_j the decoder's weights of unit j; the
// squared distance to what the reconstruction lacks times `weight` q / (2 batch size) is added to the loss, q its
// curvature: 2 for a squared error, 1/16 for a cross-entropy. What it lacks is the gradient with respect to the
// output's pre-activation times -batch size / q, and a constant in this loss.
struct Auxiliary {
  int64_t keeps = 0, rows = 0;
  double weight = 0;
};

// Layers below this number have streams of their own: for the corruption, and for the dropout of inputs and of units.
constexpr int64_t stream_places = 1 << 20;

// The objective of a network: the loss of its last layer's output, from inputs corrupted by (seed, layer, step), and
// penalties on its first layer's code. Kernels take this struct as it is. What follows the layer is the CPU's alone:
// weight_l1 times the sum of the absolute weights, each counted once; after a step, every unit's incoming weights are
// scaled down to the norm max_norm, where that is not 0; of the code, all units stay active, or where keeps is not 0
// the keeps largest of each row, with over_batch on average over the batch, or where share is not 0 each unit in the
// share of the batch's rows in which it is largest.
struct Objective {
  Loss loss = Loss::squared_error;
  Corruption corruption;
  CodePenalty penalty;
  int64_t seed = 0, layer = 0;
  double weight_l1 = 0, max_norm = 0;
  Emphasis emphasis;
  Dropout dropout;
  int64_t keeps = 0;
  bool over_batch = false;
  double share = 0;
  Auxiliary auxiliary;

  bool keeps_few() const { return keeps > 0 || share > 0; }
};

struct Update {
  Rule rule = Rule::adam;
  double weight_decay = 0, momentum = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  // The momentum of SGD moves to `last_momentum` over so many epochs; 0 for none. The CPU alone has this.
  double last_momentum = 0;
  int64_t ramp_epochs = 0, steps_per_epoch = 1;

  double momentum_at(int64_t step) const {
    constexpr double least = 1e-30;  // at 0 there would be no velocity
    if (ramp_epochs == 0) return momentum;
    const double done = static_cast<double>(step / steps_per_epoch);
    const double share = ramp_epochs > 1 ? std::min(1.0, done / static_cast<double>(ramp_epochs - 1)) : 1.0;
    return std::max(momentum + (last_momentum - momentum) * share, least);
  }
};

// x (n, n_visible): floating-point numbers of the network's type or float32 as they are, or bytes, read as
// (x - offset) / scale. What the network's output should be: of the class that labels (n,) int64 name, by cross-entropy
// or as 1 beside zeros; or targets (n, n_out), given as x may be, NaN where unknown; without both, the rows themselves.
// weights (n,), of the network's type, multiply the loss of each row.
struct Rows {
  at::Tensor x, offset, scale, labels, targets, target_offset, target_scale, weights;
};

// One network and its objective.
struct Training {
  std::vector<DenseLayer> layers;
  Objective objective;
  Update update;
  Rows rows;
};

// The batches of one network in a call: rows (int64), cut into batches, with one learning rate per batch. `total` is
// the sum of the losses of the earlier batches.
struct Batches {
  at::Tensor rows;
  std::vector<double> learning_rates;
  double total = 0;
};

// The progress of a call. `total`: the given sum plus the loss of each batch times its rows, added one after another in
// their order. `steps`: the number of steps taken.
struct Progress {
  double total = 0;
  int64_t steps = 0;
};

// The processes that train one network together: each has all rows and the same parameters, and computes its share of
// every batch. `sum` replaces the numbers of a tensor by their sums over the ranks, the same bits on each of them; all
// ranks call it for the same tensors in the same order.
struct Ranks {
  int64_t rank = 0, count = 1;
  std::function<void(const at::Tensor&)> sum;

  bool several() const { return static_cast<bool>(sum); }
  // The first row of a rank's share of a batch of so many, and with the next rank its end.
  int64_t begin(int64_t size) const { return size * rank / count; }
  int64_t end(int64_t size) const { return size * (rank + 1) / count; }
};

// Trains one network, or several of one shape together.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // Takes one step per learning rate: step + i on the i-th batch of a network's rows. Losses are those before each
  // step. Parameters and optimizer state stay finite: a batch whose loss is not finite updates nothing; one whose
  // update would make some of them infinite or NaN leaves these as they are, and updates the others. Either ends the
  // call for its network; its loss is added, but the step is not counted. A network without rows is not changed.
  virtual std::vector<Progress> advance(const std::vector<Batches>& batches, int64_t batch_size, int64_t step) = 0;

  // The optimizer state, network by network and layer by layer: the first and second moments of its weight, where it
  // has one of its own, and of its bias; with an auxiliary loss, at last the rows since each unit was active, counted
  // up to its limit. The next step continues from what is copied into them.
  virtual std::vector<std::vector<at::Tensor>> moments() const = 0;
};

// How a kind of device trains: a step for trainings that fit each other, and the library of its matmuls, if it has any
// of that precision.
struct StepMaker {
  std::unique_ptr<TrainStep> (*make)(std::vector<Training> trainings, Precision precision, Ranks ranks);
  std::optional<std::string> (*products)(Precision precision);
};

// Each device's sources announce themselves while the extension is loaded, as ops do to the dispatcher.
struct RegisterSteps {
  RegisterSteps(at::DeviceType device, StepMaker maker);
};

// The maker for a device; null where the extension has none.
const StepMaker* steps_on(at::DeviceType device);

}  // namespace stackae
