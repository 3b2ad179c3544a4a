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

// The penalties of the first layer's code in a batch of `size` rows; leaves its slopes and terms.
template <typename T, typename O>
double settle(const LayerState<T, O>& layer, const CodePenalty& penalty, const CodeTerms<T>& code, int64_t size) {
  const auto rows = static_cast<double>(size);
  const auto sum = [&](const T* sums, int64_t unit) {
    double total = 0;
    for (int64_t block = 0; block < row_blocks(size); ++block)
      total += static_cast<double>(sums[block * padded(layer.n_out) + unit]);
    return total;
  };
  double divergence = 0, contraction = 0;
  for (int64_t j = 0; penalty.has_means() && j < layer.n_out; ++j) {
    const double mean = sum(code.means, j), complement = sum(code.complements, j);
    divergence += kl_value(penalty.target, mean, complement);
    code.slopes[j] = kl_slope<T>(penalty, code.centred, mean, complement, rows);
  }
  if (penalty.contracts()) norms_of(layer, code.terms);
  for (int64_t j = 0; penalty.contracts() && j < layer.n_out; ++j) {
    const double steepness = sum(code.steepness, j);
    contraction += steepness * static_cast<double>(code.terms[j]);
    code.terms[j] = contraction_term(penalty, code.terms[j], rows);
    code.weight_terms[j] = weight_term<T>(penalty, steepness);
  }
  return penalty.weight * divergence + penalty.contraction * contraction;
}

}  // namespace stackae::cpu
