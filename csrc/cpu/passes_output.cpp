// See passes.h: the loss of the output layer and its gradient, in the tile of the matmul that is still in cache.
#include <cmath>
#include <limits>
#include <type_traits>

#include "../objective.h"
#include "multiversion.h"
#include "operand.h"
#include "passes.h"
#include "read_row.h"

namespace stackae::cpu {
namespace {

// One row of the output; entry(a, target, share, loss) adds to the loss and gives the gradient.
template <bool weighted, typename T, typename Entry>
STACKAE_INLINE void output_row(T* __restrict c, const T* __restrict bias, const T* __restrict target,
                               const T* __restrict weights, T share, T* __restrict sums, T* __restrict losses,
                               int64_t width, Entry entry) {
  for (int64_t j = 0; j < width; ++j) {
    T g;
    if constexpr (weighted) {
      T loss = 0;
      g = entry(c[j] + bias[j], target[j], share * weights[j], loss);
      g = weights[j] == 0 ? T(0) : g;
      losses[j] += weights[j] == 0 ? T(0) : weights[j] * loss;
    } else {
      g = entry(c[j] + bias[j], target[j], share, losses[j]);
    }
    sums[j] += g;
    c[j] = g;
  }
}

// Columns [begin, end) of what row `index` should become.
template <typename T>
STACKAE_INLINE void read_target(const Targets<T>& targets, int64_t index, int64_t begin, int64_t end, T* target) {
  if (targets.labels == nullptr) return read_row(targets.source, index, begin, end, target);
  const int64_t label = targets.labels[index];
  std::fill_n(target, end - begin, T(0));
  if (label >= begin && label < end) target[label - begin] = T(1);
}

// The weights of the entries of a row; a target that is NaN becomes a 0 that weighs nothing.
template <typename T>
STACKAE_INLINE void weigh_row(const Targets<T>& targets, int64_t index, const uint8_t* __restrict struck,
                              T* __restrict target, T* __restrict weights, int64_t width) {
  const T own = targets.weights == nullptr ? T(1) : targets.weights[index];
  const T replaced = own * static_cast<T>(targets.emphasis.replaced);
  const T others = own * static_cast<T>(targets.emphasis.others);
  if (struck == nullptr)
    std::fill_n(weights, width, own);
  else
    for (int64_t j = 0; j < width; ++j) weights[j] = struck[j] != 0 ? replaced : others;
  for (int64_t j = 0; j < width; ++j) {
    const bool known = target[j] == target[j];
    weights[j] = known ? weights[j] : T(0);
    target[j] = known ? target[j] : T(0);
  }
}

template <typename T, typename O>
STACKAE_INLINE double output_tile(T* c, int64_t ld, const T* bias, Activation activation, Loss loss,
                                  const Targets<T>& targets, const Batch& batch, T share, O* rows, int64_t rows_ld,
                                  T* sums, const Tile& tile) {
  const int64_t exact = tile.column_end - tile.column_begin;
  const int64_t width = (exact + vector_width - 1) / vector_width * vector_width;
  T partial[tile_columns] = {}, losses[tile_columns] = {}, target[tile_columns] = {}, weights[tile_columns] = {};
  const T* const shift = bias + tile.column_begin;
  const uint8_t* const struck = targets.struck == nullptr ? nullptr : targets.struck + tile.column_begin;
  const auto each_row = [&](auto weighted, auto entry) __attribute__((always_inline)) {
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      T* const row = c + (i - tile.row_begin) * ld;
      read_target(targets, batch.rows[i], tile.column_begin, tile.column_end, target);
      if constexpr (weighted)
        weigh_row(targets, batch.rows[i], struck == nullptr ? nullptr : struck + i * targets.struck_ld, target, weights,
                  width);
      output_row<weighted>(row, shift, target, weights, share, partial, losses, width, entry);
      write_row(row, rows + i * rows_ld + tile.column_begin, width);
    }
  };
  const auto with_weights = [&](auto entry) __attribute__((always_inline)) {
    return targets.weighted ? each_row(std::true_type(), entry) : each_row(std::false_type(), entry);
  };
  if (loss == Loss::binary_cross_entropy)
    with_weights([](T a, T t, T own, T& sum) STACKAE_LAMBDA_INLINE { return binary_cross_entropy(a, t, own, sum); });
  else
    with_activation<T>(activation, [&](auto f) __attribute__((always_inline)) {
      with_weights([](T a, T t, T own, T& sum)
                       STACKAE_LAMBDA_INLINE { return squared_error<decltype(f)>(a, t, own, sum); });
    });
  std::copy_n(partial, width, sums + tile.row_block * rows_ld + tile.column_begin);
  double total = 0;
  for (int64_t j = 0; j < exact; ++j) total += static_cast<double>(losses[j]);
  return total * static_cast<double>(share);
}

template <typename T, typename O>
STACKAE_INLINE double softmax_rows(T* c, int64_t ld, const T* bias, const Targets<T>& targets, const Batch& batch,
                                   T share, O* rows, int64_t rows_ld, T* sums, int64_t classes, const Tile& tile) {
  double total = 0;
  T* const column_sums = sums + tile.row_block * rows_ld;
  std::fill_n(column_sums, classes, T(0));
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
    T* __restrict row = c + (i - tile.row_begin) * ld;
    const int64_t label = targets.labels[batch.rows[i]];
    const T weight = targets.weights == nullptr ? T(1) : targets.weights[batch.rows[i]];
    T largest = -std::numeric_limits<T>::infinity(), sum = 0;
    for (int64_t j = 0; j < classes; ++j) row[j] += bias[j];
    for (int64_t j = 0; j < classes; ++j) largest = row[j] > largest ? row[j] : largest;
    const T own = row[label] - largest;
    for (int64_t j = 0; j < classes; ++j) row[j] = exp_nonpositive(row[j] - largest);
    for (int64_t j = 0; j < classes; ++j) sum += row[j];
    total += static_cast<double>(weight) * (std::log(static_cast<double>(sum)) - static_cast<double>(own));
    const T scale = weight * share / sum;
    for (int64_t j = 0; j < classes; ++j) row[j] *= scale;
    row[label] -= weight * share;
    for (int64_t j = 0; j < classes; ++j) column_sums[j] += row[j];
    write_row(row, rows + i * rows_ld, classes);
  }
  return total * static_cast<double>(share);
}

}  // namespace

#define STACKAE_DEFINE(T, O)                                                                                       \
  double output_pass(T* c, int64_t ld, const T* bias, Activation activation, Loss loss, const Targets<T>& targets, \
                     const Batch& batch, T share, O* rows, int64_t rows_ld, T* sums, const Tile& tile) {           \
    return STACKAE_AT_LEVEL(                                                                                       \
        output_tile(c, ld, bias, activation, loss, targets, batch, share, rows, rows_ld, sums, tile));             \
  }                                                                                                                \
  double softmax_pass(T* c, int64_t ld, const T* bias, const Targets<T>& targets, const Batch& batch, T share,     \
                      O* rows, int64_t rows_ld, T* sums, int64_t classes, const Tile& tile) {                      \
    return STACKAE_AT_LEVEL(softmax_rows(c, ld, bias, targets, batch, share, rows, rows_ld, sums, classes, tile)); \
  }
STACKAE_DEFINE(float, float)
STACKAE_DEFINE(float, c10::BFloat16)
STACKAE_DEFINE(double, double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
