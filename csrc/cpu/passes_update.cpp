// See passes.h: the rules of update.h over tiles of parameters.
#include <algorithm>
#include <type_traits>

#include "../update.h"
#include "multiversion.h"
#include "passes.h"

namespace stackae::cpu {
namespace {

// Whether all of them were updated; counted in numbers as wide as T, so that vectors hold equally many.
template <typename T, typename Rule>
STACKAE_INLINE bool move_each(T* __restrict p, T* __restrict g, T* __restrict first, T* __restrict second,
                              int64_t count, Rule rule) {
  std::conditional_t<sizeof(T) == 8, int64_t, int32_t> kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    T own = p[i], mean = first[i], square = second[i];
    kept |= rule(own, g[i], mean, square) ? 0 : 1;
    first[i] = mean;
    second[i] = square;
    p[i] = g[i] = own;
  }
  return kept == 0;
}

template <typename T>
STACKAE_INLINE bool move_stretch(T* p, T* g, T* first, T* second, int64_t count, Rule rule,
                                 const OptimizerScalars<T>& given) {
  const OptimizerScalars<T> scalars = given;  // its own copy: nothing that is written can be thought to change it
  switch (rule) {
    case Rule::sgd:
      if (scalars.momentum == 0)
        return move_each(p, g, first, second, count, [=](T& w, T slope, T& velocity, T&) STACKAE_LAMBDA_INLINE {
          return sgd<false>(w, slope, velocity, scalars);
        });
      return move_each(p, g, first, second, count, [=](T& w, T slope, T& velocity, T&) STACKAE_LAMBDA_INLINE {
        return sgd<true>(w, slope, velocity, scalars);
      });
    case Rule::adam:
      return move_each(p, g, first, second, count, [=](T& w, T slope, T& mean, T& square) STACKAE_LAMBDA_INLINE {
        return adam<false>(w, slope, mean, square, scalars);
      });
    case Rule::adamw:
      return move_each(p, g, first, second, count, [=](T& w, T slope, T& mean, T& square) STACKAE_LAMBDA_INLINE {
        return adam<true>(w, slope, mean, square, scalars);
      });
  }
  return true;
}

// Whole vectors in place; the rest through a padded copy, since element by element it would cost as much again.
template <typename T>
STACKAE_INLINE bool move_row(T* p, T* g, T* first, T* second, int64_t count, Rule rule,
                             const OptimizerScalars<T>& scalars) {
  constexpr int64_t lanes = 16;
  const int64_t rest = count % lanes, whole = count - rest;
  const bool moved = move_stretch(p, g, first, second, whole, rule, scalars);
  if (rest == 0) return moved;
  T* const from[] = {p + whole, g + whole, first + whole, second + whole};
  T copy[4][lanes] = {};
  for (int i = 0; i < 4; ++i) std::copy_n(from[i], rest, copy[i]);
  const bool rest_moved = move_stretch(copy[0], copy[1], copy[2], copy[3], lanes, rule, scalars);
  for (int i = 0; i < 4; ++i) std::copy_n(copy[i], rest, from[i]);
  return moved && rest_moved;
}

template <typename T>
STACKAE_INLINE bool move_tile(T* p, int64_t p_ld, T* g, int64_t g_ld, T* first, T* second, int64_t rows,
                              int64_t columns, Rule rule, const OptimizerScalars<T>& scalars) {
  bool moved = true;
  for (int64_t i = 0; i < rows; ++i)
    moved &= move_row(p + i * p_ld, g + i * g_ld, first + i * p_ld, second + i * p_ld, columns, rule, scalars);
  return moved;
}

}  // namespace

bool update_pass(float* p, int64_t p_ld, float* g, int64_t g_ld, float* first, float* second, int64_t rows,
                 int64_t columns, Rule rule, const OptimizerScalars<float>& scalars) {
  return STACKAE_AT_LEVEL(move_tile(p, p_ld, g, g_ld, first, second, rows, columns, rule, scalars));
}
bool update_pass(double* p, int64_t p_ld, double* g, int64_t g_ld, double* first, double* second, int64_t rows,
                 int64_t columns, Rule rule, const OptimizerScalars<double>& scalars) {
  return STACKAE_AT_LEVEL(move_tile(p, p_ld, g, g_ld, first, second, rows, columns, rule, scalars));
}

}  // namespace stackae::cpu
