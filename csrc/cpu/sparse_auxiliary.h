// The auxiliary loss of dead units (step.h), from the encoder's product that is there anyway: the tiles that the code
// is selected from are sifted once more for the units that are dead, and what these make of the rows goes through the
// same sparse decoder and adds to the same gradients of each unit. Without dead units a step does nothing of it.
#pragma once

#include <ATen/ops/zeros.h>

#include "sparse_selection.h"

namespace stackae::cpu {

template <typename T>
class DeadUnits {
 public:
  DeadUnits(const Objective& objective, const DenseLayer& encoder)
      : given_(objective.auxiliary),
        n_hidden_(encoder.weight.size(0)),
        n_visible_(encoder.weight.size(1)),
        keeps_(std::min(given_.keeps, n_hidden_)),
        curvature_(objective.loss == Loss::binary_cross_entropy ? 1.0 / 16 : 2.0),
        selection_(keeps_, /*over_batch=*/false, n_hidden_) {
    if (keeps_ > 0) silent = at::zeros({n_hidden_}, encoder.bias.options().requires_grad(false));
  }

  void add_room(int64_t size, int threads, int64_t ld, Arena& arena) {
    if (keeps_ == 0) return;
    ld_ = ld;
    dead_ = arena.make<uint8_t>(n_hidden_);
    active_ = arena.make<uint8_t>(n_hidden_);
    gradient_ = arena.make<T>(size * ld);
    selection_.add_room(size, threads, arena);
    code_.add_room(size, keeps_ * size, n_hidden_, arena);
  }

  // Which units are dead, before a step.
  void begin(int64_t size) {
    count_ = 0;
    if (keeps_ == 0) return;
    const T* const rows = silent.template const_data_ptr<T>();
    for (int64_t j = 0; j < n_hidden_; ++j) {
      dead_[j] = rows[j] >= static_cast<T>(given_.rows) ? 1 : 0;
      count_ += dead_[j];
    }
    if (count_ > 0) selection_.begin(size, std::min(keeps_, count_));
  }

  // A tile of pre-activations with their bias (Selection::sift).
  void sift(T* c, int64_t ld, uint8_t* hits, const Tile& tile) {
    if (count_ > 0) selection_.sift_these(dead_, c, ld, hits, tile);
  }

  // Which units the code of the batch has active.
  void watch(const SparseCode<T>& code, int64_t size) {
    if (keeps_ == 0) return;
    std::fill_n(active_, n_hidden_, uint8_t(0));
    for (int64_t e = 0; e < code.starts[size]; ++e) active_[code.units[e]] |= code.values[e] != 0 ? 1 : 0;
  }

  // Ranks add up their own numbers of rows in which each unit is active; a unit is where any of them has some.
  void give_active(double* counts) const {
    for (int64_t j = 0; keeps_ > 0 && j < n_hidden_; ++j) counts[j] = active_[j];
  }
  void take_active(const double* counts) {
    for (int64_t j = 0; keeps_ > 0 && j < n_hidden_; ++j) active_[j] = counts[j] > 0 ? 1 : 0;
  }

  // The loss, by the decoder's weights (units, n_visible) and the gradient g of the reconstruction; losses has room for
  // one number per tile.
  double lose(const T* weight, const T* g, const Batch& batch, double* losses) {
    if (count_ == 0) return 0;
    const int64_t size = batch.size;
    selection_.finish(code_);
    parallel_for(code_.starts[size], smallest_parallel_size, [&](int64_t begin, int64_t end) {
      entries_pass(code_.kept + begin, code_.values + begin, code_.slopes + begin, end - begin, Activation::linear);
    });
    const double share = given_.weight * curvature_ / static_cast<double>(batch.whole);
    const T lack = static_cast<T>(static_cast<double>(batch.whole) / curvature_);
    for_each_tile(size, n_visible_, keeps_, [&](const Tile& tile) {
      const int64_t at = tile.row_begin * ld_ + tile.column_begin;
      decode_pass(gradient_ + at, ld_, weight, n_visible_, code_.starts, code_.units, code_.values, tile);
      losses[tile.number] = lack_pass(gradient_ + at, g + at, ld_, lack, static_cast<T>(share), tile);
    });
    double total = 0;
    for (int64_t i = 0; i < row_blocks(size) * stripes_of(size, n_visible_); ++i) total += losses[i];
    return share / 2 * total;
  }

  void transpose(int64_t size) {
    if (count_ > 0) code_.transpose(size, n_hidden_);
  }

  // What unit_pass adds of the loss for unit j.
  T unit(int64_t j, const T* w, const T* x, T* outgoing, T* incoming) const {
    if (count_ == 0 || dead_[j] == 0) return 0;
    return unit_pass(code_.of_unit(j), w, gradient_, ld_, x, ld_, outgoing, incoming, n_visible_);
  }

  // After a step that was taken.
  void count_rows(int64_t size) {
    if (keeps_ == 0) return;
    T* const rows = silent.template mutable_data_ptr<T>();
    for (int64_t j = 0; j < n_hidden_; ++j)
      rows[j] = active_[j] != 0 ? T(0) : std::min(rows[j] + static_cast<T>(size), static_cast<T>(given_.rows));
  }

  at::Tensor silent;  // (units,) rows since each was active, up to the limit; undefined without the loss

 private:
  const Auxiliary given_;
  const int64_t n_hidden_, n_visible_, keeps_;
  const double curvature_;  // what the reconstruction lacks is -g times the batch size over this
  Selection<T> selection_;
  SparseCode<T> code_;
  int64_t count_ = 0, ld_ = 0;
  uint8_t *dead_ = nullptr, *active_ = nullptr;
  T* gradient_ = nullptr;
};

}  // namespace stackae::cpu
