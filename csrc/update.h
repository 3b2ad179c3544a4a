// The update of one parameter, shared by host and device: stochastic gradient descent with momentum, Adam (Kingma & Ba
// 2015) and AdamW (Loshchilov & Hutter 2019), in the arithmetic of torch.optim.
//
// Parameters and moments stay finite: where an update would make one of them infinite or NaN, all keep their values.
#pragma once

#include <cmath>
#include <limits>

#include "step.h"
#include "vector_math.h"

namespace stackae {

// The optimizer scalars of one step, for parameters with or without weight decay.
template <typename T>
struct OptimizerScalars {
  T rate, decay, decay_factor, momentum, first, beta2, second, size, root, epsilon;

  OptimizerScalars() = default;
  OptimizerScalars(const Update& update, double learning_rate, int64_t step, bool decays)
      : rate(static_cast<T>(learning_rate)),
        decay(static_cast<T>(decays ? update.weight_decay : 0)),
        decay_factor(static_cast<T>(1 - learning_rate * (decays ? update.weight_decay : 0))),
        momentum(static_cast<T>(update.momentum)),
        first(static_cast<T>(1 - update.beta1)),
        beta2(static_cast<T>(update.beta2)),
        second(static_cast<T>(1 - update.beta2)),
        size(static_cast<T>(learning_rate / (1 - std::pow(update.beta1, static_cast<double>(step + 1))))),
        root(static_cast<T>(1 / std::sqrt(1 - std::pow(update.beta2, static_cast<double>(step + 1))))),
        epsilon(static_cast<T>(update.epsilon)) {}
};

// Updates p by its gradient g; false where it was kept. Without momentum the velocity is not used; with it, a velocity
// that is not finite makes a parameter that is not, so that one check suffices.
template <bool has_momentum, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE bool sgd(T& p, T g, T& velocity, const OptimizerScalars<T>& scalars) {
  T slope = g + scalars.decay * p;
  if constexpr (has_momentum) slope = scalars.momentum * velocity + slope;
  const T moved = p - scalars.rate * slope;
  const bool finite = moved * T(0) == T(0);
  p = finite ? moved : p;
  if constexpr (has_momentum) velocity = finite ? slope : velocity;
  return finite;
}

// A mean that is not finite shows in the parameter or in the square; an infinite square leaves the parameter where it
// is, and shows in itself alone. A square is never negative: one multiply-add and one comparison see both.
template <bool decoupled, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE bool adam(T& p, T g, T& mean, T& square, const OptimizerScalars<T>& scalars) {
  const T slope = decoupled ? g : g + scalars.decay * p;
  const T old = decoupled ? p * scalars.decay_factor : p;
  const T new_mean = mean + scalars.first * (slope - mean);
  const T new_square = scalars.beta2 * square + scalars.second * slope * slope;
  const T scale = sqrt_nonnegative(new_square) * scalars.root + scalars.epsilon;
  const T moved = old - quotient(scalars.size * new_mean, scale);
  const bool finite = moved * T(0) + new_square < std::numeric_limits<T>::infinity();
  p = finite ? moved : p;
  mean = finite ? new_mean : mean;
  square = finite ? new_square : square;
  return finite;
}

}  // namespace stackae
