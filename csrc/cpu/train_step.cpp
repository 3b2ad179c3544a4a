// See train_step.h. One step, by passes over memory: gather and corrupt; each layer's matmul with bias, activation and
// code sums in the tile; the last one's with the loss and its gradient; each gradient with penalty, derivative and bias
// gradient; each weight gradient with the update of its weight.
//
// Never materialized: the reconstruction, a target, noise, pre-activations (but where f' is of them), weight gradients.
// Contract: nothing is allocated after the first batch of a size; the bits are the same for any number of threads; a
// batch whose loss is not finite updates nothing, and a parameter that would not be finite, or whose moments would not,
// keeps its value.
//
// Several ranks add up what they made of their shares of a batch: after the forward passes the loss and the code sums,
// after the backward passes all gradients, which then are in memory (gradients.h). What depends on weights alone comes
// after that, on each rank alike: penalties on weights, and the update.
#include "train_step.h"

#include <cmath>

#include "../versions.h"
#include "code_sums.h"
#include "gradients.h"
#include "tiles.h"

namespace stackae::cpu {
namespace {

template <typename T, typename O>
class Step final : public CpuStep {
 public:
  Step(Training training, Ranks ranks)
      : CpuStep(std::move(ranks)),
        parameters_(std::move(training.layers)),
        objective_(training.objective),
        update_(training.update),
        rows_(std::move(training.rows)),
        source_(source_of(rows_)),
        unit_scale_(static_cast<T>(1 / (1 - objective_.dropout.units))),
        targets_(rows_, objective_) {
    network_.add_layers(parameters_);
    const int64_t sums = 1 + sums_per_unit(objective_.penalty) * network_.layers[0].n_out;
    sums_ = at::zeros({sums}, at::kDouble);
    if (ranks_.several()) gradients_.add_room(network_, parameters_[0].bias.options().requires_grad(false));
  }

  std::vector<at::Tensor> moments() const override { return network_.moments; }

 private:
  double one_step(const Batch& batch, int64_t step, double learning_rate) override {
    const Noises noises{objective_, step};
    gather(batch, noises);
    double loss = 0;
    for (int64_t l = 0; l < network_.last(); ++l) loss += forward(l, batch, noises);
    loss += objective_.loss == Loss::cross_entropy ? classify(batch) : reconstruct(batch);
    if (ranks_.several()) loss = add_losses(loss, batch);
    if (!std::isfinite(loss)) return loss;
    Update update = update_;
    update.momentum = update_.momentum_at(step);
    int64_t lowest = 0;
    while (lowest < network_.last() && !parameters_[lowest].moves(step)) ++lowest;
    for (int64_t l = network_.last(); l > lowest; --l) backward(l, batch);
    if (ranks_.several()) add_gradients(lowest, batch, step);
    for (int64_t l = lowest; l <= network_.last(); ++l) {
      const auto& own = parameters_[l];
      if (!own.moves(step)) continue;
      const auto scalars = [&](bool decays) {
        return OptimizerScalars<T>(update, own.rate * learning_rate, step - own.begins, decays);
      };
      if (!network_.layers[l].tied) loss += move_weight(l, batch, scalars(own.decays));
      move_bias(l, batch, scalars(/*decays=*/false));
    }
    return loss;
  }

  void gather(const Batch& batch, const Noises& noises) {
    const auto& form = network_.outputs[0];
    O* const panel = network_.half ? form.panel : nullptr;
    const int64_t pairs = (batch.size + 1) / 2;
    const int64_t grain = std::max<int64_t>(1, smallest_parallel_size / (8 * source_.width));
    parallel_for(pairs, grain, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      gather_pass(source_, batch, noises, 2 * begin, std::min(2 * end, batch.size), tiles_.input_row(), form.rows,
                  panel, form.ld);
    });
    if (network_.struck != nullptr)
      strike(objective_.corruption.level, noises.corruption(), batch, source_.width, network_.struck);
  }

  // Output of layer l, which is not the last; returns the penalties on the code.
  double forward(int64_t l, const Batch& batch, const Noises& noises) {
    auto& layer = network_.layers[l];
    auto& out = network_.outputs[l + 1];
    const auto& penalty = objective_.penalty;
    const CodeTerms<T> code = network_.code_terms(l, penalty, batch.whole);
    const double weight = l == 0 && penalty.has_entries() ? penalty.weight / static_cast<double>(batch.whole) : 0;
    O* const whole = layer.whole != nullptr ? layer.whole : out.rows;
    if (layer.dropped != nullptr) strike(objective_.dropout.units, noises.units(l), batch, layer.n_out, layer.dropped);
    tiles_.for_each({network_.output_product(l, batch.size)}, out,
                    [&](T* c, int64_t ld, const Tile& tile, uint32_t* pairs) {
                      activation_pass(c, ld, layer.padded_bias, layer.activation, whole, layer.pre, out.ld, code, tile);
                      tiles_.losses[tile.number] = weight > 0 ? weight * entry_pass(c, ld, code.entry, tile) : 0;
                      if (layer.dropped != nullptr)
                        drop_pass(c, ld, layer.dropped, layer.whole, out.rows, out.ld, unit_scale_, tile);
                      store(c, ld, out, tile, pairs);
                    });
    const double entries = weight > 0 ? tiles_.sum_of_losses() : 0;
    if (l > 0) return entries;
    add_up(layer, penalty, code, batch.size, sums() + 1);
    return ranks_.several() ? entries : entries + settle(layer, penalty, code, batch.whole, sums() + 1);
  }

  // The loss of the whole batch, of which each rank has the errors of its rows, and the code's sums with it.
  double add_losses(double loss, const Batch& batch) {
    sums()[0] = loss;
    ranks_.sum(sums_);
    const auto& penalty = objective_.penalty;
    const CodeTerms<T> code = network_.code_terms(0, penalty, batch.whole);
    const bool has_code = network_.last() > 0;
    return sums()[0] + (has_code ? settle(network_.layers[0], penalty, code, batch.whole, sums() + 1) : 0);
  }

  double reconstruct(const Batch& batch) {
    const int64_t l = network_.last();
    auto& layer = network_.layers[l];
    auto& form = network_.gradients[l];
    const T share = T(1) / static_cast<T>(batch.whole);
    tiles_.for_each(
        {network_.output_product(l, batch.size)}, form, [&](T* c, int64_t ld, const Tile& tile, uint32_t* pairs) {
          tiles_.losses[tile.number] = output_pass(c, ld, layer.padded_bias, layer.activation, objective_.loss,
                                                   targets_, batch, share, form.rows, form.ld, layer.sums, tile);
          store(c, ld, form, tile, pairs);
        });
    return tiles_.sum_of_losses();
  }

  // Softmax needs whole rows: the logits are computed first.
  double classify(const Batch& batch) {
    const int64_t l = network_.last();
    auto& layer = network_.layers[l];
    auto& form = network_.gradients[l];
    const T share = T(1) / static_cast<T>(batch.whole);
    T* const logits = tiles_.own_type(form.rows, tiles_.whole);
    tiles_.for_each({network_.output_product(l, batch.size)}, form, [&](T* c, int64_t ld, const Tile& tile, uint32_t*) {
      T* const to = logits + tile.row_begin * form.ld + tile.column_begin;
      for (int64_t i = 0; c != to && i < tile.row_end - tile.row_begin; ++i)
        std::copy_n(c + i * ld, tile.column_end - tile.column_begin, to + i * form.ld);
    });
    for_each_tile(batch.size, 1, layer.n_out, [&](const Tile& block) {
      Tile tile = block;
      T* const c = logits + tile.row_begin * form.ld;
      tiles_.losses[tile.row_block] = softmax_pass(c, form.ld, layer.padded_bias, targets_, batch, share, form.rows,
                                                   form.ld, layer.sums, layer.n_out, tile);
      for (tile.column_begin = 0; tile.column_begin < layer.n_out; tile.column_begin = tile.column_end) {
        tile.column_end = std::min(tile.column_begin + tile_columns, layer.n_out);
        store(c + tile.column_begin, form.ld, form, tile, tiles_.scratch().pairs);
      }
    });
    tiles_.use_row_blocks(batch.size);
    return tiles_.sum_of_losses();
  }

  // Gradient of layer l - 1's pre-activation from that of layer l.
  void backward(int64_t l, const Batch& batch) {
    auto& below = network_.layers[l - 1];
    auto &kept = network_.outputs[l], &form = network_.gradients[l - 1];
    const CodeTerms<T> code = network_.code_terms(l - 1, objective_.penalty, batch.whole);
    const O* const whole = below.whole != nullptr ? below.whole : kept.rows;
    tiles_.for_each({network_.input_product(l, batch.size)}, form,
                    [&](T* c, int64_t ld, const Tile& tile, uint32_t* pairs) {
                      if (below.dropped != nullptr)
                        drop_pass(c, ld, below.dropped, static_cast<O*>(nullptr), static_cast<O*>(nullptr), kept.ld,
                                  unit_scale_, tile);
                      derivative_pass(c, ld, whole, below.pre, kept.ld, code, below.activation, form.rows, form.ld,
                                      below.sums, tile);
                      store(c, ld, form, tile, pairs);
                    });
  }

  // Calls body(c, ld, tile, pairs) for every tile of the gradient of a weight.
  template <typename Body>
  void for_each_gradient(int64_t l, const Batch& batch, Body body) {
    products_.clear();
    for (int64_t each = l; each <= network_.last(); ++each)
      if (network_.layers[each].owner == l) products_.push_back(network_.weight_product(each, batch.size));
    tiles_.for_each(products_, {}, body);
  }

  // The gradients of the layers from the lowest that moves, over the whole batch.
  void add_gradients(int64_t lowest, const Batch& batch, int64_t step) {
    for (int64_t l = lowest; l <= network_.last(); ++l) {
      const auto& layer = network_.layers[l];
      if (batch.size == 0 || !parameters_[l].moves(step)) {
        gradients_.clear_layer(l);
        continue;
      }
      T* const own = gradients_.of_layer(l);
      const int64_t own_ld = padded(layer.n_in);
      if (!layer.tied)
        for_each_gradient(l, batch, [&](const T* c, int64_t ld, const Tile& tile, uint32_t*) {
          for (int64_t i = tile.row_begin; i < tile.row_end; ++i)
            std::copy_n(c + (i - tile.row_begin) * ld, tile.column_end - tile.column_begin,
                        own + i * own_ld + tile.column_begin);
        });
      add_row_blocks(layer, batch);
      std::copy_n(layer.sums, layer.n_out, gradients_.bias_of(l, layer));
    }
    ranks_.sum(gradients_.from_layer(lowest));
  }

  // Returns the L1 penalty of the weight as it was.
  double move_weight(int64_t l, const Batch& batch, const OptimizerScalars<T>& scalars) {
    auto& layer = network_.layers[l];
    const T* const terms = l == 0 ? network_.code.weight_terms : nullptr;
    const double l1 = objective_.weight_l1;
    const auto move = [&](T* c, int64_t ld, const Tile& tile, uint32_t* pairs) {
      const int64_t at = tile.row_begin * layer.n_in + tile.column_begin;
      const int64_t rows = tile.row_end - tile.row_begin, columns = tile.column_end - tile.column_begin;
      if (terms != nullptr)
        weight_term_pass(c, ld, layer.weight + at, layer.n_in, terms + tile.row_begin, rows, columns);
      if (l1 > 0)
        tiles_.losses[tile.number] =
            weight_l1_pass(c, ld, layer.weight + at, layer.n_in, static_cast<T>(l1), rows, columns);
      if (!update_pass(layer.weight + at, layer.n_in, c, ld, layer.first + at, layer.second + at, rows, columns,
                       update_.rule, scalars))
        moved_.store(false, std::memory_order_relaxed);
      store_weight(c, ld, layer, tile, pairs);
    };
    if (gradients_.given())
      tiles_.for_each_of(gradients_.of_layer(l), layer.n_out, layer.n_in, move);
    else
      for_each_gradient(l, batch, move);
    const double penalty = l1 > 0 ? l1 * tiles_.sum_of_losses() : 0;
    if (objective_.max_norm > 0) constrain(layer);
    return penalty;
  }

  // Scales the weights of units whose norm is beyond the limit, and renews the forms of these alone.
  void constrain(LayerState<T, O>& layer) {
    norms_.resize(std::max<size_t>(norms_.size(), layer.n_out));
    norms_of(layer, norms_.data());
    for_each_tile(layer.n_out, layer.n_in, 1, [&](const Tile& tile) {
      T* const w = layer.weight + tile.row_begin * layer.n_in + tile.column_begin;
      if (shorten_pass(w, layer.n_in, norms_.data() + tile.row_begin, static_cast<T>(objective_.max_norm),
                       tile.row_end - tile.row_begin, tile.column_end - tile.column_begin))
        refresh(layer, tile);
    });
  }

  void add_row_blocks(const LayerState<T, O>& layer, const Batch& batch) {
    for (int64_t block = 1; block < row_blocks(batch.size); ++block)
      for (int64_t j = 0; j < layer.n_out; ++j) layer.sums[j] += layer.sums[block * padded(layer.n_out) + j];
  }

  void move_bias(int64_t l, const Batch& batch, const OptimizerScalars<T>& scalars) {
    auto& layer = network_.layers[l];
    const int64_t ld = padded(layer.n_out);
    if (!gradients_.given()) add_row_blocks(layer, batch);
    T* const gradient = gradients_.given() ? gradients_.bias_of(l, layer) : layer.sums;
    if (!update_pass(layer.bias, ld, gradient, ld, layer.bias_first, layer.bias_second, 1, layer.n_out, update_.rule,
                     scalars))
      moved_ = false;
    std::copy_n(layer.bias, layer.n_out, layer.padded_bias);
  }

  void store(const T* c, int64_t ld, const Form<O>& form, const Tile& tile, uint32_t* pairs) {
    if constexpr (Network<T, O>::half)
      store_pass(c, ld, form.columns, form.columns_ld, form.panel, form.ld, pairs, tile);
  }

  void store_weight(const T* c, int64_t ld, const LayerState<T, O>& layer, const Tile& tile, uint32_t* pairs) {
    if constexpr (Network<T, O>::half)
      store_weight_pass(c, ld, layer.panel, layer.panel_ld, layer.transposed, layer.transposed_ld, pairs, tile);
  }

  // ---- memory

  // Everything is there for batches of this size and for the threads there are, and the forms are those of the weights.
  void prepare(int64_t size) override {
    if (size > capacity_ || at::get_num_threads() > threads_) {
      capacity_ = std::max(capacity_, size);
      threads_ = std::max(threads_, at::get_num_threads());
      network_.add_batch(capacity_, objective_);
      targets_.struck = network_.struck;
      targets_.struck_ld = network_.outputs[0].ld;
      tiles_.add_room(network_, capacity_, threads_, network_.batch);
    }
    if (!versions_.changed(parameters_)) return;
    for (auto& layer : network_.layers) {
      std::copy_n(layer.bias, layer.n_out, layer.padded_bias);
      if (network_.half && !layer.tied)
        for_each_tile(layer.n_out, layer.n_in, 1, [&](const Tile& tile) { refresh(layer, tile); });
    }
  }

  void finish() override { versions_.moved(parameters_); }

  // The forms of a tile of a weight.
  void refresh(const LayerState<T, O>& layer, const Tile& tile) {
    if constexpr (!Network<T, O>::half) return;
    Scratch<T>& own = tiles_.scratch();
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i)
      std::copy_n(layer.weight + i * layer.n_in + tile.column_begin, tile.column_end - tile.column_begin,
                  own.c + (i - tile.row_begin) * scratch_ld);
    store_weight(own.c, scratch_ld, layer, tile, own.pairs);
  }

  double* sums() const { return sums_.mutable_data_ptr<double>(); }

  std::vector<DenseLayer> parameters_;
  const Objective objective_;
  const Update update_;
  const Rows rows_;
  const Source source_;
  const T unit_scale_;  // of units that are not dropped
  Targets<T> targets_;
  Network<T, O> network_;
  Tiles<T, O> tiles_;
  Gradients<T> gradients_;
  at::Tensor sums_;  // float64: the loss, and the sums of each unit of the code
  std::vector<Product<O>> products_;
  std::vector<T> norms_;
  Versions versions_;
  int64_t capacity_ = 0;
  int threads_ = 0;
};

}  // namespace

Progress CpuStep::advance(const Batches& batches, int64_t batch_size, int64_t step) {
  const auto& [rows, learning_rates, total] = batches;
  const int64_t count = rows.numel();
  Progress progress{total, 0};
  if (count == 0) return progress;
  const FlushDenormals flush;
  prepare((std::min(batch_size, count) + ranks_.count - 1) / ranks_.count);
  for (const double learning_rate : learning_rates) {
    const int64_t begin = progress.steps * batch_size, whole = std::min(batch_size, count - begin);
    const int64_t first = ranks_.begin(whole);
    const Batch batch{rows.const_data_ptr<int64_t>() + begin + first, ranks_.end(whole) - first, first, whole};
    moved_ = true;
    const double loss = one_step(batch, step + progress.steps, learning_rate);
    progress.total += loss * static_cast<double>(whole);
    if (!std::isfinite(loss) || !moved_) break;
    ++progress.steps;
  }
  finish();
  return progress;
}

std::unique_ptr<CpuStep> make_cpu_step(Training training, Precision precision, Ranks ranks) {
  if (precision == Precision::bf16)
    return std::make_unique<Step<float, c10::BFloat16>>(std::move(training), std::move(ranks));
  if (training.layers[0].bias.scalar_type() == at::kDouble)
    return std::make_unique<Step<double, double>>(std::move(training), std::move(ranks));
  return std::make_unique<Step<float, float>>(std::move(training), std::move(ranks));
}

}  // namespace stackae::cpu
