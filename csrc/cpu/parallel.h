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

#include "pool.h"

namespace stackae::cpu {

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

// Columns begin at a whole vector; `number` counts the tiles of a matrix.
struct Tile {
  int64_t row_block, stripe, row_begin, row_end, column_begin, column_end, number;
};

// Into how many stripes of columns a matrix is cut: as few as fit; where rows alone give one tile, narrower ones and an
// even number of them, so that two threads have the same to do.
inline int64_t stripes_of(int64_t rows, int64_t columns) {
  if (rows > tile_rows) return (columns + tile_columns - 1) / tile_columns;
  const int64_t stripes = (2 * columns + tile_columns - 1) / tile_columns;
  return stripes > 1 ? stripes + stripes % 2 : stripes;
}

// Where stripe s begins. Many rows make tiles enough: then the widths are what matmuls are fastest with, the last one
// what is left. Few rows: even widths.
inline int64_t stripe_begin(int64_t rows, int64_t columns, int64_t s) {
  constexpr int64_t vector = 16, block = 2 * vector;
  const int64_t stripes = stripes_of(rows, columns);
  if (rows > tile_rows) return std::min(columns, s * (((columns + stripes - 1) / stripes + block - 1) / block * block));
  return std::min(columns, s * ((columns + vector - 1) / vector) / stripes * vector);
}

// The threads of a step are the pool's. Those of an op are torch's, as are those of the ops around it: these spin where
// they are for what comes next, and a thread of the pool would have to wait for their core.
struct StepThreads {
  template <typename F>
  static void share(int64_t count, int64_t grain, const F& body) {
    parallel_for(count, grain, body);
  }
};
struct OpThreads {
  template <typename F>
  static void share(int64_t count, int64_t grain, const F& body) {
    at::parallel_for(0, count, grain, body);
  }
};

// The fewest tiles that are worth a thread of their own; work: how much dearer an element is than one of an elementwise
// pass.
inline int64_t tile_grain(int64_t rows, int64_t columns, int64_t work) {
  const int64_t tile_size = std::min(rows, tile_rows) * std::min(columns, tile_columns) * work;
  return std::max<int64_t>(1, smallest_parallel_size / std::max<int64_t>(1, tile_size));
}

inline Tile tile_at(int64_t rows, int64_t columns, int64_t row_block, int64_t stripe) {
  return {row_block,
          stripe,
          row_block * tile_rows,
          std::min(rows, (row_block + 1) * tile_rows),
          stripe_begin(rows, columns, stripe),
          stripe_begin(rows, columns, stripe + 1),
          row_block * stripes_of(rows, columns) + stripe};
}

template <typename Threads = StepThreads, typename Body>
void for_each_tile(int64_t rows, int64_t columns, int64_t work, Body body) {
  const int64_t stripes = stripes_of(rows, columns);
  Threads::share(row_blocks(rows) * stripes, tile_grain(rows, columns, work), [&](int64_t begin, int64_t end) {
    const FlushDenormals flush;
    for (int64_t i = begin; i < end; ++i) body(tile_at(rows, columns, i / stripes, i % stripes));
  });
}

// Tiles of a stripe one below the other, at most `most`: body(from, to) has the first and the last of them. A matmul
// reads the same columns of its right factor for all; as many are together as leave each thread two groups.
template <typename Threads = StepThreads, typename Body>
void for_each_group(int64_t rows, int64_t columns, int64_t work, int64_t most, Body body) {
  const int64_t stripes = stripes_of(rows, columns), blocks = row_blocks(rows);
  if (stripes == 0 || blocks == 0) return;  // a rank without a row of the batch
  const int64_t wanted = at::get_num_threads() > 1 ? (2 * at::get_num_threads() + stripes - 1) / stripes : 1;
  const int64_t groups = std::min(blocks, std::max(wanted, (blocks + most - 1) / most));
  const int64_t grain = std::max<int64_t>(1, tile_grain(rows, columns, work) * groups / blocks);
  Threads::share(groups * stripes, grain, [&](int64_t begin, int64_t end) {
    const FlushDenormals flush;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / stripes, stripe = i % stripes;
      body(tile_at(rows, columns, group * blocks / groups, stripe),
           tile_at(rows, columns, (group + 1) * blocks / groups - 1, stripe));
    }
  });
}

}  // namespace stackae::cpu
