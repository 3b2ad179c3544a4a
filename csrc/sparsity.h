// The arithmetic of the sparsity penalty for one unit, shared by host and device.
//
// A unit's batch mean rho_hat and its complement 1 - rho_hat are accumulated apart, since 1 - rho_hat would
// cancel to 0 for a unit that is nearly always on. Both are floored, never clamped with a zero gradient, so a
// dead unit keeps the full pull towards rho and every finite code gives a finite value and slope.
#pragma once

#include <cmath>

#include "macros.h"

namespace stackae {

constexpr double kl_floor = 1e-30, kl_ceiling = 1e300;  // the mean of the largest numbers can round to infinity

STACKAE_HOST_DEVICE STACKAE_INLINE double bounded(double p) {
  return p < kl_floor ? kl_floor : (p > kl_ceiling ? kl_ceiling : p);
}

// KL(rho || rho_hat) between two Bernoulli variables.
STACKAE_HOST_DEVICE STACKAE_INLINE double kl_bernoulli(double rho, double rho_hat, double complement) {
  return rho * std::log(rho / bounded(rho_hat)) + (1.0 - rho) * std::log((1.0 - rho) / bounded(complement));
}

// d KL / d rho_hat.
STACKAE_HOST_DEVICE STACKAE_INLINE double kl_slope(double rho, double rho_hat, double complement) {
  return (1.0 - rho) / bounded(complement) - rho / bounded(rho_hat);
}

// x as the nearest finite number of type T.
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T to_finite(double x, double largest) {
  return static_cast<T>(x > largest ? largest : (x < -largest ? -largest : x));
}

}  // namespace stackae
