// A tile of a matmul by one block, left in shared memory for the pass that follows it.
//
// Operands are padded with zeros to whole tiles (network.cuh), so nothing is compared with a bound on the way. Copies
// of the next chunks of k are in flight while one is multiplied. The bits do not depend on how many blocks there are.
#pragma once

#include <algorithm>

#include "arithmetic.cuh"
#include "launch.cuh"

namespace stackae::cuda {

constexpr int tile_threads = 256;  // eight warps

// A tile of rows x columns, 32 x 32 a warp; where it has fewer than eight of these, warps share out each chunk of k.
// `stages` chunks are on their way at once, or `more` where a multiprocessor has the memory for it.
template <int rows_, int columns_, int chunk_bytes_, int stages_, int more_>
struct Tile {
  static constexpr int rows = rows_, columns = columns_, chunk_bytes = chunk_bytes_, fewest = stages_, more = more_;
  static constexpr int stages = is_roomy ? more : fewest;  // in kernels
  static constexpr int warps = rows / warp_tile * (columns / warp_tile);
  static constexpr int slices = tile_threads / 32 / warps;
};

// Few tiles: small ones, so that more multiprocessors have one. Many: larger ones, which read less for each
// multiplication.
using SmallTile = Tile<32, 32, 256, 4, 5>;
using MediumTile = Tile<64, 32, 128, 4, 8>;
using LargeTile = Tile<64, 64, 128, 4, 6>;

template <typename Operand>
struct Factor {
  const Operand* data = nullptr;
  int64_t ld = 0;
  int64_t turn = 0;  // entries to the second of two buffers that steps use by turns; 0: there is one

  STACKAE_HOST_DEVICE Factor at_step(int64_t step) const { return {data + step % 2 * turn, ld, 0}; }
};

// How a stage of a factor lies in shared memory: `extent` rows or columns of the tile by one chunk of k. The strides
// keep the lanes of a warp on different banks. Every thread has the same number of copies, 16 bytes each.
template <typename operand, int extent, int chunk_bytes, bool outer>
struct Stage {
  static constexpr int chunk = chunk_bytes / static_cast<int>(sizeof(operand));
  static constexpr int row_entries = outer ? extent : chunk;
  static constexpr int rows = outer ? chunk : extent;
  static constexpr int stride =
      row_entries + (outer && sizeof(operand) > 2 ? 32 : 16) / static_cast<int>(sizeof(operand));
  static constexpr int entries = rows * stride;
  static constexpr int entries_a_copy = 16 / static_cast<int>(sizeof(operand));
  static constexpr int across = row_entries / entries_a_copy, down = tile_threads / across, copies = rows / down;
  static_assert(tile_threads % across == 0 && rows % down == 0);

  // Copies one chunk after the other of the part of the factor that begins at its row `first`.
  class Cursor {
   public:
    __device__ Cursor(const Factor<operand>& from, int first) {
      const int row = static_cast<int>(threadIdx.x) / across;
      const int column = static_cast<int>(threadIdx.x) % across * entries_a_copy;
      const int64_t top = outer ? row : first + row;
      from_ = from.data + top * from.ld + (outer ? first + column : column);
      down_ = down * from.ld;
      next_ = outer ? chunk * from.ld : chunk;
      to_ = row * stride + column;
    }

    __device__ void fetch(operand* stage) {
#pragma unroll
      for (int u = 0; u < copies; ++u) copy_async(stage + to_ + u * down * stride, from_ + u * down_);
      from_ += next_;
    }
    __device__ void skip(int chunks) { from_ += chunks * next_; }

   private:
    const operand* from_;
    int64_t down_, next_;
    int to_;
  };
};

// The entries of a tile of results: those of shared memory, to be added over slices, or those of a matrix.
template <typename T, int slices>
struct Entries {
  const T* c;
  int64_t stride, slice;

  __device__ T operator()(int i, int j) const {
    T sum = c[i * stride + j];
#pragma unroll
    for (int s = 1; s < slices; ++s) sum += c[s * slice + i * stride + j];
    return sum;
  }
};

template <typename A, typename Shape>
class TileProduct {
 public:
  using number = typename A::number;
  using operand = typename A::operand;
  static constexpr int beside = Shape::rows * (Shape::columns + 1);
  static constexpr int stride = Shape::columns + 8;  // pairs of entries that a warp stores lie on different banks

  // For factors that are outer or are not.
  static constexpr size_t shared_bytes(bool outer, bool roomy) {
    constexpr size_t inner_stage = (Left<false>::entries + Right<false>::entries) * sizeof(operand);
    constexpr size_t outer_stage = (Left<true>::entries + Right<true>::entries) * sizeof(operand);
    constexpr size_t results = (Shape::slices * Shape::rows * stride + beside) * sizeof(number);
    static_assert(Shape::fewest * std::max(inner_stage, outer_stage) <= 96 * 1024 && results <= 96 * 1024,
                  "a block has no more on 8.6, 8.9 and 12.0");
    return std::max((roomy ? Shape::more : Shape::fewest) * (outer ? outer_stage : inner_stage), results);
  }

  // Room for another tile, with rows of one entry more, while the results are read.
  __device__ static number* beside_results() { return dynamic_shared<number>() + Shape::slices * Shape::rows * stride; }

  // The first chunks of the right factor are on their way: what `add` with `begun` goes on with. Nothing else may
  // happen in between.
  template <bool outer>
  __device__ void begin(const Factor<operand>& b, int column, int depth) {
    typename Right<outer>::Cursor from(b, column);
    const int chunks = (depth + Right<outer>::chunk - 1) / Right<outer>::chunk;
#pragma unroll
    for (int c = 0; c < Shape::stages - 1; ++c)
      if (c < chunks) from.fetch(right<outer>() + c * Right<outer>::entries);
  }

  // Adds a b over k below `depth`, for the tile at (row, column) of the result. `meanwhile` is called while the first
  // copies are on their way.
  template <bool outer, typename Meanwhile>
  __device__ void add(const Factor<operand>& a, const Factor<operand>& b, int row, int column, int depth, bool begun,
                      Meanwhile meanwhile) {
    const int chunks = (depth + Left<outer>::chunk - 1) / Left<outer>::chunk;
    typename Left<outer>::Cursor from_a(a, row);
    typename Right<outer>::Cursor from_b(b, column);
    if (begun) {
      from_b.skip(Shape::stages - 1);
    } else {
      __syncthreads();  // what was in shared memory before has been read
#pragma unroll
      for (int c = 0; c < Shape::stages - 1; ++c)
        if (c < chunks) from_b.fetch(right<outer>() + c * Right<outer>::entries);
    }
#pragma unroll
    for (int c = 0; c < Shape::stages - 1; ++c) {
      if (c < chunks) from_a.fetch(left<outer>() + c * Left<outer>::entries);
      commit_copies();
    }
    meanwhile();
    int into = Shape::stages - 1, out_of = 0;
    for (int c = 0; c < chunks; ++c) {
      wait_for_copies<Shape::stages - 2>();
      __syncthreads();  // chunk c has come for everyone, and the stage of chunk c - 1 is free
      if (c + Shape::stages - 1 < chunks) {
        from_a.fetch(left<outer>() + into * Left<outer>::entries);
        from_b.fetch(right<outer>() + into * Right<outer>::entries);
      }
      commit_copies();
      multiply<outer>(left<outer>() + out_of * Left<outer>::entries, right<outer>() + out_of * Right<outer>::entries);
      into = into + 1 == Shape::stages ? 0 : into + 1;
      out_of = out_of + 1 == Shape::stages ? 0 : out_of + 1;
    }
  }

  // The results, once all are in shared memory; `outer` is that of the last matmul.
  template <bool outer>
  __device__ Entries<number, Shape::slices> entries() {
    auto* const c = dynamic_shared<number>();
    __syncthreads();
    sums_.template store<outer>(c + slice() * Shape::rows * stride + warp_row() * stride + warp_column(), stride,
                                lane());
    __syncthreads();
    return {c, stride, Shape::rows * stride};
  }

 private:
  template <bool outer>
  using Left = Stage<operand, Shape::rows, Shape::chunk_bytes, outer>;
  template <bool outer>
  using Right = Stage<operand, Shape::columns, Shape::chunk_bytes, outer>;

  template <bool outer>
  __device__ static operand* left() {
    return dynamic_shared<operand>();
  }
  template <bool outer>
  __device__ static operand* right() {
    return dynamic_shared<operand>() + Shape::stages * Left<outer>::entries;
  }

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int slice() { return warp() / Shape::warps; }
  __device__ static int warp_row() { return warp() % Shape::warps / (Shape::columns / warp_tile) * warp_tile; }
  __device__ static int warp_column() { return warp() % (Shape::columns / warp_tile) * warp_tile; }

  template <bool outer>
  __device__ void multiply(const operand* a, const operand* b) {
    constexpr int share = Left<outer>::chunk / Shape::slices;
    static_assert(share % A::depth == 0);
    constexpr int a_stride = Left<outer>::stride, b_stride = Right<outer>::stride;
    const int k = slice() * share;
    a += outer ? k * a_stride + warp_row() : warp_row() * a_stride + k;
    b += outer ? k * b_stride + warp_column() : warp_column() * b_stride + k;
#pragma unroll
    for (int i = 0; i < share; i += A::depth)
      sums_.template add<outer, a_stride, b_stride>(a + (outer ? i * a_stride : i), b + (outer ? i * b_stride : i),
                                                    lane());
  }

  typename A::Sums sums_;
};

}  // namespace stackae::cuda
