// The passes over sparse codes, each compiled for several CPU levels. Rows of codes' gradients and inputs are as wide
// as their stride; those of weights are not padded.
#pragma once

#include <cstdint>

#include "../activation.h"
#include "../philox.h"
#include "parallel.h"

namespace stackae::cpu {

// The entries of one unit: rows of the batch in their order, with f(a) and f'(a).
template <typename T>
struct UnitEntries {
  const int32_t* rows;
  const T *values, *slopes;
  int64_t count;
};

#define STACKAE_DECLARE_SPARSE(T)                                                                                      \
  /* c += bias_u in row u; ranks = f(c) where f does not rise everywhere, elsewhere ranks is c and is left as it is. A \
     hit is a rank that is not below the floor of its column. All have stride ld, a multiple of 8. */                  \
  void sift_pass(T* c, T* ranks, int64_t ld, const T* bias, Activation activation, const T* floors, uint8_t* hits,     \
                 int64_t units, int64_t rows);                                                                         \
  /* values = f(kept) and slopes = f'(kept). */                                                                        \
  void entries_pass(const T* kept, T* values, T* slopes, int64_t count, Activation activation);                        \
  /* c = sum over a row's entries of value * weight row of the unit, for the rows and columns of the tile. */          \
  void decode_pass(T* c, int64_t ld, const T* weight, int64_t weight_ld, const int64_t* starts, const int32_t* units,  \
                   const T* values, const Tile& tile);                                                                 \
  /* values and slopes of the rows' entries, divided by the probability of being kept where the stream keeps unit u of \
     row first + i in a code of n_hidden units, elsewhere 0. */                                                        \
  void drop_entries_pass(T* values, T* slopes, const int64_t* starts, const int32_t* units, int64_t first,             \
                         int64_t begin, int64_t end, int64_t n_hidden, double rate, const Stream& stream);             \
  /* c = factor (c + lack g) over a tile; returns the sum of the squares of c + lack g. Both have stride ld. */        \
  double lack_pass(T* c, const T* g, int64_t ld, T lack, T factor, const Tile& tile);                                  \
  /* sums = the sum over the rows of a matrix of the squares of each column; w *= factors, column by column. */        \
  void squares_pass(const T* w, int64_t ld, T* sums, int64_t rows, int64_t columns);                                   \
  void scale_columns_pass(T* w, int64_t ld, const T* factors, int64_t rows, int64_t columns);                          \
  /* outgoing += sum of value g_i, incoming += sum of delta_i x_i for delta_i = (g_i . w) slope; the two may be one.   \
     Returns the sum of delta_i. */                                                                                    \
  T unit_pass(const UnitEntries<T>& entries, const T* w, const T* g, int64_t g_ld, const T* x, int64_t x_ld,           \
              T* outgoing, T* incoming, int64_t width);                                                                \
  /* to (columns, rows) = from (rows, columns)^T; nothing beyond these is read or written. */                          \
  void transpose_pass(const T* from, int64_t from_ld, T* to, int64_t to_ld, int64_t rows, int64_t columns);
STACKAE_DECLARE_SPARSE(float)
STACKAE_DECLARE_SPARSE(double)
#undef STACKAE_DECLARE_SPARSE

}  // namespace stackae::cpu
