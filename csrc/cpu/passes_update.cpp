// See passes.h: the rules of update.h over tiles of parameters.
#include <algorithm>

#include "../update.h"
#include "multiversion.h"
#include "passes.h"

namespace stackae {
namespace {

template <typename T, typename Rule>
STACKAE_INLINE void move_each(T* __restrict p, T* __restrict g, T* __restrict first, T* __restrict second,
                              int64_t count, Rule rule) {
  for (int64_t i = 0; i < count; ++i) p[i] = g[i] = rule(p[i], g[i], first[i], second[i]);
}

template <typename T>
STACKAE_INLINE void move_stretch(T* p, T* g, T* first, T* second, int64_t count, Rule rule, const Motion<T>& given) {
  const Motion<T> motion = given;  // its own copy: nothing that is written can be thought to change it
  switch (rule) {
    case Rule::sgd:
      if (motion.momentum == 0)
        return move_each(p, g, first, second, count, [=](T w, T slope, T& velocity, T&) STACKAE_LAMBDA_INLINE {
          return sgd<false>(w, slope, velocity, motion);
        });
      return move_each(p, g, first, second, count, [=](T w, T slope, T& velocity, T&) STACKAE_LAMBDA_INLINE {
        return sgd<true>(w, slope, velocity, motion);
      });
    case Rule::adam:
      return move_each(p, g, first, second, count, [=](T w, T slope, T& mean, T& square) STACKAE_LAMBDA_INLINE {
        return adam<false>(w, slope, mean, square, motion);
      });
    case Rule::adamw:
      return move_each(p, g, first, second, count, [=](T w, T slope, T& mean, T& square) STACKAE_LAMBDA_INLINE {
        return adam<true>(w, slope, mean, square, motion);
      });
  }
}

// Whole vectors in place; the rest through a padded copy, since element by element it would cost as much again.
template <typename T>
STACKAE_INLINE void move_row(T* p, T* g, T* first, T* second, int64_t count, Rule rule, const Motion<T>& motion) {
  constexpr int64_t lanes = 16;
  const int64_t rest = count % lanes, whole = count - rest;
  move_stretch(p, g, first, second, whole, rule, motion);
  if (rest == 0) return;
  T* const from[] = {p + whole, g + whole, first + whole, second + whole};
  T copy[4][lanes] = {};
  for (int i = 0; i < 4; ++i) std::copy_n(from[i], rest, copy[i]);
  move_stretch(copy[0], copy[1], copy[2], copy[3], lanes, rule, motion);
  for (int i = 0; i < 4; ++i) std::copy_n(copy[i], rest, from[i]);
}

template <typename T>
STACKAE_INLINE void move_tile(T* p, int64_t p_ld, T* g, int64_t g_ld, T* first, T* second, int64_t rows,
                              int64_t columns, Rule rule, const Motion<T>& motion) {
  for (int64_t i = 0; i < rows; ++i)
    move_row(p + i * p_ld, g + i * g_ld, first + i * p_ld, second + i * p_ld, columns, rule, motion);
}

}  // namespace

STACKAE_MULTIVERSION void update_pass(float* p, int64_t p_ld, float* g, int64_t g_ld, float* first, float* second,
                                      int64_t rows, int64_t columns, Rule rule, const Motion<float>& motion) {
  move_tile(p, p_ld, g, g_ld, first, second, rows, columns, rule, motion);
}
STACKAE_MULTIVERSION void update_pass(double* p, int64_t p_ld, double* g, int64_t g_ld, double* first, double* second,
                                      int64_t rows, int64_t columns, Rule rule, const Motion<double>& motion) {
  move_tile(p, p_ld, g, g_ld, first, second, rows, columns, rule, motion);
}

}  // namespace stackae
