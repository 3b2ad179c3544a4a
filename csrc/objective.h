// The objective of one entry, shared by host and device: its share of the loss, and its gradient.
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

}  // namespace stackae
