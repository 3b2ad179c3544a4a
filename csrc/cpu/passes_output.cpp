// See passes.h: the loss of the output layer and its gradient, in the tile of the matmul that is still in cache.
#include <cmath>
#include <limits>

#include "../objective.h"
#include "multiversion.h"
#include "operand.h"
#include "passes.h"
#include "read_row.h"

namespace stackae::cpu {
namespace {

// One row of the output; entry(a, target, loss) adds to the loss and gives the gradient.
template <typename T, typename Entry>
STACKAE_INLINE void output_row(T* __restrict c, const T* __restrict bias, const T* __restrict target,
                               T* __restrict sums, T* __restrict losses, int64_t width, Entry entry) {
  for (int64_t j = 0; j < width; ++j) {
    const T g = entry(c[j] + bias[j], target[j], losses[j]);
    sums[j] += g;
    c[j] = g;
  }
}

template <typename T, typename O>
STACKAE_INLINE double output_tile(T* c, int64_t ld, const T* bias, Activation activation, Loss loss,
                                  const Source& source, const Batch& batch, T share, O* rows, int64_t rows_ld, T* sums,
                                  const Tile& tile) {
  const int64_t exact = tile.column_end - tile.column_begin;
  const int64_t width = (exact + vector_width - 1) / vector_width * vector_width;
  T partial[tile_columns] = {}, losses[tile_columns] = {}, target[tile_columns] = {};
  const T* const shift = bias + tile.column_begin;
  const auto each_row = [&](auto entry) __attribute__((always_inline)) {
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      T* const row = c + (i - tile.row_begin) * ld;
      read_row(source, batch.rows[i], tile.column_begin, tile.column_end, target);
      output_row(row, shift, target, partial, losses, width, entry);
      write_row(row, rows + i * rows_ld + tile.column_begin, width);
    }
  };
  if (loss == Loss::binary_cross_entropy)
    each_row([=](T a, T t, T& sum) STACKAE_LAMBDA_INLINE { return binary_cross_entropy(a, t, share, sum); });
  else
    with_activation<T>(activation, [&](auto f) __attribute__((always_inline)) {
      each_row([=](T a, T t, T& sum) STACKAE_LAMBDA_INLINE { return squared_error<decltype(f)>(a, t, share, sum); });
    });
  std::copy_n(partial, width, sums + tile.row_block * rows_ld + tile.column_begin);
  double total = 0;
  for (int64_t j = 0; j < exact; ++j) total += static_cast<double>(losses[j]);
  return total * static_cast<double>(share);
}

template <typename T, typename O>
STACKAE_INLINE double softmax_rows(T* c, int64_t ld, const T* bias, const int64_t* labels, const Batch& batch, T share,
                                   O* rows, int64_t rows_ld, T* sums, int64_t classes, const Tile& tile) {
  double total = 0;
  T* const column_sums = sums + tile.row_block * rows_ld;
  std::fill_n(column_sums, classes, T(0));
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
    T* __restrict row = c + (i - tile.row_begin) * ld;
    const int64_t label = labels[batch.rows[i]];
    T largest = -std::numeric_limits<T>::infinity(), sum = 0;
    for (int64_t j = 0; j < classes; ++j) row[j] += bias[j];
    for (int64_t j = 0; j < classes; ++j) largest = row[j] > largest ? row[j] : largest;
    const T own = row[label] - largest;
    for (int64_t j = 0; j < classes; ++j) row[j] = exp_nonpositive(row[j] - largest);
    for (int64_t j = 0; j < classes; ++j) sum += row[j];
    total += std::log(static_cast<double>(sum)) - static_cast<double>(own);
    const T scale = share / sum;
    for (int64_t j = 0; j < classes; ++j) row[j] *= scale;
    row[label] -= share;
    for (int64_t j = 0; j < classes; ++j) column_sums[j] += row[j];
    write_row(row, rows + i * rows_ld, classes);
  }
  return total * static_cast<double>(share);
}

}  // namespace

#define STACKAE_DEFINE(T, O)                                                                                           \
  STACKAE_MULTIVERSION double output_pass(T* c, int64_t ld, const T* bias, Activation activation, Loss loss,           \
                                          const Source& source, const Batch& batch, T share, O* rows, int64_t rows_ld, \
                                          T* sums, const Tile& tile) {                                                 \
    return output_tile(c, ld, bias, activation, loss, source, batch, share, rows, rows_ld, sums, tile);                \
  }                                                                                                                    \
  STACKAE_MULTIVERSION double softmax_pass(T* c, int64_t ld, const T* bias, const int64_t* labels, const Batch& batch, \
                                           T share, O* rows, int64_t rows_ld, T* sums, int64_t classes,                \
                                           const Tile& tile) {                                                         \
    return softmax_rows(c, ld, bias, labels, batch, share, rows, rows_ld, sums, classes, tile);                        \
  }
STACKAE_DEFINE(float, float)
STACKAE_DEFINE(float, c10::BFloat16)
STACKAE_DEFINE(double, double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
