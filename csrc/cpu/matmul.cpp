// See matmul.h. A tile of c, as many rows and columns as registers hold, is summed over some depth of k before anything
// of it is written: a row of b in vectors, times one number of each row of a.
//
// What is far apart in memory is copied first, so that it is near when it is read again: a part of b, in panels of as
// many columns as a tile has, which stays in the second-level cache while the rows of c go by; and of a transposed left
// factor the rows of a block. Each row of a matrix lies on a page of its own; a core keeps few of their addresses at
// hand. A copy costs as much as two to four rows of c: it does not pay where few rows read b once.
#include "matmul.h"

#include <algorithm>
#include <type_traits>

#include "multiversion.h"
#include "operand.h"

namespace stackae::cpu {
namespace {

constexpr int64_t block_rows = 64;  // of c: what they read of a stays in the second-level cache
constexpr int64_t ahead = 16;       // rows that are prefetched while one is copied

// Registers: 16, or 32 at v4; two vectors of b's row, one number of a, and the tile.
template <typename T, CpuLevel level>
struct Shape {
  static constexpr int bytes = level == CpuLevel::v4 ? 64 : level == CpuLevel::v3 ? 32 : 16;
  static constexpr int lanes = bytes / sizeof(T), vectors = 2, rows = level == CpuLevel::v4 ? 12 : 6;
  static constexpr int64_t width = vectors * lanes;  // of a panel
  typedef T Vector __attribute__((vector_size(bytes)));
  typedef T Unaligned __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

template <typename S, int rows, int vectors, bool transposed, typename T>
STACKAE_INLINE void register_tile(int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc,
                                  bool add) {
  using Vector = typename S::Vector;
  using Unaligned = typename S::Unaligned;
  Vector sums[rows][vectors] = {};
  for (int i = 0; add && i < rows; ++i)
    for (int v = 0; v < vectors; ++v) sums[i][v] = *reinterpret_cast<const Unaligned*>(c + i * ldc + v * S::lanes);
#pragma GCC unroll 2
  for (int64_t p = 0; p < k; ++p, b += ldb, a += transposed ? lda : 1) {
    Vector row[vectors];
    for (int v = 0; v < vectors; ++v) row[v] = *reinterpret_cast<const Unaligned*>(b + v * S::lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const Vector number = a[transposed ? i : i * lda] - Vector{};
      for (int v = 0; v < vectors; ++v) sums[i][v] += number * row[v];
    }
  }
  for (int i = 0; i < rows; ++i)
    for (int v = 0; v < vectors; ++v) *reinterpret_cast<Unaligned*>(c + i * ldc + v * S::lanes) = sums[i][v];
}

// A tile of so many rows, at most `most`.
template <typename S, int most, int vectors, bool transposed, typename T>
STACKAE_INLINE void tile_of(int64_t rows, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c,
                            int64_t ldc, bool add) {
  if constexpr (most > 0) {
    if (rows == most) return register_tile<S, most, vectors, transposed>(k, a, lda, b, ldb, c, ldc, add);
    tile_of<S, most - 1, vectors, transposed>(rows, k, a, lda, b, ldb, c, ldc, add);
  }
}

// A panel of whole vectors: its rows in tiles as even as they can be.
template <typename S, int vectors, bool transposed, typename T>
STACKAE_INLINE void whole_panel(int64_t m, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c,
                                int64_t ldc, bool add) {
  const int64_t tiles = (m + S::rows - 1) / S::rows;
  for (int64_t t = 0, i = 0; t < tiles; ++t) {
    const int64_t end = (t + 1) * m / tiles;
    tile_of<S, S::rows, vectors, transposed>(end - i, k, a + i * (transposed ? 1 : lda), lda, b, ldb, c + i * ldc, ldc,
                                             add);
    i = end;
  }
}

// Columns that do not fill the vectors are computed beside c, over columns of zeros.
template <typename S, int vectors, bool transposed, typename T>
STACKAE_INLINE void panel(int64_t m, int64_t columns, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c,
                          int64_t ldc, bool add) {
  constexpr int64_t width = vectors * S::lanes;
  const bool ragged = columns < width;
  alignas(64) T beside[block_rows * width];
  for (int64_t i = 0; add && ragged && i < m; ++i) std::copy_n(c + i * ldc, columns, beside + i * width);
  whole_panel<S, vectors, transposed>(m, k, a, lda, b, ldb, ragged ? beside : c, ragged ? width : ldc, add);
  for (int64_t i = 0; ragged && i < m; ++i) std::copy_n(beside + i * width, columns, c + i * ldc);
}

// A row that is copied soon, to the first-level cache: no hardware foresees the page that it lies on.
template <typename T>
STACKAE_INLINE void prefetch(const T* row, int64_t columns) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t j = 0; j < columns; j += line) __builtin_prefetch(row + j);
}

// Panels of b, row by row, with zeros after the last column.
template <typename S, typename T>
STACKAE_INLINE void copy_rows(int64_t k, int64_t columns, const T* b, int64_t ldb, T* copy) {
  for (int64_t p = 0; p < k; ++p, b += ldb) {
    prefetch(b + ahead * ldb, columns);
    int64_t j = 0;
    for (; j + S::width <= columns; j += S::width) std::copy_n(b + j, S::width, copy + j * k + p * S::width);
    for (int64_t i = j; j < columns && i < j + S::width; ++i)
      copy[j * k + p * S::width + i - j] = i < columns ? b[i] : T(0);
  }
}

// A panel of b's transpose: in blocks that registers transpose, where there are such, else one by one.
template <typename S, CpuLevel level, typename T>
STACKAE_INLINE void copy_columns(int64_t k, int64_t columns, const T* b, int64_t ldb, T* copy) {
  constexpr bool in_blocks = std::is_same_v<T, float> && level != CpuLevel::base;
  for (int64_t j = 0; j < S::width; j += S::lanes) {
    int64_t p = 0;
    if constexpr (in_blocks)
      for (; j + S::lanes <= columns && p + S::lanes <= k; p += S::lanes)
        transpose_block<S::lanes>(reinterpret_cast<const uint32_t*>(b + j * ldb + p), ldb,
                                  reinterpret_cast<uint32_t*>(copy + p * S::width + j), S::width);
    for (; p < k; ++p)
      for (int64_t i = j; i < j + S::lanes; ++i) copy[p * S::width + i] = i < columns ? b[i * ldb + p] : T(0);
  }
}

template <typename S, CpuLevel level, typename T>
STACKAE_INLINE void copy_panels(int64_t k, int64_t columns, Factor<T> b, T* copy) {
  if (!b.transposed) return copy_rows<S>(k, columns, b.data, b.ld, copy);
  for (int64_t j = 0; j < columns; j += S::width)
    copy_columns<S, level>(k, std::min(S::width, columns - j), b.at(0, j), b.ld, copy + j * k);
}

// A block of rows of c; of the part of b, columns before `in_place` lie where they lie, and others in the copy.
template <typename S, bool transposed, typename T>
STACKAE_INLINE void block(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, Factor<T> b, const T* copy,
                          int64_t in_place, T* c, int64_t ldc, bool add) {
  for (int64_t j = 0; j < n; j += S::width) {
    const int64_t columns = std::min(S::width, n - j), ld = j < in_place ? b.ld : S::width;
    const T* const right = j < in_place ? b.at(0, j) : copy + j * k;
    if (columns > S::lanes)
      panel<S, S::vectors, transposed>(m, columns, k, a, lda, right, ld, c + j, ldc, add);
    else
      panel<S, 1, transposed>(m, columns, k, a, lda, right, ld, c + j, ldc, add);
  }
}

// A part of b and all rows of c. Where b is read once and lies in rows, it is read there, but for columns that do not
// fill a panel, and rows a multiple of 1 kB apart, which share cache sets.
template <CpuLevel level, typename T>
STACKAE_INLINE void by_level(int64_t m, int64_t n, int64_t k, Factor<T> a, Factor<T> b, T* c, int64_t ldc, bool add,
                             T* copy) {
  using S = Shape<T, level>;
  alignas(64) T left[deepest_part * block_rows];
  const bool copies_all = b.transposed || m > block_rows || b.ld * sizeof(T) % 1024 == 0;
  const int64_t in_place = copies_all ? 0 : n / S::width * S::width;
  copy_panels<S, level>(k, n - in_place, b.from(0, in_place), copy + in_place * k);
  for (int64_t i = 0; i < m; i += block_rows, c += block_rows * ldc) {
    const int64_t rows = std::min(block_rows, m - i);
    if (!a.transposed) {
      block<S, false>(rows, n, k, a.at(i, 0), a.ld, b, copy, in_place, c, ldc, add);
      continue;
    }
    for (int64_t p = 0; p < k; ++p) {
      prefetch(a.at(i, p + ahead), rows);
      std::copy_n(a.at(i, p), rows, left + p * block_rows);
    }
    block<S, true>(rows, n, k, left, block_rows, b, copy, in_place, c, ldc, add);
  }
}

template <typename T>
void in_parts(int64_t m, int64_t n, int64_t k, Factor<T> a, Factor<T> b, T* c, int64_t ldc, bool add, Room<T>& room) {
  const int64_t parts = std::max<int64_t>(1, (k + deepest_part - 1) / deepest_part);
  for (int64_t j = 0; j < n; j += widest_part)
    for (int64_t part = 0, begin = 0; part < parts; ++part) {
      const int64_t end = (part + 1) * k / parts, columns = std::min(widest_part, n - j);
      const Factor<T> left = a.from(0, begin), right = b.from(begin, j);
      STACKAE_AT_LEVEL(by_level<level>(m, columns, end - begin, left, right, c + j, ldc, add || part > 0, room.part));
      begin = end;
    }
}

}  // namespace

void multiply(int64_t m, int64_t n, int64_t k, Factor<float> a, Factor<float> b, float* c, int64_t ldc, bool add,
              Room<float>& room) {
  in_parts(m, n, k, a, b, c, ldc, add, room);
}

void multiply(int64_t m, int64_t n, int64_t k, Factor<double> a, Factor<double> b, double* c, int64_t ldc, bool add,
              Room<double>& room) {
  in_parts(m, n, k, a, b, c, ldc, add, room);
}

}  // namespace stackae::cpu
