// See passes.h: the passes after the matmul of a layer, forward and backward, and the forms that later matmuls read.
#include <cmath>

#include "../code_penalty.h"
#include "multiversion.h"
#include "operand.h"
#include "passes.h"

namespace stackae::cpu {
namespace {

int64_t whole_vectors(const Tile& tile) {
  return (tile.column_end - tile.column_begin + vector_width - 1) / vector_width * vector_width;
}

template <typename F, typename T>
STACKAE_INLINE void activate_row(T* __restrict c, const T* __restrict bias, T* __restrict pre, int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    const T a = c[j] + bias[j];
    if constexpr (F::keeps_preactivation) pre[j] = a;
    c[j] = F::value(a);
  }
}

template <typename T>
STACKAE_INLINE void add_mean_row(const T* __restrict h, T* __restrict means, T* __restrict complements, T share,
                                 bool centred, int64_t width) {
  for (int64_t j = 0; j < width; ++j) accumulate_mean(h[j], centred, share, means[j], complements[j]);
}

// From h, or from pre where f' is computed from that.
template <typename F, typename T>
STACKAE_INLINE void add_steepness_row(const T* __restrict h, const T* __restrict pre, T* __restrict steepness, T share,
                                      int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    T kept = h[j];
    if constexpr (F::keeps_preactivation) kept = pre[j];
    accumulate_steepness<F>(kept, share, steepness[j]);
  }
}

template <typename T, typename O>
STACKAE_INLINE void activate_tile(T* c, int64_t ld, const T* bias, Activation activation, O* rows, T* pre,
                                  int64_t rows_ld, const CodeTerms<T>& code, const Tile& tile) {
  const int64_t width = whole_vectors(tile), block = tile.row_block * rows_ld + tile.column_begin;
  const bool contracts = code.steepness != nullptr;
  const T share = code.share;
  T steepness[tile_columns] = {};
  with_activation<T>(activation, [=, &steepness](auto f) __attribute__((always_inline)) {
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      const int64_t at = i * rows_ld + tile.column_begin;
      T* const row = c + (i - tile.row_begin) * ld;
      activate_row<decltype(f)>(row, bias + tile.column_begin, pre + at, width);
      if (contracts) add_steepness_row<decltype(f)>(row, pre + at, steepness, share, width);
      write_row(row, rows + at, width);
    }
  });
  if (contracts) std::copy_n(steepness, width, code.steepness + block);
  if (code.means == nullptr) return;
  T means[tile_columns] = {}, complements[tile_columns] = {};
  for (int64_t i = 0; i < tile.row_end - tile.row_begin; ++i)
    add_mean_row(c + i * ld, means, complements, share, code.centred, width);
  std::copy_n(means, width, code.means + block);
  std::copy_n(complements, width, code.complements + block);
}

template <typename F, bool contracts, typename T, typename O>
STACKAE_INLINE void derive_row(T* __restrict c, const O* __restrict h, const T* __restrict pre,
                               const T* __restrict slopes, EntryPenalty<T> entry, const T* __restrict terms,
                               T* __restrict sums, int64_t width) {
  for (int64_t j = 0; j < width; ++j) {
    const T code = static_cast<T>(h[j]);
    T kept = code;
    if constexpr (F::keeps_preactivation) kept = pre[j];
    T g = code_gradient<F>(c[j], code, kept, slopes[j], entry);
    if constexpr (contracts) g += steepness_gradient<F>(kept, terms[j]);
    c[j] = g;
    sums[j] += g;
  }
}

template <typename T, typename O>
STACKAE_INLINE void derive_tile(T* c, int64_t ld, const O* kept, const T* pre, int64_t kept_ld,
                                const CodeTerms<T>& code, Activation activation, O* rows, int64_t rows_ld, T* sums,
                                const Tile& tile) {
  const int64_t width = whole_vectors(tile), begin = tile.column_begin;
  const T *const slopes = code.slopes + begin, *const terms = code.terms;
  const EntryPenalty<T> entry = code.entry;
  T partial[tile_columns] = {};
  with_activation<T>(activation, [=, &partial](auto f) __attribute__((always_inline)) {
    using F = decltype(f);
    for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
      const int64_t at = i * kept_ld + begin;
      T* const row = c + (i - tile.row_begin) * ld;
      if (terms == nullptr)
        derive_row<F, false>(row, kept + at, pre + at, slopes, entry, slopes, partial, width);
      else
        derive_row<F, true>(row, kept + at, pre + at, slopes, entry, terms + begin, partial, width);
    }
  });
  std::copy_n(partial, width, sums + tile.row_block * kept_ld + tile.column_begin);
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i)
    write_row(c + (i - tile.row_begin) * ld, rows + i * rows_ld + tile.column_begin, width);
}

// pairs (rows / 2, columns) of two rows' bfloat16 bits; a missing last row counts as zeros.
STACKAE_INLINE void pair_rows(const float* c, int64_t ld, uint32_t* __restrict pairs, int64_t pairs_ld, int64_t rows,
                              int64_t width) {
  const float none[tile_columns] = {};
  for (int64_t i = 0; i < rows; i += 2) {
    const float* const first = c + i * ld;
    const float* const second = i + 1 < rows ? first + ld : none;
    for (int64_t j = 0; j < width; ++j) pairs[i / 2 * pairs_ld + j] = bfloat16_pair(first[j], second[j]);
  }
}

// pairs (rows, columns / 2) of neighbors in a row; columns from `width` on count as zeros.
STACKAE_INLINE void pair_neighbours(const float* c, int64_t ld, uint32_t* __restrict pairs, int64_t pairs_ld,
                                    int64_t rows, int64_t width) {
  for (int64_t i = 0; i < rows; ++i) {
    uint16_t bits[tile_columns];
    for (int64_t j = 0; j < tile_columns; ++j)
      bits[j] = j < width ? static_cast<uint16_t>(bfloat16_bits(c[i * ld + j])) : 0;
    std::memcpy(pairs + i * pairs_ld, bits, sizeof(bits));
  }
}

template <CpuLevel level>
STACKAE_INLINE void store_forms(const float* c, int64_t ld, c10::BFloat16* columns, int64_t columns_ld,
                                c10::BFloat16* panel, int64_t panel_ld, uint32_t* pairs, const Tile& tile) {
  const int64_t rows = tile.row_end - tile.row_begin, width = whole_vectors(tile), half = tile.row_begin / 2;
  if (panel != nullptr)
    pair_rows(c, ld, reinterpret_cast<uint32_t*>(panel) + half * panel_ld + tile.column_begin, panel_ld, rows, width);
  if (columns == nullptr) return;
  pair_rows(c, ld, pairs, tile_columns, rows, width);
  transpose_tile<level>(pairs, tile_columns,
                        reinterpret_cast<uint32_t*>(columns) + tile.column_begin * (columns_ld / 2) + half,
                        columns_ld / 2, (rows + 1) / 2, width);
}

// The transposed weight in pairs of its rows, which are pairs of neighbors in a row of the weight.
template <CpuLevel level>
STACKAE_INLINE void store_weight_forms(const float* c, int64_t ld, c10::BFloat16* panel, int64_t panel_ld,
                                       c10::BFloat16* transposed, int64_t transposed_ld, uint32_t* pairs,
                                       const Tile& tile) {
  const int64_t rows = tile.row_end - tile.row_begin, width = tile.column_end - tile.column_begin;
  const int64_t half_row = tile.row_begin / 2, half_column = tile.column_begin / 2;
  pair_rows(c, ld, reinterpret_cast<uint32_t*>(panel) + half_row * panel_ld + tile.column_begin, panel_ld, rows,
            whole_vectors(tile));
  pair_neighbours(c, ld, pairs, tile_columns / 2, rows, width);
  transpose_tile<level>(pairs, tile_columns / 2,
                        reinterpret_cast<uint32_t*>(transposed) + half_column * transposed_ld + tile.row_begin,
                        transposed_ld, rows, (width + 1) / 2);
}

template <typename T>
STACKAE_INLINE void square_rows(const T* matrix, int64_t columns, int64_t begin, int64_t end, T* norms) {
  constexpr int64_t lanes = 16;
  for (int64_t i = begin; i < end; ++i) {
    const T* const row = matrix + i * columns;
    T sums[lanes] = {};
    int64_t j = 0;
    for (; j + lanes <= columns; j += lanes)
      for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += row[j + lane] * row[j + lane];
    T total = 0;
    for (; j < columns; ++j) total += row[j] * row[j];
    for (const T sum : sums) total += sum;
    norms[i] = total;
  }
}

template <typename T>
STACKAE_INLINE void add_weight_terms(T* __restrict c, int64_t ld, const T* __restrict w, int64_t w_ld, const T* terms,
                                     int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) c[i * ld + j] += terms[i] * w[i * w_ld + j];
}

template <typename T>
STACKAE_INLINE double entry_sum(const T* c, int64_t ld, EntryPenalty<T> entry, const Tile& tile) {
  double sum = 0;
  for (int64_t i = 0; i < tile.row_end - tile.row_begin; ++i)
    for (int64_t j = 0; j < tile.column_end - tile.column_begin; ++j)
      sum += static_cast<double>(entry.value(c[i * ld + j]));
  return sum;
}

}  // namespace

#define STACKAE_DEFINE(T, O)                                                                                      \
  void activation_pass(T* c, int64_t ld, const T* bias, Activation activation, O* rows, T* pre, int64_t rows_ld,  \
                       const CodeTerms<T>& code, const Tile& tile) {                                              \
    return STACKAE_AT_LEVEL(activate_tile(c, ld, bias, activation, rows, pre, rows_ld, code, tile));              \
  }                                                                                                               \
  void derivative_pass(T* c, int64_t ld, const O* kept, const T* pre, int64_t kept_ld, const CodeTerms<T>& code,  \
                       Activation activation, O* rows, int64_t rows_ld, T* sums, const Tile& tile) {              \
    return STACKAE_AT_LEVEL(derive_tile(c, ld, kept, pre, kept_ld, code, activation, rows, rows_ld, sums, tile)); \
  }
STACKAE_DEFINE(float, float)
STACKAE_DEFINE(float, c10::BFloat16)
STACKAE_DEFINE(double, double)
#undef STACKAE_DEFINE

void store_pass(const float* c, int64_t ld, c10::BFloat16* columns, int64_t columns_ld, c10::BFloat16* panel,
                int64_t panel_ld, uint32_t* pairs, const Tile& tile) {
  return STACKAE_AT_LEVEL(store_forms<level>(c, ld, columns, columns_ld, panel, panel_ld, pairs, tile));
}

void store_weight_pass(const float* c, int64_t ld, c10::BFloat16* panel, int64_t panel_ld, c10::BFloat16* transposed,
                       int64_t transposed_ld, uint32_t* pairs, const Tile& tile) {
  return STACKAE_AT_LEVEL(store_weight_forms<level>(c, ld, panel, panel_ld, transposed, transposed_ld, pairs, tile));
}

#define STACKAE_DEFINE(T)                                                                                            \
  double entry_pass(const T* c, int64_t ld, EntryPenalty<T> entry, const Tile& tile) {                               \
    return STACKAE_AT_LEVEL(entry_sum(c, ld, entry, tile));                                                          \
  }                                                                                                                  \
  void norms_pass(const T* matrix, int64_t columns, int64_t begin, int64_t end, T* norms) {                          \
    return STACKAE_AT_LEVEL(square_rows(matrix, columns, begin, end, norms));                                        \
  }                                                                                                                  \
  void weight_term_pass(T* c, int64_t ld, const T* w, int64_t w_ld, const T* terms, int64_t rows, int64_t columns) { \
    return STACKAE_AT_LEVEL(add_weight_terms(c, ld, w, w_ld, terms, rows, columns));                                 \
  }
STACKAE_DEFINE(float)
STACKAE_DEFINE(double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
