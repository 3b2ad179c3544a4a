// A matrix cut into tiles of fixed size, shared out over threads.
//
// Tiles depend on the shape alone, and column sums are added over row blocks in order: the same bits for any
// number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/Parallel.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace stackae {

constexpr int64_t tile_rows = 64;
constexpr int64_t tile_columns = 256;                // at the most
constexpr int64_t smallest_parallel_size = 1 << 14;  // elements a thread must have for a second one to pay

// Saturated units make denormals, which cost a hundred times a normal number: flushed to zero while this lives.
class FlushDenormals {
 public:
#ifdef __SSE__
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#endif
};

inline int64_t row_blocks(int64_t rows) { return (rows + tile_rows - 1) / tile_rows; }

struct Tile {
  int64_t row_block, row_begin, row_end, column_begin, column_end;
};

// As few stripes of columns as fit, of even width in whole vectors; narrower ones where rows alone give one tile. Pairs
// of whole vectors, so that stripes of paired columns stay whole vectors too.
inline int64_t tile_width(int64_t rows, int64_t columns) {
  constexpr int64_t unit = 32;
  const int64_t widest = rows <= tile_rows ? tile_columns / 2 : tile_columns;
  const int64_t stripes = (columns + widest - 1) / widest;
  return stripes > 0 ? ((columns + stripes - 1) / stripes + unit - 1) / unit * unit : tile_columns;
}

inline int64_t tiles_across(int64_t rows, int64_t columns) {
  const int64_t width = tile_width(rows, columns);
  return (columns + width - 1) / width;
}

// work: how much dearer an element is than one of an elementwise pass; dear tiles are shared out sooner.
template <typename Body>
void for_each_tile(int64_t rows, int64_t columns, int64_t work, Body body) {
  const int64_t width = tile_width(rows, columns), across = tiles_across(rows, columns);
  const int64_t tile_size = std::min(rows, tile_rows) * std::min(columns, width) * work;
  const int64_t grain = std::max<int64_t>(1, smallest_parallel_size / std::max<int64_t>(1, tile_size));
  at::parallel_for(0, row_blocks(rows) * across, grain, [&](int64_t begin, int64_t end) {
    const FlushDenormals flush;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row_block = i / across, column = i % across * width;
      body(Tile{row_block, row_block * tile_rows, std::min(rows, (row_block + 1) * tile_rows), column,
                std::min(columns, column + width)});
    }
  });
}

}  // namespace stackae
