// How one parameter moves, shared by host and device: stochastic gradient descent with momentum, Adam (Kingma & Ba
// 2015) and AdamW (Loshchilov & Hutter 2019), in the arithmetic of torch.optim.
#pragma once

#include <cmath>

#include "step.h"
#include "vector_math.h"

namespace stackae {

// The scalars of one step, for parameters that decay or do not.
template <typename T>
struct Motion {
  T rate, decay, shrink, momentum, first, beta2, second, size, root, epsilon;

  Motion() = default;
  Motion(const Update& update, double learning_rate, int64_t step, bool decays)
      : rate(static_cast<T>(learning_rate)),
        decay(static_cast<T>(decays ? update.weight_decay : 0)),
        shrink(static_cast<T>(1 - learning_rate * (decays ? update.weight_decay : 0))),
        momentum(static_cast<T>(update.momentum)),
        first(static_cast<T>(1 - update.beta1)),
        beta2(static_cast<T>(update.beta2)),
        second(static_cast<T>(1 - update.beta2)),
        size(static_cast<T>(learning_rate / (1 - std::pow(update.beta1, static_cast<double>(step + 1))))),
        root(static_cast<T>(1 / std::sqrt(1 - std::pow(update.beta2, static_cast<double>(step + 1))))),
        epsilon(static_cast<T>(update.epsilon)) {}
};

// The parameter that p becomes by its gradient g. Without momentum the velocity is left alone.
template <bool has_momentum, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T sgd(T p, T g, T& velocity, const Motion<T>& motion) {
  T slope = g + motion.decay * p;
  if constexpr (has_momentum) slope = velocity = motion.momentum * velocity + slope;
  return p - motion.rate * slope;
}

template <bool decoupled, typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T adam(T p, T g, T& mean, T& square, const Motion<T>& motion) {
  const T slope = decoupled ? g : g + motion.decay * p;
  const T old = decoupled ? p * motion.shrink : p;
  mean += motion.first * (slope - mean);
  square = motion.beta2 * square + motion.second * slope * slope;
  return old - motion.size * mean / (sqrt_nonnegative(square) * motion.root + motion.epsilon);
}

}  // namespace stackae
