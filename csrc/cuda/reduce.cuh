// Column sums of a (rows, columns) matrix in a fixed order, without float atomics.
//
// A first kernel gives each block a strip of rows and columns; threads that share a column are added in order
// through shared memory and leave one partial sum per strip. Whoever needs the total adds the strips in order.
#pragma once

#include <cstdint>

#include <device.cuh>

namespace stackae::cuda {

constexpr int strip_columns = 32;  // threads along a row: coalesced loads
constexpr int strip_lanes = 8;     // threads that share a column
constexpr int strip_rows = 128;

inline dim3 strip_block() { return dim3(strip_columns, strip_lanes); }

inline int64_t strip_count(int64_t rows) { return (rows + strip_rows - 1) / strip_rows; }

inline dim3 strip_grid(int64_t rows, int64_t columns) {
  return dim3(static_cast<unsigned>((columns + strip_columns - 1) / strip_columns),
              static_cast<unsigned>(strip_count(rows)));
}

// Calls body(row, column, sums) for every element of this block's strip, and writes the N sums that the body
// adds to into partials (N, strips, columns).
template <int N, typename acc_t, typename Body>
__device__ void sum_strip(acc_t* partials, int64_t rows, int64_t columns, Body body) {
  __shared__ acc_t shared[N][strip_lanes][strip_columns];
  const int64_t column = int64_t(blockIdx.x) * strip_columns + threadIdx.x;
  const int64_t begin = int64_t(blockIdx.y) * strip_rows;
  const int64_t end = begin + strip_rows < rows ? begin + strip_rows : rows;
  acc_t sums[N] = {};
  if (column < columns)
    for (int64_t row = begin + threadIdx.y; row < end; row += strip_lanes) body(row, column, sums);
  for (int n = 0; n < N; ++n) shared[n][threadIdx.y][threadIdx.x] = sums[n];
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int n = 0; n < N; ++n) {
    acc_t total = 0;
    for (int lane = 0; lane < strip_lanes; ++lane) total += shared[n][lane][threadIdx.x];
    partials[(n * int64_t(gridDim.y) + blockIdx.y) * columns + column] = total;
  }
}

// The total of one column, strips added in order.
template <typename total_t, typename acc_t>
__device__ total_t sum_of_strips(const acc_t* partials, int64_t strips, int64_t columns, int64_t column) {
  total_t total = 0;
  for (int64_t strip = 0; strip < strips; ++strip) total += static_cast<total_t>(partials[strip * columns + column]);
  return total;
}

}  // namespace stackae::cuda
