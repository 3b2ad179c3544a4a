// The penalties on a step's first code: their sums in the forward pass, their worth, and what they add to gradients.
#pragma once

#include <limits>

#include <ATen/Parallel.h>

#include "../sparsity.h"
#include "network.h"
#include "passes.h"

namespace stackae::cpu {

template <typename T>
class Penalties {
 public:
  explicit Penalties(const Objective& objective) : objective_(objective) {}

  // Room for batches of up to `size` rows of a code of `width` units.
  void add_room(int64_t size, int64_t width, Arena& arena) {
    const int64_t code = padded(width), blocks = row_blocks(size);
    on_ = arena.template make<T>(blocks * code);
    off_ = arena.template make<T>(blocks * code);
    steep_ = arena.template make<T>(blocks * code);
    slopes_ = arena.template make<T>(code);
    pulls_ = arena.template make<T>(code);
    weight_pulls_ = arena.template make<T>(code);
  }

  // What the pass over a code of these rows is to add up.
  CodeSums<T> sums(Activation activation, int64_t rows) const {
    CodeSums<T> sums;
    sums.share = T(1) / static_cast<T>(rows);
    sums.centred = activation == Activation::tanh;
    if (objective_.sparsity_weight > 0) {
      sums.on = on_;
      sums.off = off_;
    }
    if (objective_.contraction > 0) sums.steep = steep_;
    return sums;
  }

  // The weight of each |h|.
  double l1(int64_t rows) const { return objective_.l1_weight / static_cast<double>(rows); }

  // The worth of what was added up, when all of it is there; weight is that of the code.
  double fold(const CodeSums<T>& sums, const T* weight, int64_t n_in, int64_t n_out, int64_t rows) {
    double worth = 0;
    if (sums.on != nullptr) worth += fold_sparsity(sums.centred, n_out, rows);
    if (sums.steep != nullptr) worth += fold_contraction(weight, n_in, n_out, rows);
    return worth;
  }

  // What they add to the gradients of the code and of its pre-activation; `none` where there is no slope.
  CodePenalties<T> terms(const T* none, int64_t rows) const {
    return {objective_.sparsity_weight > 0 ? slopes_ : none, static_cast<T>(l1(rows)),
            objective_.contraction > 0 ? pulls_ : nullptr};
  }

  // How much of each row of the weight the contraction adds to that row's gradient; null where it adds nothing.
  const T* weight_pulls() const { return objective_.contraction > 0 ? weight_pulls_ : nullptr; }

 private:
  // KL, and its slope for each unit (sparsity.h).
  double fold_sparsity(bool centred, int64_t n_out, int64_t rows) {
    const double rho = objective_.sparsity_target, weight = objective_.sparsity_weight;
    const double largest = static_cast<double>(std::numeric_limits<T>::max());
    double worth = 0;
    for (int64_t j = 0; j < n_out; ++j) {
      const double on = sum_of_blocks(on_, j, n_out, rows), off = sum_of_blocks(off_, j, n_out, rows);
      worth += kl_bernoulli(rho, on, off);
      const double slope = weight * (centred ? 0.5 : 1) * kl_slope(rho, on, off);
      slopes_[j] = to_finite<T>(slope / static_cast<double>(rows), largest);
    }
    return weight * worth;
  }

  // The contraction sum_j s_j |W_j|^2, s_j the mean of f'(a_j)^2; its gradients are 2 |W_j|^2 / rows f' f'' and
  // 2 s_j W_j.
  double fold_contraction(const T* weight, int64_t n_in, int64_t n_out, int64_t rows) {
    at::parallel_for(0, n_out, std::max<int64_t>(1, smallest_parallel_size / n_in),
                     [&](int64_t begin, int64_t end) { norms_pass(weight, n_in, begin, end, pulls_); });
    double worth = 0;
    for (int64_t j = 0; j < n_out; ++j) {
      const double steep = sum_of_blocks(steep_, j, n_out, rows);
      worth += steep * static_cast<double>(pulls_[j]);
      weight_pulls_[j] = static_cast<T>(2 * objective_.contraction * steep);
      pulls_[j] *= static_cast<T>(2 * objective_.contraction / static_cast<double>(rows));
    }
    return objective_.contraction * worth;
  }

  static double sum_of_blocks(const T* sums, int64_t unit, int64_t n_out, int64_t rows) {
    double total = 0;
    for (int64_t block = 0; block < row_blocks(rows); ++block)
      total += static_cast<double>(sums[block * padded(n_out) + unit]);
    return total;
  }

  const Objective objective_;
  T *on_ = nullptr, *off_ = nullptr, *steep_ = nullptr;
  T *slopes_ = nullptr, *pulls_ = nullptr, *weight_pulls_ = nullptr;
};

}  // namespace stackae::cpu
