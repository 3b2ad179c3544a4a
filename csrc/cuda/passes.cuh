// What the passes over a tile of results share: where it lies, which thread has which entries, and sums in fixed order.
#pragma once

#include "../objective.h"
#include "network.cuh"

namespace stackae {

// The tile of a matrix with `columns` columns that this block has.
template <typename Shape>
struct Place {
  int64_t row_block, column_block, row, column;

  __device__ explicit Place(int64_t columns, int64_t number = blockIdx.x) {
    const int64_t across = (columns + Shape::size - 1) / Shape::size;
    row_block = number / across;
    column_block = number % across;
    row = row_block * Shape::size;
    column = column_block * Shape::size;
  }
};

template <typename Shape>
inline int64_t tiles_of(int64_t rows, int64_t columns) {
  return (rows + Shape::size - 1) / Shape::size * ((columns + Shape::size - 1) / Shape::size);
}

// Threads stand along the columns of a tile, so that a warp reads and writes whole rows.
template <typename Shape>
struct Lanes {
  static constexpr int across = Shape::size, down = tile_threads / Shape::size;
  __device__ static int column() { return static_cast<int>(threadIdx.x) % across; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) / across; }

  // Calls body(row) for the rows of the tile that are this thread's.
  template <typename Body>
  __device__ static void for_rows(Body body) {
#pragma unroll 4  // enough loads in flight; whole, times eight activations, it would be most of the build
    for (int i = lane(); i < Shape::size; i += down) body(i);
  }
};

// The sum over a column's threads, at the first of them; the whole block takes part.
template <typename Shape, typename T>
__device__ T sum_down(T own) {
  __shared__ T shared[Lanes<Shape>::down][Shape::size];
  __syncthreads();
  shared[Lanes<Shape>::lane()][Lanes<Shape>::column()] = own;
  __syncthreads();
  T sum = 0;
  if (Lanes<Shape>::lane() == 0)
    for (int i = 0; i < Lanes<Shape>::down; ++i) sum += shared[i][Lanes<Shape>::column()];
  return sum;
}

// The sum over the block's threads, at thread 0; the whole block takes part. Threads are added in pairs, in fixed
// order.
inline __device__ double sum_of_block(double own) {
  __shared__ double shared[tile_threads];
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();
  shared[thread] = own;
  for (int half = tile_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) shared[thread] += shared[thread + half];
  }
  return shared[0];
}

// The tile's entries: multiplied here, or by the library before.
template <typename A, typename Shape, bool library>
__device__ Entries<typename A::number> tile_entries(const Factor<typename A::operand>& a,
                                                    const Factor<typename A::operand>& b,
                                                    const typename A::number* product, int64_t columns, int64_t depth,
                                                    const Place<Shape>& at) {
  if constexpr (library) {
    return {product + at.row * columns + at.column, columns, 0, 1};
  } else {
    TileProduct<A, Shape> tile;
    tile.template add<false>(a, b, at.row, at.column, depth);
    return tile.entries();
  }
}

// The total of one column over its row blocks, in order.
template <typename T>
__device__ T sum_of_blocks(const T* sums, int64_t blocks, int64_t ld, int64_t column) {
  T total = 0;
  for (int64_t block = 0; block < blocks; ++block) total += sums[block * ld + column];
  return total;
}

inline __device__ bool is_finite(double x) { return x - x == 0; }

}  // namespace stackae
