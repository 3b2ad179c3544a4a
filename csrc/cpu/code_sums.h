// The penalties of a code by the sums of its units, which the passes leave by row blocks.
#pragma once

#include "network.h"

namespace stackae::cpu {

// The squared norm of each unit's incoming weights.
template <typename T, typename O>
void norms_of(const LayerState<T, O>& layer, T* norms) {
  parallel_for(layer.n_out, std::max<int64_t>(1, smallest_parallel_size / layer.n_in),
               [&](int64_t begin, int64_t end) { norms_pass(layer.weight, layer.n_in, begin, end, norms); });
}

// How many sums a unit has.
inline int64_t sums_per_unit(const CodePenalty& penalty) {
  return (penalty.has_means() ? 2 : 0) + (penalty.contracts() ? 1 : 0);
}

// Adds up the row blocks of `size` rows of the first layer's code: each unit's mean, complement and steepness, as far
// as the penalty has them.
template <typename T, typename O>
void add_up(const LayerState<T, O>& layer, const CodePenalty& penalty, const CodeTerms<T>& code, int64_t size,
            double* sums) {
  const auto sum = [&](const T* parts, int64_t unit) {
    double total = 0;
    for (int64_t block = 0; block < row_blocks(size); ++block)
      total += static_cast<double>(parts[block * padded(layer.n_out) + unit]);
    return total;
  };
  for (int64_t j = 0; j < layer.n_out; ++j) {
    if (penalty.has_means()) {
      *sums++ = sum(code.means, j);
      *sums++ = sum(code.complements, j);
    }
    if (penalty.contracts()) *sums++ = sum(code.steepness, j);
  }
}

// The penalties of the first layer's code by its sums over a batch of `size` rows; leaves its slopes and terms.
template <typename T, typename O>
double settle(const LayerState<T, O>& layer, const CodePenalty& penalty, const CodeTerms<T>& code, int64_t size,
              const double* sums) {
  const auto rows = static_cast<double>(size);
  const int64_t each = sums_per_unit(penalty);
  double divergence = 0, contraction = 0;
  for (int64_t j = 0; penalty.has_means() && j < layer.n_out; ++j) {
    const double mean = sums[j * each], complement = sums[j * each + 1];
    divergence += kl_value(penalty.target, mean, complement);
    code.slopes[j] = kl_slope<T>(penalty, code.centred, mean, complement, rows);
  }
  if (penalty.contracts()) norms_of(layer, code.terms);
  for (int64_t j = 0; penalty.contracts() && j < layer.n_out; ++j) {
    const double steepness = sums[j * each + each - 1];
    contraction += steepness * static_cast<double>(code.terms[j]);
    code.terms[j] = contraction_term(penalty, code.terms[j], rows);
    code.weight_terms[j] = weight_term<T>(penalty, steepness);
  }
  return penalty.weight * divergence + penalty.contraction * contraction;
}

}  // namespace stackae::cpu
