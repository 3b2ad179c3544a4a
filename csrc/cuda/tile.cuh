// A tile of a matrix product by one block, left in shared memory for the pass that follows it.
//
// Operands are padded with zeros to whole tiles (network.cuh), so nothing is compared with a bound on the way. Copies
// of the next chunks of k are in flight while one is multiplied. The bits do not depend on how many blocks there are.
#pragma once

#include "arithmetic.cuh"
#include "launch.cuh"

namespace stackae {

constexpr int tile_threads = 128;  // four warps

// Few tiles: small ones, so that more multiprocessors have one; its four warps share out each chunk of k.
struct SmallTile {
  static constexpr int size = 32, slices = 4, stages = 4;
};

// Many tiles: larger ones, which read less for each multiplication; four warps share out the tile.
struct LargeTile {
  static constexpr int size = 64, slices = 1, stages = 3;
};

template <typename Operand>
struct Factor {
  const Operand* data = nullptr;
  int64_t ld = 0;
};

// How a stage of a factor lies in shared memory; the strides keep the lanes of a warp on different banks.
template <typename A, typename Shape, bool outer>
struct Stage {
  using operand = typename A::operand;
  static constexpr int chunk = chunk_bytes / static_cast<int>(sizeof(operand));
  static constexpr int row_entries = outer ? Shape::size : chunk;
  static constexpr int rows = outer ? chunk : Shape::size;
  static constexpr int stride = row_entries + (outer ? 32 : 16) / static_cast<int>(sizeof(operand));
  static constexpr int entries = rows * stride;

  // Chunk number c of the factor's tile that begins at `first` of its rows.
  __device__ static void fetch(operand* stage, const Factor<operand>& from, int64_t first, int64_t c) {
    constexpr int entries_a_copy = 16 / static_cast<int>(sizeof(operand)), copies = row_entries / entries_a_copy;
    const operand* const origin =
        outer ? from.data + c * chunk * from.ld + first : from.data + first * from.ld + c * chunk;
    for (int i = static_cast<int>(threadIdx.x); i < rows * copies; i += tile_threads) {
      const int row = i / copies, at = i % copies * entries_a_copy;
      copy_async(stage + row * stride + at, origin + row * from.ld + at);
    }
  }
};

// The entries of a tile of results: those of shared memory, to be added over slices, or those of a matrix.
template <typename T>
struct Entries {
  const T* c;
  int64_t stride, slice;
  int slices;

  __device__ T operator()(int64_t i, int64_t j) const {
    T sum = c[i * stride + j];
    for (int s = 1; s < slices; ++s) sum += c[s * slice + i * stride + j];
    return sum;
  }
};

template <typename A, typename Shape>
class TileProduct {
 public:
  using number = typename A::number;
  using operand = typename A::operand;
  static constexpr int stride = Shape::size + 1;

  // For factors that are outer and those that are not.
  static constexpr size_t shared_bytes() {
    constexpr size_t inner_stages = 2 * Shape::stages * Stage<A, Shape, false>::entries * sizeof(operand);
    constexpr size_t outer_stages = 2 * Shape::stages * Stage<A, Shape, true>::entries * sizeof(operand);
    constexpr size_t results = Shape::slices * Shape::size * stride * sizeof(number);
    constexpr size_t largest = inner_stages > outer_stages ? inner_stages : outer_stages;
    static_assert(largest <= 96 * 1024 && results <= 96 * 1024, "a block has no more on 8.6 and 8.9");
    return largest > results ? largest : results;
  }

  // Adds a b over k below `depth`, for the tile at (row, column) of the result.
  template <bool outer>
  __device__ void add(const Factor<operand>& a, const Factor<operand>& b, int64_t row, int64_t column, int64_t depth) {
    using Part = Stage<A, Shape, outer>;
    auto* const left = dynamic_shared<operand>();
    auto* const right = left + Shape::stages * Part::entries;
    const int64_t chunks = (depth + Part::chunk - 1) / Part::chunk;
    const auto fetch = [&](int64_t c) {
      if (c < chunks) {
        const auto stage = static_cast<int>(c % Shape::stages);
        Part::fetch(left + stage * Part::entries, a, row, c);
        Part::fetch(right + stage * Part::entries, b, column, c);
      }
      commit_copies();
    };
    __syncthreads();  // what was in shared memory before has been read
    for (int c = 0; c < Shape::stages - 1; ++c) fetch(c);
    for (int64_t c = 0; c < chunks; ++c) {
      wait_for_copies<Shape::stages - 2>();
      __syncthreads();  // chunk c has come for everyone, and the stage of chunk c - 1 is free
      fetch(c + Shape::stages - 1);
      const auto stage = static_cast<int>(c % Shape::stages);
      multiply<outer>(left + stage * Part::entries, right + stage * Part::entries);
    }
  }

  // The results, once all are in shared memory.
  __device__ Entries<number> entries() {
    auto* const c = dynamic_shared<number>();
    __syncthreads();
    const int slice = Shape::slices > 1 ? warp() : 0;
    sums_.store(c + slice * Shape::size * stride + warp_row() * stride + warp_column(), stride, lane());
    __syncthreads();
    return {c, stride, Shape::size * stride, Shape::slices};
  }

 private:
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp_row() { return Shape::slices > 1 ? 0 : warp() / 2 * warp_tile; }
  __device__ static int warp_column() { return Shape::slices > 1 ? 0 : warp() % 2 * warp_tile; }

  template <bool outer>
  __device__ void multiply(const operand* a, const operand* b) {
    using Part = Stage<A, Shape, outer>;
    constexpr int share = Part::chunk / Shape::slices;
    const int begin = Shape::slices > 1 ? warp() * share : 0;
    const int row_step = outer ? 1 : Part::stride;
    for (int k = 0; k < share; k += A::depth)
      sums_.template add<outer>(a + warp_row() * row_step, Part::stride, b + warp_column() * row_step, Part::stride,
                                begin + k, lane());
  }

  typename A::Sums sums_;
};

}  // namespace stackae
