// See matmul.h. A tile of c, as many rows and columns as registers hold, is summed over k before anything of it is
// written: a row of b in vectors, times one number of each row of a. The left factor is read as it lies, transposed or
// not. The right one too: copying its panels to contiguous memory costs more than it gains (5-10 % at 784-300), but
// where rows a multiple of 1 kB apart would share cache sets. Where it is wide, each of its rows lies on a page of its
// own and no hardware prefetches it: while one panel is multiplied, the next is prefetched (17 % at 4096-4096).
#include "matmul.h"

#include <algorithm>

#include "multiversion.h"

namespace stackae::cpu {
namespace {

constexpr int64_t deepest = 512;             // rows of b that a pass over c reads
constexpr int64_t deepest_transposed = 256;  // and where the left factor is transposed or the right one wide
constexpr int64_t most_rows = 64;            // of what is copied
constexpr int64_t wide_bytes = 1 << 22;      // the rows of a wide right factor are as far apart as this in all

// Registers: 16, or 32 at v4; two vectors of b's row, one number of a, and the tile.
template <typename T, CpuLevel level>
struct Shape {
  static constexpr int bytes = level == CpuLevel::v4 ? 64 : level == CpuLevel::v3 ? 32 : 16;
  static constexpr int lanes = bytes / sizeof(T), vectors = 2, rows = level == CpuLevel::v4 ? 12 : 6;
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

// The panel that is multiplied next, row by row, its rows so far apart; null: it is not to be prefetched.
template <typename T>
struct Ahead {
  const T* next;
  int64_t ld;
};

// Rows [begin, end) of it, to the second-level cache; an address that is no memory does no harm.
template <int bytes, typename T>
STACKAE_INLINE void prefetch_rows(Ahead<T> ahead, int64_t begin, int64_t end) {
  constexpr int line = 64;
  for (int64_t p = begin; ahead.next != nullptr && p < end; ++p)
    for (int at = 0; at < bytes; at += line)
      __builtin_prefetch(reinterpret_cast<const char*>(ahead.next + p * ahead.ld) + at, /*write=*/0, /*locality=*/2);
}

// A panel of whole vectors: its rows in tiles as even as they can be.
template <typename S, int vectors, typename T>
STACKAE_INLINE void whole_panel(int64_t m, int64_t k, Left<T> a, const T* b, int64_t ldb, T* c, int64_t ldc, bool add,
                                Ahead<T> ahead) {
  const int64_t tiles = (m + S::rows - 1) / S::rows;
  for (int64_t t = 0, i = 0; t < tiles; ++t) {
    const int64_t end = (t + 1) * m / tiles;
    prefetch_rows<vectors * S::bytes>(ahead, t * k / tiles, (t + 1) * k / tiles);
    if (a.transposed)
      tile_of<S, S::rows, vectors, true>(end - i, k, a.at(i, 0), a.ld, b, ldb, c + i * ldc, ldc, add);
    else
      tile_of<S, S::rows, vectors, false>(end - i, k, a.at(i, 0), a.ld, b, ldb, c + i * ldc, ldc, add);
    i = end;
  }
}

// The rows of a panel of b, contiguous, with zeros after its last column.
template <int width, typename T>
STACKAE_INLINE void pack(int64_t k, int64_t columns, const T* b, int64_t ldb, T* packed) {
  for (int64_t p = 0; p < k; ++p)
    for (int64_t j = 0; j < width; ++j) packed[p * width + j] = j < columns ? b[p * ldb + j] : T(0);
}

// Columns that do not fill the vectors are computed beside c, over columns of zeros.
template <typename S, int vectors, typename T>
STACKAE_INLINE void panel(int64_t m, int64_t columns, int64_t k, Left<T> a, const T* b, int64_t ldb, T* c, int64_t ldc,
                          bool add, Ahead<T> ahead) {
  constexpr int64_t width = vectors * S::lanes;
  const bool ragged = columns < width;
  alignas(64) T packed[deepest * width], beside[most_rows * width];
  if (ragged || ldb * static_cast<int64_t>(sizeof(T)) % 1024 == 0) {
    pack<width>(k, columns, b, ldb, packed);
    b = packed;
    ldb = width;
  }
  for (int64_t begin = 0, rows = ragged ? most_rows : m; begin < m; begin += rows) {
    rows = std::min(rows, m - begin);
    T *const own = c + begin * ldc, *const to = ragged ? beside : own;
    const int64_t to_ld = ragged ? width : ldc;
    for (int64_t i = 0; add && ragged && i < rows; ++i) std::copy_n(own + i * ldc, columns, beside + i * width);
    whole_panel<S, vectors>(rows, k, a.from(begin, 0), b, ldb, to, to_ld, add, ahead);
    for (int64_t i = 0; ragged && i < rows; ++i) std::copy_n(beside + i * width, columns, own + i * ldc);
  }
}

// After the last of them come the same columns, k rows further down, or nothing.
template <CpuLevel level, typename T>
STACKAE_INLINE void panels(int64_t m, int64_t n, int64_t k, Left<T> a, const T* b, int64_t ldb, T* c, int64_t ldc,
                           bool add, bool wide) {
  using S = Shape<T, level>;
  constexpr int64_t width = S::vectors * S::lanes;
  for (int64_t j = 0; j < n; j += width) {
    const int64_t columns = std::min(width, n - j);
    const Ahead<T> ahead{!wide ? nullptr : j + width < n ? b + j + width : b + k * ldb, ldb};
    if (columns > S::lanes)
      panel<S, S::vectors>(m, columns, k, a, b + j, ldb, c + j, ldc, add, ahead);
    else
      panel<S, 1>(m, columns, k, a, b + j, ldb, c + j, ldc, add, ahead);
  }
}

// A transposed left factor is read in columns, each on pages of its own. Where registers hold six rows of it and the
// right factor is wide, that many reads cost more than a copy of its rows' numbers side by side (8-13 % at 784-1000).
template <CpuLevel level, typename T>
STACKAE_INLINE void by_level(int64_t m, int64_t n, int64_t k, Left<T> a, const T* b, int64_t ldb, T* c, int64_t ldc,
                             bool add, bool wide) {
  if (level == CpuLevel::v4 || !a.transposed || n < 128 || k < 64)
    return panels<level>(m, n, k, a, b, ldb, c, ldc, add, wide);
  alignas(64) T beside[deepest_transposed * most_rows];
  for (int64_t begin = 0; begin < m; begin += most_rows) {
    const int64_t rows = std::min(most_rows, m - begin);
    for (int64_t p = 0; p < k; ++p) std::copy_n(a.at(begin, p), rows, beside + p * most_rows);
    panels<level>(rows, n, k, Left<T>{beside, most_rows, true}, b, ldb, c + begin * ldc, ldc, add, wide);
  }
}

template <typename T>
void in_depths(int64_t m, int64_t n, int64_t k, Left<T> a, const T* b, int64_t ldb, T* c, int64_t ldc, bool add) {
  const bool wide = k * ldb * static_cast<int64_t>(sizeof(T)) >= wide_bytes;
  const int64_t most = a.transposed || wide ? deepest_transposed : deepest;
  const int64_t parts = std::max<int64_t>(1, (k + most - 1) / most);
  for (int64_t part = 0, begin = 0; part < parts; ++part) {
    const int64_t end = (part + 1) * k / parts;
    const Left<T> left = a.from(0, begin);
    const T* const right = b + begin * ldb;
    STACKAE_AT_LEVEL(by_level<level>(m, n, end - begin, left, right, ldb, c, ldc, add || part > 0, wide));
    begin = end;
  }
}

}  // namespace

void multiply(int64_t m, int64_t n, int64_t k, Left<float> a, const float* b, int64_t ldb, float* c, int64_t ldc,
              bool add) {
  in_depths(m, n, k, a, b, ldb, c, ldc, add);
}

void multiply(int64_t m, int64_t n, int64_t k, Left<double> a, const double* b, int64_t ldb, double* c, int64_t ldc,
              bool add) {
  in_depths(m, n, k, a, b, ldb, c, ldc, add);
}

}  // namespace stackae::cpu
