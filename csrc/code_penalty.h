// Penalties on a code h = f(a), a = x W^T + b, shared by host and device: the sums of entries over a batch of `rows`
// rows (accumulate), the penalty of a unit by its sums (value), and the gradient terms (slope, term).
//
//   kl           weight sum_j KL(target || mean of unit j); tanh codes are mapped from (-1, 1) to (0, 1) first
//   l1           (weight / rows) sum |h|
//   contraction  (contraction / rows) sum f'(a_j)^2 |W_j|^2
//
// A unit's mean and its complement are accumulated separately: 1 - mean would cancel to 0 for a unit that is nearly
// always on. Both are floored, never clamped with a zero gradient, so a dead unit keeps the full slope towards the
// target and every finite code gives a finite value and slope.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "macros.h"

namespace stackae {

enum class Sparsity { none, kl, l1 };

constexpr std::array<std::string_view, 3> sparsity_names = {"none", "kl", "l1"};

struct CodePenalty {
  Sparsity sparsity = Sparsity::none;
  double target = 0.05, weight = 0, contraction = 0;

  STACKAE_HOST_DEVICE bool has_means() const { return sparsity == Sparsity::kl && weight > 0; }
  STACKAE_HOST_DEVICE bool has_entries() const { return sparsity == Sparsity::l1 && weight > 0; }
  STACKAE_HOST_DEVICE bool contracts() const { return contraction > 0; }
};

// Elementwise penalties: weight times the sum of the entries' values.
template <typename T>
struct EntryPenalty {
  T weight = 0;

  constexpr EntryPenalty() = default;
  STACKAE_HOST_DEVICE EntryPenalty(const CodePenalty& penalty, double rows)
      : weight(penalty.has_entries() ? static_cast<T>(penalty.weight / rows) : T(0)) {}
  STACKAE_HOST_DEVICE STACKAE_INLINE T value(T h) const { return h < 0 ? -h : h; }
  STACKAE_HOST_DEVICE STACKAE_INLINE T slope(T h) const { return h > 0 ? weight : (h < 0 ? -weight : T(0)); }
};

// ---- accumulate: one entry; share is 1 / rows

template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE void accumulate_mean(T h, bool centred, T share, T& mean, T& complement) {
  const T unit = centred ? T(0.5) * h + T(0.5) : h;
  mean += unit * share;
  complement += (T(1) - unit) * share;
}

// f' is computed from `kept`.
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE void accumulate_steepness(T kept, T share, T& steepness) {
  steepness += F::derivative(kept) * F::derivative(kept) * share;
}

// ---- value: of one unit, without its weight; that of a contraction is steepness |W_j|^2

constexpr double kl_floor = 1e-30, kl_ceiling = 1e300;  // the mean of the largest numbers can round to infinity

STACKAE_HOST_DEVICE STACKAE_INLINE double bounded(double p) {
  return p < kl_floor ? kl_floor : (p > kl_ceiling ? kl_ceiling : p);
}

// KL between two Bernoulli variables.
STACKAE_HOST_DEVICE STACKAE_INLINE double kl_value(double target, double mean, double complement) {
  return target * std::log(target / bounded(mean)) + (1.0 - target) * std::log((1.0 - target) / bounded(complement));
}

// ---- slope: the gradient term of h, in every row

STACKAE_HOST_DEVICE STACKAE_INLINE double kl_derivative(double target, double mean, double complement) {
  return (1.0 - target) / bounded(complement) - target / bounded(mean);
}

// x as the nearest finite number of type T.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T to_finite(double x) {
  const auto largest = static_cast<double>(std::numeric_limits<T>::max());
  return static_cast<T>(x > largest ? largest : (x < -largest ? -largest : x));
}

template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T kl_slope(const CodePenalty& penalty, bool centred, double mean, double complement,
                                              double rows) {
  const double scale = penalty.weight * (centred ? 0.5 : 1);
  return to_finite<T>(scale * kl_derivative(penalty.target, mean, complement) / rows);
}

// The gradient of a, from that of h (g), the slope of its unit and that of the entry itself.
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T code_gradient(T g, T h, T kept, T slope, const EntryPenalty<T>& entry) {
  return (g + slope + entry.slope(h)) * F::derivative(kept);
}

// ---- term: the gradient terms of a contraction, of a (contraction_term by unit, with it each entry) and of W_j

template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T contraction_term(const CodePenalty& penalty, T squared_norm, double rows) {
  return static_cast<T>(2 * penalty.contraction / rows) * squared_norm;
}

template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T steepness_gradient(T kept, T term) {
  return term * F::derivative(kept) * F::second_derivative(kept);
}

// Times W_j.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T weight_term(const CodePenalty& penalty, double steepness) {
  return static_cast<T>(2 * penalty.contraction * steepness);
}

}  // namespace stackae
