// See sparse_passes.h.
#include "sparse_passes.h"

#include <algorithm>
#include <type_traits>

#include "multiversion.h"
#include "operand.h"

namespace stackae::cpu {
namespace {

template <typename F, typename T>
STACKAE_INLINE void sift_rows(T* __restrict c, T* __restrict ranks, int64_t ld, const T* bias,
                              const T* __restrict floors, uint8_t* __restrict hits, int64_t units, int64_t rows) {
  for (int64_t u = 0; u < units; ++u) {
    T *const own = c + u * ld, *const rank = ranks + u * ld;
    const T shift = bias[u];
    for (int64_t i = 0; i < rows; ++i) {
      const T a = own[i] + shift;
      own[i] = a;
      T by = a;
      if constexpr (F::keeps_preactivation) rank[i] = by = F::value(a);
      hits[u * ld + i] = !(by < floors[i]);
    }
    for (int64_t i = rows; i % 8 != 0; ++i) hits[u * ld + i] = 0;
  }
}

template <typename T>
STACKAE_INLINE void sift_tile(T* c, T* ranks, int64_t ld, const T* bias, Activation activation, const T* floors,
                              uint8_t* hits, int64_t units, int64_t rows) {
  with_activation<T>(activation, [=](auto f) __attribute__((always_inline)) {
    sift_rows<decltype(f)>(c, ranks, ld, bias, floors, hits, units, rows);
  });
}

template <typename T>
STACKAE_INLINE void activate_entries(const T* __restrict kept, T* __restrict values, T* __restrict slopes,
                                     int64_t count, Activation activation) {
  with_activation<T>(activation, [=](auto f) __attribute__((always_inline)) {
    using F = decltype(f);
    for (int64_t e = 0; e < count; ++e) {
      const T value = F::value(kept[e]);
      values[e] = value;
      slopes[e] = F::derivative(F::keeps_preactivation ? kept[e] : value);
    }
  });
}

// to += factor * from
template <typename T>
STACKAE_INLINE void add_scaled(T* __restrict to, const T* __restrict from, T factor, int64_t width) {
  for (int64_t j = 0; j < width; ++j) to[j] += factor * from[j];
}

// The same, and returns from . with
template <typename T>
STACKAE_INLINE T add_scaled_and_dot(T* __restrict to, const T* __restrict from, T factor, const T* __restrict with,
                                    int64_t width) {
  T sums[vector_width] = {};
  int64_t j = 0;
  for (; j + vector_width <= width; j += vector_width)
    for (int64_t lane = 0; lane < vector_width; ++lane) {
      const T each = from[j + lane];
      to[j + lane] += factor * each;
      sums[lane] += each * with[j + lane];
    }
  T total = 0;
  for (; j < width; ++j) {
    to[j] += factor * from[j];
    total += from[j] * with[j];
  }
  for (const T sum : sums) total += sum;
  return total;
}

// As strike_row (noise.h) draws for a whole row.
STACKAE_INLINE float draw_of(const Stream& stream, int64_t row, int64_t unit, int64_t n_hidden) {
  const int64_t chunks = (n_hidden + chunk_words - 1) / chunk_words, word = unit % chunk_words;
  const int64_t block = (row * chunks + unit / chunk_words) * chunk_blocks + word % chunk_blocks;
  uint32_t words[4];
  philox_block(stream, static_cast<uint32_t>(block), words[0], words[1], words[2], words[3]);
  return unit_interval(words[word / chunk_blocks]);
}

template <typename T>
STACKAE_INLINE void drop_entries(T* values, T* slopes, const int64_t* starts, const int32_t* units, int64_t first,
                                 int64_t begin, int64_t end, int64_t n_hidden, double rate, const Stream& stream) {
  const auto limit = static_cast<float>(rate);
  const T scale = static_cast<T>(1 / (1 - rate));
  for (int64_t i = begin; i < end; ++i)
    for (int64_t e = starts[i]; e < starts[i + 1]; ++e) {
      const T kept = draw_of(stream, first + i, units[e], n_hidden) < limit ? T(0) : scale;
      values[e] *= kept;
      slopes[e] *= kept;
    }
}

template <typename T>
STACKAE_INLINE double lack_of_tile(T* c, const T* g, int64_t ld, T lack, T factor, const Tile& tile) {
  const int64_t width = tile.column_end - tile.column_begin;
  T squares[tile_columns] = {};
  for (int64_t i = 0; i < tile.row_end - tile.row_begin; ++i) {
    T* __restrict const row = c + i * ld;
    const T* __restrict const slope = g + i * ld;
    for (int64_t j = 0; j < width; ++j) {
      const T off = row[j] + lack * slope[j];
      squares[j] += off * off;
      row[j] = factor * off;
    }
  }
  double total = 0;
  for (int64_t j = 0; j < width; ++j) total += static_cast<double>(squares[j]);
  return total;
}

template <typename T>
STACKAE_INLINE void squares_of_columns(const T* w, int64_t ld, T* __restrict sums, int64_t rows, int64_t columns) {
  std::fill_n(sums, columns, T(0));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) sums[j] += w[i * ld + j] * w[i * ld + j];
}

template <typename T>
STACKAE_INLINE void scale_columns(T* __restrict w, int64_t ld, const T* __restrict factors, int64_t rows,
                                  int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) w[i * ld + j] *= factors[j];
}

STACKAE_INLINE void prefetch(const void* row, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(row) + at);
}

template <typename T>
STACKAE_INLINE void decode_rows(T* c, int64_t ld, const T* weight, int64_t weight_ld, const int64_t* starts,
                                const int32_t* units, const T* values, const Tile& tile) {
  const int64_t width = tile.column_end - tile.column_begin;
  const int64_t whole = (width + vector_width - 1) / vector_width * vector_width;
  const T* const from = weight + tile.column_begin;
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
    T* const row = c + (i - tile.row_begin) * ld;
    std::fill_n(row, whole, T(0));
    for (int64_t e = starts[i]; e < starts[i + 1]; ++e) {
      if (e + 1 < starts[tile.row_end])
        prefetch(from + units[e + 1] * weight_ld, width * static_cast<int64_t>(sizeof(T)));
      if (values[e] != 0) add_scaled(row, from + units[e] * weight_ld, values[e], width);
    }
  }
}

template <typename T>
STACKAE_INLINE T unit_gradient(const UnitEntries<T>& entries, const T* w, const T* g, int64_t g_ld, const T* x,
                               int64_t x_ld, T* outgoing, T* incoming, int64_t width) {
  T sum = 0;
  for (int64_t e = 0; e < entries.count; ++e) {
    const int64_t row = entries.rows[e];
    const T delta = add_scaled_and_dot(outgoing, g + row * g_ld, entries.values[e], w, width) * entries.slopes[e];
    if (delta != 0) add_scaled(incoming, x + row * x_ld, delta, width);
    sum += delta;
  }
  return sum;
}

template <CpuLevel level, typename T>
STACKAE_INLINE void transpose_blocks(const T* from, int64_t from_ld, T* to, int64_t to_ld, int64_t rows,
                                     int64_t columns) {
  constexpr int lanes = level == CpuLevel::v4 ? 16 : 8;
  for (int64_t i = 0; i < rows; i += lanes)
    for (int64_t j = 0; j < columns; j += lanes) {
      const T* const block = from + i * from_ld + j;
      T* const out = to + j * to_ld + i;
      const int64_t height = std::min<int64_t>(lanes, rows - i), width = std::min<int64_t>(lanes, columns - j);
      if constexpr (sizeof(T) == 4 && level != CpuLevel::base)
        if (height == lanes && width == lanes) {
          transpose_block<lanes>(reinterpret_cast<const uint32_t*>(block), from_ld, reinterpret_cast<uint32_t*>(out),
                                 to_ld);
          continue;
        }
      for (int64_t b = 0; b < width; ++b)
        for (int64_t a = 0; a < height; ++a) out[b * to_ld + a] = block[a * from_ld + b];
    }
}

}  // namespace

#define STACKAE_DEFINE(T)                                                                                             \
  void sift_pass(T* c, T* ranks, int64_t ld, const T* bias, Activation activation, const T* floors, uint8_t* hits,    \
                 int64_t units, int64_t rows) {                                                                       \
    return STACKAE_AT_LEVEL(sift_tile(c, ranks, ld, bias, activation, floors, hits, units, rows));                    \
  }                                                                                                                   \
  void entries_pass(const T* kept, T* values, T* slopes, int64_t count, Activation activation) {                      \
    return STACKAE_AT_LEVEL(activate_entries(kept, values, slopes, count, activation));                               \
  }                                                                                                                   \
  void decode_pass(T* c, int64_t ld, const T* weight, int64_t weight_ld, const int64_t* starts, const int32_t* units, \
                   const T* values, const Tile& tile) {                                                               \
    return STACKAE_AT_LEVEL(decode_rows(c, ld, weight, weight_ld, starts, units, values, tile));                      \
  }                                                                                                                   \
  void drop_entries_pass(T* values, T* slopes, const int64_t* starts, const int32_t* units, int64_t first,            \
                         int64_t begin, int64_t end, int64_t n_hidden, double rate, const Stream& stream) {           \
    return STACKAE_AT_LEVEL(drop_entries(values, slopes, starts, units, first, begin, end, n_hidden, rate, stream));  \
  }                                                                                                                   \
  double lack_pass(T* c, const T* g, int64_t ld, T lack, T factor, const Tile& tile) {                                \
    return STACKAE_AT_LEVEL(lack_of_tile(c, g, ld, lack, factor, tile));                                              \
  }                                                                                                                   \
  void squares_pass(const T* w, int64_t ld, T* sums, int64_t rows, int64_t columns) {                                 \
    return STACKAE_AT_LEVEL(squares_of_columns(w, ld, sums, rows, columns));                                          \
  }                                                                                                                   \
  void scale_columns_pass(T* w, int64_t ld, const T* factors, int64_t rows, int64_t columns) {                        \
    return STACKAE_AT_LEVEL(scale_columns(w, ld, factors, rows, columns));                                            \
  }                                                                                                                   \
  T unit_pass(const UnitEntries<T>& entries, const T* w, const T* g, int64_t g_ld, const T* x, int64_t x_ld,          \
              T* outgoing, T* incoming, int64_t width) {                                                              \
    return STACKAE_AT_LEVEL(unit_gradient(entries, w, g, g_ld, x, x_ld, outgoing, incoming, width));                  \
  }                                                                                                                   \
  void transpose_pass(const T* from, int64_t from_ld, T* to, int64_t to_ld, int64_t rows, int64_t columns) {          \
    return STACKAE_AT_LEVEL(transpose_blocks<level>(from, from_ld, to, to_ld, rows, columns));                        \
  }
STACKAE_DEFINE(float)
STACKAE_DEFINE(double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
