// See passes.h: stochastic gradient descent, Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), with the
// arithmetic of torch.optim.
#include <algorithm>
#include <cmath>

#include "../vector_math.h"
#include "multiversion.h"
#include "passes.h"

namespace stackae {
namespace {

template <typename T>
STACKAE_INLINE void sgd(T* __restrict p, T* __restrict g, T* __restrict velocity, int64_t count, const Motion& motion) {
  const T rate = static_cast<T>(motion.learning_rate), decay = static_cast<T>(motion.decay);
  const T momentum = static_cast<T>(motion.momentum);
  if (motion.momentum == 0) {
    for (int64_t i = 0; i < count; ++i) p[i] = g[i] = p[i] - rate * (g[i] + decay * p[i]);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    velocity[i] = momentum * velocity[i] + (g[i] + decay * p[i]);
    p[i] = g[i] = p[i] - rate * velocity[i];
  }
}

template <bool decoupled, typename T>
STACKAE_INLINE void adam(T* __restrict p, T* __restrict g, T* __restrict mean, T* __restrict square, int64_t count,
                         const Motion& motion) {
  const T decay = static_cast<T>(motion.decay), shrink = static_cast<T>(1 - motion.learning_rate * motion.decay);
  const T first = static_cast<T>(1 - motion.beta1), beta2 = static_cast<T>(motion.beta2);
  const T second = static_cast<T>(1 - motion.beta2), epsilon = static_cast<T>(motion.epsilon);
  const T size = static_cast<T>(motion.step_size), root = static_cast<T>(motion.root_correction);
  for (int64_t i = 0; i < count; ++i) {
    const T slope = decoupled ? g[i] : g[i] + decay * p[i];
    const T old = decoupled ? p[i] * shrink : p[i];
    const T m = mean[i] + first * (slope - mean[i]);
    const T v = beta2 * square[i] + second * slope * slope;
    mean[i] = m;
    square[i] = v;
    p[i] = g[i] = old - size * m / (sqrt_nonnegative(v) * root + epsilon);
  }
}

template <typename T>
STACKAE_INLINE void move_stretch(T* p, T* g, T* first, T* second, int64_t count, const Motion& motion) {
  switch (motion.rule) {
    case Rule::sgd: return sgd(p, g, first, count, motion);
    case Rule::adam: return adam<false>(p, g, first, second, count, motion);
    case Rule::adamw: return adam<true>(p, g, first, second, count, motion);
  }
}

// Whole vectors in place; the rest through a padded copy, since element by element it would cost as much again.
template <typename T>
STACKAE_INLINE void move_row(T* p, T* g, T* first, T* second, int64_t count, const Motion& motion) {
  constexpr int64_t lanes = 16;
  const int64_t rest = count % lanes, whole = count - rest;
  move_stretch(p, g, first, second, whole, motion);
  if (rest == 0) return;
  T* const from[] = {p + whole, g + whole, first + whole, second + whole};
  T copy[4][lanes] = {};
  for (int i = 0; i < 4; ++i) std::copy_n(from[i], rest, copy[i]);
  move_stretch(copy[0], copy[1], copy[2], copy[3], lanes, motion);
  for (int i = 0; i < 4; ++i) std::copy_n(copy[i], rest, from[i]);
}

template <typename T>
STACKAE_INLINE void move_tile(T* p, int64_t p_ld, T* g, int64_t g_ld, T* first, T* second, int64_t rows,
                              int64_t columns, const Motion& motion) {
  for (int64_t i = 0; i < rows; ++i)
    move_row(p + i * p_ld, g + i * g_ld, first + i * p_ld, second + i * p_ld, columns, motion);
}

}  // namespace

Motion::Motion(const Update& update, double learning_rate, int64_t step, bool decays)
    : rule(update.rule),
      learning_rate(learning_rate),
      decay(decays ? update.weight_decay : 0),
      momentum(update.momentum),
      beta1(update.beta1),
      beta2(update.beta2),
      step_size(learning_rate / (1 - std::pow(update.beta1, static_cast<double>(step + 1)))),
      root_correction(1 / std::sqrt(1 - std::pow(update.beta2, static_cast<double>(step + 1)))),
      epsilon(update.epsilon) {}

STACKAE_MULTIVERSION void update_pass(float* p, int64_t p_ld, float* g, int64_t g_ld, float* first, float* second,
                                      int64_t rows, int64_t columns, const Motion& motion) {
  move_tile(p, p_ld, g, g_ld, first, second, rows, columns, motion);
}
STACKAE_MULTIVERSION void update_pass(double* p, int64_t p_ld, double* g, int64_t g_ld, double* first, double* second,
                                      int64_t rows, int64_t columns, const Motion& motion) {
  move_tile(p, p_ld, g, g_ld, first, second, rows, columns, motion);
}

}  // namespace stackae
