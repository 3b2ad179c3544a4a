// What the objective makes of one entry, shared by host and device: its share of the loss, and its gradient.
#pragma once

#include "activation.h"

namespace stackae {

// Squared error of z = f(a): adds (z - t)^2 to loss; returns the gradient with respect to a, 2 (z - t) f'(a) share.
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T squared_error(T a, T target, T share, T& loss) {
  const T z = F::value(a);
  const T error = z - target;
  T kept = z;
  if constexpr (F::keeps_preactivation) kept = a;
  loss += error * error;
  return T(2) * share * error * F::derivative(kept);
}

// Binary cross-entropy from the pre-activation a: adds max(a, 0) - a t + ln(1 + e^-|a|); returns (sigmoid(a) - t)
// share.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T binary_cross_entropy(T a, T target, T share, T& loss) {
  const T e = exp_nonpositive(a < 0 ? a : -a);
  const T z = quotient(a < 0 ? e : T(1), T(1) + e);
  loss += (a < 0 ? T(0) : a) - a * target + log1p_unit(e);
  return share * (z - target);
}

// The gradient of a pre-activation, from that of its code h: g, the slope of the KL penalty and the sign of L1.
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T code_gradient(T g, T h, T kept, T slope, T l1) {
  const T sign = h > 0 ? l1 : (h < 0 ? -l1 : T(0));
  return (g + slope + sign) * F::derivative(kept);
}

// What one entry of a code adds to the contraction is f'(a)^2 |W_j|^2; its gradient with respect to a, for a pull of
// 2 |W_j|^2 and its share of the loss.
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T steepness(T kept) {
  return F::derivative(kept) * F::derivative(kept);
}
template <typename F, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T steepness_gradient(T kept, T pull) {
  return pull * F::derivative(kept) * F::second_derivative(kept);
}

// What a code adds to the means of the KL penalty: tanh codes are mapped from (-1, 1) to (0, 1).
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T unit_code(T h, bool centred) {
  return centred ? T(0.5) * h + T(0.5) : h;
}

}  // namespace stackae
