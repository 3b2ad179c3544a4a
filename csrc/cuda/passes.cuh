// Shared by the passes over a tile of results: its position, the entries of each thread, and sums in fixed order.
#pragma once

#include "../objective.h"
#include "network.cuh"

namespace stackae::cuda {

// The tile of a matrix with `columns` columns that this block has.
template <typename Shape>
struct Place {
  int row_block, column_block, row, column;

  __device__ explicit Place(int64_t columns, int number = static_cast<int>(blockIdx.x)) {
    const int across = (static_cast<int>(columns) + Shape::columns - 1) / Shape::columns;
    row_block = number / across;
    column_block = number % across;
    row = row_block * Shape::rows;
    column = column_block * Shape::columns;
  }
};

template <typename Shape>
STACKAE_HOST_DEVICE inline int64_t row_blocks(int64_t rows) {
  return (rows + Shape::rows - 1) / Shape::rows;
}
template <typename Shape>
STACKAE_HOST_DEVICE inline int64_t tiles_of(int64_t rows, int64_t columns) {
  return row_blocks<Shape>(rows) * ((columns + Shape::columns - 1) / Shape::columns);
}

// Threads stand along the columns of a tile, so that a warp reads and writes whole rows.
template <typename Shape>
struct Lanes {
  static constexpr int across = Shape::columns, down = tile_threads / across, rows = Shape::rows / down;
  __device__ static int column() { return static_cast<int>(threadIdx.x) % across; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) / across; }
  // The tile's row of this thread's entry number i.
  __device__ static int row(int i) { return lane() + i * down; }
};

// The sums over a column's threads, at the first of them; the whole block takes part.
template <typename Shape, int count, typename T>
__device__ void sum_down(T (&own)[count]) {
  __shared__ T shared[count][Lanes<Shape>::down][Shape::columns];
  const int lane = Lanes<Shape>::lane(), column = Lanes<Shape>::column();
#pragma unroll
  for (int n = 0; n < count; ++n) shared[n][lane][column] = own[n];
  __syncthreads();
  if (lane != 0) return;
#pragma unroll
  for (int n = 0; n < count; ++n)
#pragma unroll
    for (int i = 1; i < Lanes<Shape>::down; ++i) own[n] += shared[n][i][column];
}

template <typename T, typename Combine>
__device__ T over_warp(T own, Combine combine) {
  for (int bits = 16; bits > 0; bits /= 2) own = combine(own, from_lane_xor(own, bits));
  return own;
}

// The sum over the block's threads, at thread 0; the whole block takes part, and adds in fixed order.
inline __device__ double sum_of_block(double own) {
  __shared__ double shared[tile_threads / 32];
  const int thread = static_cast<int>(threadIdx.x);
  own = over_warp(own, [](double a, double b) { return a + b; });
  __syncthreads();
  if (thread % 32 == 0) shared[thread / 32] = own;
  __syncthreads();
  double sum = 0;
  for (int warp = 0; warp < tile_threads / 32; ++warp) sum += shared[warp];
  return sum;
}

// A tile of a matmul a b: multiplied here, or before by the library, into `product`. `early`: b may be read
// before the launch before has ended. Calls before(), waits for that launch, and calls meanwhile() while copies are on
// their way.
template <typename A, typename Shape, bool library, typename Before, typename Meanwhile>
__device__ auto product_tile(const Factor<typename A::operand>& a, const Factor<typename A::operand>& b,
                             const typename A::number* product, int columns, int depth, const Place<Shape>& at,
                             bool early, Before before, Meanwhile meanwhile) {
  using T = typename A::number;
  if constexpr (library) {
    before();
    wait_for_launch_before();
    let_next_launch_begin();
    meanwhile();
    return Entries<T, 1>{product + int64_t(at.row) * columns + at.column, columns, 0};
  } else {
    TileProduct<A, Shape> tile;
    if (early) tile.template begin<false>(b, at.column, depth);
    before();
    wait_for_launch_before();
    let_next_launch_begin();
    tile.template add<false>(a, b, at.row, at.column, depth, early, meanwhile);
    return tile.template entries<false>();
  }
}

// The total of one column over its row blocks, in order.
template <typename T>
__device__ T sum_of_blocks(const T* sums, int blocks, int64_t ld, int64_t column) {
  T total = 0;
#pragma unroll 4
  for (int block = 0; block < blocks; ++block) total += sums[block * ld + column];
  return total;
}

inline __device__ bool is_finite(double x) { return x - x == 0; }

}  // namespace stackae::cuda
