// See train_step.h: the step of an autoencoder whose code keeps K units of each row, or K * rows of the batch.
//
// The one dense matmul is the encoder's, as W x^T: its tiles go by unit after unit and are sifted while they are in
// cache (sparse_selection.h), so that no dense code of the batch is ever there. All else reads and writes active units
// alone: a row of the output is a sum of K rows of the decoder's transposed weight, and one pass over the units makes
// both gradients of a unit's weights from its own rows of the batch, in their order, and updates these weights while
// they are in cache. A unit has one thread: the same bits for any number of them.
//
// Weights of units that are not active are updated too: Adam moves them by its moments, and the next matmul reads all
// of the encoder's. The decoder's weight and its moments are kept transposed; the user's weight is written at the end
// of a call.
//
// Several ranks add up what they made of their shares of a batch: the loss and which units were active, and then the
// gradients of all units, which are in memory then, instead of one unit's at a time.
#include <cmath>

#include "../versions.h"
#include "product.h"
#include "sparse_auxiliary.h"
#include "sparse_lifetime.h"
#include "sparse_selection.h"
#include "sparse_weights.h"
#include "tiles.h"
#include "train_step.h"

namespace stackae::cpu {
namespace {

template <typename T>
class SparseStep final : public CpuStep {
 public:
  SparseStep(Training training, Ranks ranks)
      : CpuStep(std::move(ranks)),
        weights_(std::move(training.layers), training.objective.max_norm > 0),
        objective_(training.objective),
        update_(training.update),
        rows_(std::move(training.rows)),
        source_(source_of(rows_)),
        targets_(rows_, objective_),
        selection_(objective_.keeps, objective_.over_batch, n_hidden_),
        lifetime_(objective_.share, n_hidden_),
        dead_(objective_, weights_.layers[0]) {
    if (!ranks_.several()) return;
    const auto options = weights_.layers[0].bias.options().requires_grad(false);
    losses_and_active_ = at::zeros({1 + n_hidden_}, at::kDouble);
    gradients_ = at::zeros({(n_hidden_ * (weights_.tied ? 1 : 2) + 1) * n_visible_ + n_hidden_}, options);
  }

  std::vector<at::Tensor> moments() const override {
    std::vector<at::Tensor> all = weights_.moments;
    if (dead_.silent.defined()) all.push_back(dead_.silent);
    return all;
  }

 private:
  static constexpr int64_t most_tiles = 4, tile_numbers = tile_rows * scratch_ld;  // of pre-activations at once

  // The gradients of a unit's weights, and tiles of pre-activations.
  struct Scratch {
    T *outgoing, *incoming, *c, *ranks;
    uint8_t* hits;
  };

  double one_step(const Batch& batch, int64_t step, double learning_rate) override {
    const Noises noises{objective_, step};
    gather(batch, noises);
    encode(batch.size);
    if (objective_.dropout.of_layer(0)) drop(batch, noises.units(0));
    double loss = reconstruct(batch);
    loss += dead_.lose(decoder_.weight, g_, batch, losses_);
    if (ranks_.several()) loss = add_losses(loss);
    if (!std::isfinite(loss)) return loss;
    code_.transpose(batch.size, n_hidden_);
    dead_.transpose(batch.size);
    Update update = update_;
    update.momentum = update_.momentum_at(step);
    if (batch.size == 0) std::fill_n(sums_, n_visible_, T(0));
    for (int64_t block = 1; block < row_blocks(batch.size); ++block)
      for (int64_t j = 0; j < n_visible_; ++j) sums_[j] += sums_[block * ld_ + j];
    if (ranks_.several()) add_gradients();
    loss += move_units({update, learning_rate, step, /*decays=*/true});
    const OptimizerScalars<T> scalars(update, learning_rate, step, /*decays=*/false);
    move_bias(encoder_, bias_gradient_, n_hidden_, scalars);
    move_bias(decoder_, sums_, n_visible_, scalars);
    std::copy_n(decoder_.bias, n_visible_, weights_.padded_bias);
    if (moved_) dead_.count_rows(batch.whole);
    return loss;
  }

  // The loss of the whole batch, and the units that are active in any of its rows.
  double add_losses(double loss) {
    double* const own = losses_and_active_.mutable_data_ptr<double>();
    own[0] = loss;
    dead_.give_active(own + 1);
    ranks_.sum(losses_and_active_);
    dead_.take_active(own + 1);
    return own[0];
  }

  // All gradients over the whole batch: of each unit's incoming weights, and outgoing ones where they are others, of
  // the outputs' biases and of the units'.
  void add_gradients() {
    T *const own = gradients_.mutable_data_ptr<T>(), *const biases = own + each_ * n_hidden_;
    parallel_for(n_hidden_, unit_grain(), [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      for (int64_t j = begin; j < end; ++j) differentiate(j, incoming_of(j, {}), outgoing_of(j, {}));
    });
    std::copy_n(sums_, n_visible_, biases);
    std::copy_n(bias_gradient_, n_hidden_, biases + n_visible_);
    ranks_.sum(gradients_);
    std::copy_n(biases, n_visible_, sums_);
    std::copy_n(biases + n_visible_, n_hidden_, bias_gradient_);
  }

  // Where the gradients of a unit's weights are made: in scratch, or in memory where ranks add them up.
  T* incoming_of(int64_t j, const Scratch& own) const {
    return ranks_.several() ? gradients_.mutable_data_ptr<T>() + j * each_ : own.incoming;
  }
  T* outgoing_of(int64_t j, const Scratch& own) const {
    if (weights_.tied) return incoming_of(j, own);
    return ranks_.several() ? incoming_of(j, own) + n_visible_ : own.outgoing;
  }

  // The gradients of the weights of unit j, and of its bias.
  void differentiate(int64_t j, T* incoming, T* outgoing) {
    const T* const w = decoder_.weight + j * n_visible_;
    std::fill_n(incoming, n_visible_, T(0));
    if (!weights_.tied) std::fill_n(outgoing, n_visible_, T(0));
    bias_gradient_[j] = unit_pass(code_.of_unit(j), w, g_, ld_, x_, ld_, outgoing, incoming, n_visible_);
    bias_gradient_[j] += dead_.unit(j, w, x_, outgoing, incoming);
  }

  void gather(const Batch& batch, const Noises& noises) {
    const int64_t pairs = (batch.size + 1) / 2;
    const int64_t grain = std::max<int64_t>(1, smallest_parallel_size / (8 * n_visible_));
    parallel_for(pairs, grain, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      gather_pass(source_, batch, noises, 2 * begin, std::min(2 * end, batch.size), static_cast<T*>(nullptr), x_,
                  static_cast<T*>(nullptr), ld_);
    });
    if (struck_ != nullptr) strike(objective_.corruption.level, noises.corruption(), batch, n_visible_, struck_);
  }

  void encode(int64_t size) {
    if (objective_.share > 0)
      lifetime_.select(size, encoder_.bias, activation_, code_,
                       [&](int64_t begin, int64_t end, T* c, int64_t ld) { product(begin, end, 0, size, c, ld); });
    else
      select(size);
    const int64_t entries = code_.starts[size];
    parallel_for(entries, smallest_parallel_size, [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      entries_pass(code_.kept + begin, code_.values + begin, code_.slopes + begin, end - begin, activation_);
    });
    dead_.watch(code_, size);
  }

  // c (units, rows) = W x^T for these of them.
  void product(int64_t unit, int64_t unit_end, int64_t row, int64_t row_end, T* c, int64_t ld) {
    const Factor<T> weight{encoder_.weight, n_visible_, /*transposed=*/false}, inputs{x_, ld_, /*transposed=*/true};
    multiply(unit_end - unit, row_end - row, n_visible_, weight.from(unit, 0), inputs.from(0, row), c, ld,
             /*add=*/false, rooms_[thread_number()]);
  }

  void select(int64_t size) {
    selection_.begin(size, objective_.keeps);
    dead_.begin(size);
    for_each_group(n_hidden_, size, n_visible_, most_tiles, [&](const Tile& from, const Tile& to) {
      const Scratch own = scratch();
      product(from.row_begin, to.row_end, from.column_begin, from.column_end, own.c, scratch_ld);
      for (int64_t block = from.row_block; block <= to.row_block; ++block) {
        const Tile tile = tile_at(n_hidden_, size, block, from.stripe);
        T* const c = own.c + (block - from.row_block) * tile_numbers;
        selection_.sift(c, keeps_preactivation(activation_) ? own.ranks : c, scratch_ld, encoder_.bias + tile.row_begin,
                        activation_, own.hits, tile);
        dead_.sift(c, scratch_ld, own.hits, tile);
      }
    });
    selection_.finish(code_);
  }

  // How many units of a row are kept, about.
  int64_t kept(int64_t size) const { return std::max<int64_t>(1, code_.starts[size] / std::max<int64_t>(1, size)); }

  // Kept units that dropout drops stay in the code, as 0.
  void drop(const Batch& batch, const Stream& stream) {
    parallel_for(batch.size, std::max<int64_t>(1, smallest_parallel_size / (8 * kept(batch.size))),
                 [&](int64_t begin, int64_t end) {
                   drop_entries_pass(code_.values, code_.slopes, code_.starts, code_.units, batch.first, begin, end,
                                     n_hidden_, objective_.dropout.units, stream);
                 });
  }

  // The loss; g_ becomes its gradient with respect to the output's pre-activation, and sums_ that of the bias.
  double reconstruct(const Batch& batch) {
    const T share = T(1) / static_cast<T>(batch.whole);
    for_each_tile(batch.size, n_visible_, kept(batch.size), [&](const Tile& tile) {
      T* const c = g_ + tile.row_begin * ld_ + tile.column_begin;
      decode_pass(c, ld_, decoder_.weight, n_visible_, code_.starts, code_.units, code_.values, tile);
      losses_[tile.number] = output_pass(c, ld_, weights_.padded_bias, weights_.layers[1].activation, objective_.loss,
                                         targets_, batch, share, g_, ld_, sums_, tile);
    });
    double total = 0;
    for (int64_t i = 0; i < row_blocks(batch.size) * stripes_of(batch.size, n_visible_); ++i) total += losses_[i];
    return total;
  }

  int64_t unit_grain() const { return std::max<int64_t>(1, smallest_parallel_size / n_visible_); }

  // The gradients, unless they are there, and the updates of each unit's weights; returns the weights' L1 penalty.
  double move_units(const OptimizerScalars<T>& scalars) {
    parallel_for(n_hidden_, unit_grain(), [&](int64_t begin, int64_t end) {
      const FlushDenormals flush;
      const Scratch own = scratch();
      bool moved = true;
      for (int64_t j = begin; j < end; ++j) {
        T *const incoming = incoming_of(j, own), *const outgoing = outgoing_of(j, own);
        if (!ranks_.several()) differentiate(j, incoming, outgoing);
        norms_[j] = 0;
        moved &= move_row(encoder_, j, incoming, scalars);
        if (!weights_.tied) moved &= move_row(decoder_, j, outgoing, scalars);
        if (objective_.max_norm > 0) weights_.shorten_unit(j, objective_.max_norm);
      }
      if (!moved) moved_.store(false, std::memory_order_relaxed);
    });
    if (objective_.max_norm > 0) weights_.shorten_outputs(objective_.max_norm);
    double total = 0;
    for (int64_t j = 0; j < n_hidden_; ++j) total += norms_[j];
    return objective_.weight_l1 * total;
  }

  bool move_row(const Parameters<T>& of, int64_t j, T* gradient, const OptimizerScalars<T>& scalars) {
    const int64_t at = j * n_visible_;
    for (int64_t k = 0; objective_.weight_l1 > 0 && k < n_visible_; k += tile_columns)
      norms_[j] += weight_l1_pass(gradient + k, n_visible_, of.weight + at + k, n_visible_,
                                  static_cast<T>(objective_.weight_l1), 1, std::min(tile_columns, n_visible_ - k));
    return update_pass(of.weight + at, n_visible_, gradient, n_visible_, of.first + at, of.second + at, 1, n_visible_,
                       update_.rule, scalars);
  }

  void move_bias(const Parameters<T>& of, T* gradient, int64_t width, const OptimizerScalars<T>& scalars) {
    if (!update_pass(of.bias, width, gradient, width, of.bias_first, of.bias_second, 1, width, update_.rule, scalars))
      moved_ = false;
  }

  // ---- memory

  // Everything is there for batches of this size and for the threads there are, and the copies are those of the
  // parameters.
  void prepare(int64_t size) override {
    if (size > capacity_ || at::get_num_threads() > threads_) {
      capacity_ = std::max(capacity_, size);
      threads_ = std::max(threads_, at::get_num_threads());
      add_batch();
    }
    if (versions_.changed(weights_.layers)) weights_.read();
  }

  void finish() override {
    weights_.write();
    versions_.moved(weights_.layers);
  }

  void add_batch() {
    batch_.clear();
    const int64_t blocks = row_blocks(capacity_), rows = blocks * tile_rows;
    ld_ = padded(n_visible_);
    x_ = batch_.make<T>(rows * ld_);
    g_ = batch_.make<T>(rows * ld_);
    struck_ = objective_.emphasis.given() ? batch_.make<uint8_t>(rows * ld_) : nullptr;
    targets_.struck = struck_;
    targets_.struck_ld = ld_;
    sums_ = batch_.make<T>(blocks * ld_);
    bias_gradient_ = batch_.make<T>(padded(n_hidden_));
    norms_ = batch_.make<double>(n_hidden_);
    losses_ = batch_.make<double>(blocks * std::max(stripes_of(1, n_visible_), stripes_of(capacity_, n_visible_)));
    if (objective_.share > 0) {
      lifetime_.add_room(capacity_, threads_, batch_);
      code_.add_room(capacity_, lifetime_.kept(capacity_) * n_hidden_, n_hidden_, batch_);
    } else {
      selection_.add_room(capacity_, threads_, batch_);
      code_.add_room(capacity_, objective_.keeps * capacity_, n_hidden_, batch_);
    }
    dead_.add_room(capacity_, threads_, ld_, batch_);
    scratch_numbers_ = 2 * ld_ + (most_tiles + 1) * tile_numbers;
    scratch_ = batch_.make<T>(threads_ * scratch_numbers_);
    rooms_ = batch_.make<Room<T>>(threads_);
    hits_ = batch_.make<uint8_t>(threads_ * tile_numbers);
  }

  Scratch scratch() {
    const int64_t thread = thread_number();
    T *const own = scratch_ + thread * scratch_numbers_, *const c = own + 2 * ld_;
    return {own, own + ld_, c, c + most_tiles * tile_numbers, hits_ + thread * tile_numbers};
  }

  SparseWeights<T> weights_;
  Parameters<T>&encoder_ = weights_.encoder, &decoder_ = weights_.decoder;
  const int64_t n_visible_ = weights_.n_visible, n_hidden_ = weights_.n_hidden;
  const int64_t each_ = (weights_.tied ? 1 : 2) * n_visible_;  // gradients of the weights of a unit
  const Activation activation_ = weights_.layers[0].activation;
  const Objective objective_;
  const Update update_;
  const Rows rows_;
  const Source source_;
  Targets<T> targets_;
  Arena batch_;
  Selection<T> selection_;
  Lifetime<T> lifetime_;
  SparseCode<T> code_;
  DeadUnits<T> dead_;
  Versions versions_;
  at::Tensor losses_and_active_, gradients_;  // what ranks add up
  int64_t capacity_ = 0, ld_ = 0, scratch_numbers_ = 0;
  int threads_ = 0;
  T *x_ = nullptr, *g_ = nullptr, *sums_ = nullptr, *bias_gradient_ = nullptr;
  T* scratch_ = nullptr;
  Room<T>* rooms_ = nullptr;
  uint8_t *hits_ = nullptr, *struck_ = nullptr;
  double *losses_ = nullptr, *norms_ = nullptr;
};

}  // namespace

std::unique_ptr<CpuStep> make_sparse_step(Training training, Ranks ranks) {
  if (training.layers[0].bias.scalar_type() == at::kDouble)
    return std::make_unique<SparseStep<double>>(std::move(training), std::move(ranks));
  return std::make_unique<SparseStep<float>>(std::move(training), std::move(ranks));
}

}  // namespace stackae::cpu
