// The checks of a training step's arguments, made once. Messages read "argument: expected X, got Y".
#pragma once

#include <ATen/ops/max.h>
#include <ATen/ops/min.h>

#include "step.h"

namespace stackae {

inline void check_layer(const std::vector<DenseLayer>& layers, size_t i) {
  const auto& layer = layers[i];
  const auto type = layers[0].weight.defined() ? layers[0].weight.scalar_type() : at::kFloat;
  const bool tied = layer.tied_to >= 0;
  TORCH_CHECK_VALUE(tied ? layer.tied_to < static_cast<int64_t>(i) && layers[layer.tied_to].tied_to < 0
                         : layer.weight.defined() && layer.weight.dim() == 2 && layer.weight.numel() > 0,
                    "layer ", i + 1, ": expected a weight (n_out, n_in), or tied_to an earlier layer that has one");
  const at::Tensor& weight = layers[tied ? layer.tied_to : i].weight;
  const int64_t n_out = weight.size(tied ? 1 : 0);
  TORCH_CHECK_VALUE(layer.bias.defined() && layer.bias.dim() == 1 && layer.bias.size(0) == n_out, "layer ", i + 1,
                    ": expected a bias of shape (", n_out, ",)");
  for (const auto& parameter : {weight, layer.bias}) {
    TORCH_CHECK_TYPE(parameter.scalar_type() == type && (type == at::kFloat || type == at::kDouble), "layer ", i + 1,
                     ": expected parameters of one type, float32 or float64, got ", parameter.scalar_type());
    TORCH_CHECK_VALUE(parameter.device() == layers[0].bias.device() && parameter.is_contiguous(), "layer ", i + 1,
                      ": expected contiguous parameters on one device");
  }
}

inline int64_t width_in(const std::vector<DenseLayer>& layers, size_t i) {
  const bool tied = layers[i].tied_to >= 0;
  return layers[tied ? layers[i].tied_to : i].weight.size(tied ? 0 : 1);
}

// Rows lie on the device of the parameters, or in host memory: then they are copied batch by batch.
inline void check_rows(const char* what, const at::Tensor& x, const at::Tensor& offset, const at::Tensor& scale,
                       int64_t width, const at::Tensor& like) {
  TORCH_CHECK_VALUE(x.dim() == 2 && x.size(1) == width, what, ": expected shape (n, ", width, "), got ", x.sizes());
  TORCH_CHECK_VALUE((x.device() == like.device() || x.is_cpu()) && x.is_contiguous(), what,
                    ": expected contiguous rows on ", like.device(), " or on the CPU");
  const auto kind = x.scalar_type(), type = like.scalar_type();
  TORCH_CHECK_TYPE(kind == at::kByte || kind == at::kFloat || kind == type, what, ": expected uint8, float32 or ", type,
                   ", got ", kind);
  if (kind != at::kByte) return;
  for (const auto& each : {offset, scale})
    TORCH_CHECK_VALUE(each.defined() && each.scalar_type() == at::kFloat && each.is_contiguous() && each.dim() == 1 &&
                          each.size(0) == width && each.device() == x.device(),
                      "offset and scale: expected float32 of shape (", width, ",) beside bytes");
}

inline void check_labels(const Rows& rows, int64_t classes) {
  TORCH_CHECK_VALUE(rows.labels.defined() && rows.labels.scalar_type() == at::kLong && rows.labels.is_contiguous() &&
                        rows.labels.device() == rows.x.device() && rows.labels.dim() == 1 &&
                        rows.labels.size(0) == rows.x.size(0),
                    "labels: expected int64 of shape (", rows.x.size(0), ",) beside x");
  if (rows.labels.numel() == 0) return;
  const auto lowest = rows.labels.min().item<int64_t>(), highest = rows.labels.max().item<int64_t>();
  TORCH_CHECK_VALUE(lowest >= 0 && highest < classes, "labels: expected 0 to ", classes - 1, ", got ",
                    lowest < 0 ? lowest : highest);
}

// What the output should be, and the weights of rows.
inline void check_targets(const Training& training) {
  const auto& [layers, objective, update, rows] = training;
  const int64_t n = rows.x.size(0), n_visible = rows.x.size(1), n_out = layers.back().bias.size(0);
  const auto& like = layers[0].bias;
  TORCH_CHECK_VALUE(!rows.weights.defined() ||
                        (rows.weights.scalar_type() == like.scalar_type() && rows.weights.is_contiguous() &&
                         rows.weights.sizes() == at::IntArrayRef({n}) && rows.weights.device() == rows.x.device()),
                    "weights: expected ", like.scalar_type(), " of shape (", n, ",) beside x");
  if (objective.loss == Loss::cross_entropy) {
    TORCH_CHECK_VALUE(layers.back().activation == Activation::linear, "layers: expected linear logits on top");
    return check_labels(rows, n_out);
  }
  if (rows.labels.defined()) return check_labels(rows, n_out);
  if (rows.targets.defined()) {
    check_rows("targets", rows.targets, rows.target_offset, rows.target_scale, n_out, like);
    TORCH_CHECK_VALUE(rows.targets.size(0) == n && rows.targets.device() == rows.x.device(), "targets: expected ", n,
                      " rows beside x, got ", rows.targets.size(0));
    return;
  }
  TORCH_CHECK_VALUE(n_out == n_visible, "layers: expected a reconstruction of ", n_visible, " features, got ", n_out);
}

inline void check_noise(const Objective& objective, int64_t layers) {
  const auto& [inputs, units, dropped] = objective.dropout;
  TORCH_CHECK_VALUE(inputs >= 0 && inputs < 1 && units >= 0 && units < 1,
                    "dropout: expected probabilities of at least 0 and below 1, got ", inputs, " and ", units);
  TORCH_CHECK_VALUE(dropped >= 0 && dropped < layers, "dropout: expected that of the outputs of fewer than ", layers,
                    " layers, got ", dropped);
  TORCH_CHECK_VALUE(inputs + units == 0 || objective.layer + layers < stream_places, "layer: expected one below ",
                    stream_places - layers, " beside dropout, got ", objective.layer);
  TORCH_CHECK_VALUE(!objective.emphasis.given() || objective.corruption.noise != Noise::gaussian,
                    "emphasis: expected noise that strikes some inputs and leaves others, got gaussian");
}

inline void check_penalty(const CodePenalty& penalty, const std::vector<DenseLayer>& layers) {
  TORCH_CHECK_VALUE(penalty.weight >= 0 && penalty.contraction >= 0,
                    "sparsity and contraction: expected weights of at least 0, got ", penalty.weight, " and ",
                    penalty.contraction);
  TORCH_CHECK_VALUE(layers.size() > 1 || (penalty.weight == 0 && penalty.contraction == 0),
                    "sparsity and contraction: expected a code between two layers, got one layer");
  if (!penalty.has_means()) return;
  const auto code = layers[0].activation;
  TORCH_CHECK_VALUE(code == Activation::sigmoid || code == Activation::tanh,
                    "sparsity: expected a sigmoid or tanh code, got ", activation_names[static_cast<size_t>(code)]);
  TORCH_CHECK_VALUE(penalty.target > 0 && penalty.target < 1,
                    "sparsity: expected a target mean activation in (0, 1), got ", penalty.target);
}

inline void check_keeps(const Training& training) {
  const auto& [layers, objective, update, rows] = training;
  const auto& [dead, silent_rows, weight] = objective.auxiliary;
  TORCH_CHECK_VALUE(dead == 0 || (dead > 0 && silent_rows > 0 && silent_rows <= 1 << 24 && weight >= 0),
                    "auxiliary: expected at least 0 units, 1 to ", 1 << 24, " rows and a weight of at least 0, got ",
                    dead, ", ", silent_rows, " and ", weight);
  TORCH_CHECK_VALUE(dead == 0 || objective.keeps > 0, "auxiliary: expected a code that keeps few units, got keeps 0");
  TORCH_CHECK_VALUE(objective.share >= 0 && objective.share < 1 && (objective.share == 0 || objective.keeps == 0),
                    "share: expected at least 0 and below 1, and 0 beside keeps, got ", objective.share);
  if (objective.keeps == 0 && objective.share == 0) return;
  TORCH_CHECK_VALUE(
      layers.size() == 2 && layers[1].bias.size(0) == rows.x.size(1) && objective.loss != Loss::cross_entropy,
      "keeps: expected an autoencoder of one layer each way, got ", layers.size(), " layers and loss ",
      loss_names[static_cast<size_t>(objective.loss)]);
  TORCH_CHECK_VALUE(objective.keeps >= 0 && objective.keeps <= layers[0].bias.size(0), "keeps: expected 0 to ",
                    layers[0].bias.size(0), " units of the code, got ", objective.keeps);
  const auto refuse = [](bool given, const char* what) {
    TORCH_CHECK_VALUE(!given, what, ": expected a code of which all units are kept, got keeps or share beside it");
  };
  refuse(objective.penalty.weight > 0 || objective.penalty.contraction > 0, "sparsity and contraction");
  for (const auto& layer : layers)
    refuse(layer.rate != 1 || layer.begins > 0 || !layer.decays, "learning rates and decay of single layers");
}

inline void check_training(const Training& training) {
  const auto& [layers, objective, update, rows] = training;
  TORCH_CHECK_VALUE(!layers.empty(), "layers: expected at least one, got none");
  for (size_t i = 0; i < layers.size(); ++i) check_layer(layers, i);
  for (size_t i = 1; i < layers.size(); ++i)
    TORCH_CHECK_VALUE(width_in(layers, i) == layers[i - 1].bias.size(0), "layer ", i + 1, ": expected to read ",
                      layers[i - 1].bias.size(0), " outputs of the layer below, got ", width_in(layers, i));
  check_rows("x", rows.x, rows.offset, rows.scale, width_in(layers, 0), layers[0].bias);
  TORCH_CHECK_VALUE(objective.seed >= 0 && objective.layer >= 0 && objective.layer < (1 << 24),
                    "seed and layer: expected a seed of at least 0 and a layer below 16777216, got ", objective.seed,
                    " and ", objective.layer);
  check_penalty(objective.penalty, layers);
  TORCH_CHECK_VALUE(
      update.ramp_epochs == 0 || (update.rule == Rule::sgd && update.ramp_epochs > 0 && update.steps_per_epoch > 0),
      "momentum_ramp: expected epochs of at least one step, and optimizer sgd, got ", update.ramp_epochs, " epochs of ",
      update.steps_per_epoch, " steps, and ", rule_names[static_cast<size_t>(update.rule)]);
  check_noise(objective, static_cast<int64_t>(layers.size()));
  TORCH_CHECK_VALUE(objective.weight_l1 >= 0 && objective.max_norm >= 0,
                    "weight_l1 and max_norm: expected numbers of at least 0, got ", objective.weight_l1, " and ",
                    objective.max_norm);
  for (const auto& layer : layers)
    TORCH_CHECK_VALUE(layer.begins == 0 || objective.weight_l1 == 0,
                      "weight_l1: expected layers that all move from the first step on, got one that begins with step ",
                      layer.begins);
  check_targets(training);
  check_keeps(training);
}

// What the step of a GPU does not have.
inline void check_fused_on_gpu(const Training& training) {
  const auto& [layers, objective, update, rows] = training;
  const auto refuse = [](bool given, const char* what) {
    TORCH_CHECK_VALUE(!given, what, ": expected a training on the CPU, got one on a GPU, whose fused step has none");
  };
  refuse(update.ramp_epochs > 0, "momentum_ramp");
  refuse(objective.weight_l1 > 0, "weight_l1");
  refuse(objective.max_norm > 0, "max_norm");
  refuse(objective.emphasis.given(), "emphasis");
  refuse(objective.dropout.inputs > 0 || objective.dropout.units > 0, "dropout");
  refuse(rows.targets.defined() || (rows.labels.defined() && objective.loss != Loss::cross_entropy), "targets");
  refuse(rows.weights.defined(), "weights of rows");
  refuse(objective.keeps > 0, "keeps");
  refuse(objective.share > 0, "share");
  for (const auto& layer : layers)
    refuse(layer.rate != 1 || layer.begins > 0 || !layer.decays, "learning rates and decay of single layers");
}

// Networks that train together have one shape; they may differ in seeds, rates, noise, penalties and rows.
inline void check_trainings(const std::vector<Training>& trainings) {
  TORCH_CHECK_VALUE(!trainings.empty(), "trainings: expected at least one, got none");
  const auto& first = trainings[0];
  for (size_t i = 0; i < trainings.size(); ++i) {
    const auto& each = trainings[i];
    check_training(each);
    bool same = each.layers.size() == first.layers.size() && each.objective.loss == first.objective.loss &&
                each.update.rule == first.update.rule && each.rows.x.scalar_type() == first.rows.x.scalar_type() &&
                each.rows.x.device() == first.rows.x.device();
    for (size_t l = 0; same && l < first.layers.size(); ++l) {
      const auto &own = each.layers[l], &wanted = first.layers[l];
      same = own.activation == wanted.activation && own.tied_to == wanted.tied_to &&
             own.bias.sizes() == wanted.bias.sizes() && own.bias.options().type_equal(wanted.bias.options()) &&
             width_in(each.layers, l) == width_in(first.layers, l) && own.bias.device() == wanted.bias.device();
    }
    TORCH_CHECK_VALUE(same, "training ", i + 1,
                      ": expected the shape, activations, loss, optimiser and type of rows of the first one");
  }
}

inline void check_ranks(const std::vector<Training>& trainings, const Ranks& ranks) {
  TORCH_CHECK_VALUE(
      ranks.count > 0 && ranks.rank >= 0 && ranks.rank < ranks.count && (ranks.several() || ranks.count == 1),
      "ranks: expected a rank below their number, and a sum over them, got rank ", ranks.rank, " of ", ranks.count);
  for (const auto& each : trainings)
    TORCH_CHECK_VALUE(!ranks.several() || (!each.objective.over_batch && each.objective.share == 0),
                      "ranks: expected a code of which each row keeps its own units, got one that is selected over the "
                      "batch");
}

inline void check_advance(const std::vector<Training>& trainings, const std::vector<Batches>& batches,
                          int64_t batch_size, int64_t step) {
  TORCH_CHECK_VALUE(batches.size() == trainings.size(), "batches: expected those of ", trainings.size(),
                    " networks, got ", batches.size());
  TORCH_CHECK_VALUE(batch_size > 0 && step >= 0, "batch_size and step: expected at least 1 and at least 0, got ",
                    batch_size, " and ", step);
  for (size_t i = 0; i < trainings.size(); ++i) {
    const at::Tensor& rows = batches[i].rows;
    TORCH_CHECK_VALUE(
        rows.scalar_type() == at::kLong && rows.dim() == 1 && rows.is_contiguous() && rows.device().is_cpu(),
        "rows: expected int64 indices of shape (k,) on the CPU");
    const int64_t steps = static_cast<int64_t>(batches[i].learning_rates.size());
    const int64_t wanted = (rows.numel() + batch_size - 1) / batch_size;
    TORCH_CHECK_VALUE(wanted == steps, "learning_rates: expected one for each of ", wanted, " batches, got ", steps);
    const int64_t n = trainings[i].rows.x.size(0);
    const auto* const indices = rows.const_data_ptr<int64_t>();
    for (int64_t k = 0; k < rows.numel(); ++k)
      TORCH_CHECK_VALUE(indices[k] >= 0 && indices[k] < n, "rows: expected indices of ", n, " rows, got ", indices[k]);
  }
}

}  // namespace stackae
