// See passes.h: what a step asks of weights beside their gradients.
#include <cmath>

#include "multiversion.h"
#include "passes.h"

namespace stackae::cpu {
namespace {

template <typename T>
STACKAE_INLINE double add_weight_signs(T* c, int64_t ld, const T* w, int64_t w_ld, T strength, int64_t rows,
                                       int64_t columns) {
  T sums[tile_columns] = {};
  for (int64_t i = 0; i < rows; ++i) {
    T* __restrict const slope = c + i * ld;
    const T* __restrict const own = w + i * w_ld;
    for (int64_t j = 0; j < columns; ++j) {
      slope[j] += own[j] > 0 ? strength : own[j] < 0 ? -strength : T(0);
      sums[j] += own[j] < 0 ? -own[j] : own[j];
    }
  }
  double total = 0;
  for (int64_t j = 0; j < columns; ++j) total += static_cast<double>(sums[j]);
  return total;
}

template <typename T>
STACKAE_INLINE bool shorten_rows(T* w, int64_t ld, const T* norms, T longest, int64_t rows, int64_t columns) {
  bool any = false;
  for (int64_t i = 0; i < rows; ++i) {
    const T norm = std::sqrt(norms[i]);
    if (!(norm > longest)) continue;
    const T scale = longest / norm;
    any = true;
    for (int64_t j = 0; j < columns; ++j) w[i * ld + j] *= scale;
  }
  return any;
}

}  // namespace

#define STACKAE_DEFINE(T)                                                                                        \
  double weight_l1_pass(T* c, int64_t ld, const T* w, int64_t w_ld, T strength, int64_t rows, int64_t columns) { \
    return STACKAE_AT_LEVEL(add_weight_signs(c, ld, w, w_ld, strength, rows, columns));                          \
  }                                                                                                              \
  bool shorten_pass(T* w, int64_t ld, const T* norms, T longest, int64_t rows, int64_t columns) {                \
    return STACKAE_AT_LEVEL(shorten_rows(w, ld, norms, longest, rows, columns));                                 \
  }
STACKAE_DEFINE(float)
STACKAE_DEFINE(double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
