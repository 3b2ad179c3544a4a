// The arithmetic of a step: the type of parameters and passes, the type of matmul operands, and how a warp multiplies
// them.
//
// A warp computes 32 x 32 entries of a matmul from two tiles in shared memory, k in steps of `depth` entries. An
// operand is `outer` where its rows lie along k (element (i, k) at k * stride + i), else its rows are as written.
#pragma once

#include <c10/util/BFloat16.h>
#include <device.cuh>

#include "../vector_math.h"

namespace stackae::cuda {

constexpr int warp_tile = 32;

// Four entries that lie side by side, read at once where they are aligned.
template <typename T>
struct alignas(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) Four {
  T entry[4];
};
template <typename T>
__device__ Four<T> read_four(const T* from) {
  return *reinterpret_cast<const Four<T>*>(from);
}

// Plain multiplications and additions: float32 and float64 as IEEE has them.
template <typename T>
struct Plain {
  using number = T;
  using operand = T;
  static constexpr int depth = 4;
  static constexpr bool is_plain = true;

  __device__ static operand round(T x) { return x; }
  __device__ static T read(operand x) { return x; }

  // Lane (r, c) of 4 x 8 has 8 x 4 entries: four of k are read at once, or where factors are outer, neighbors in rows
  // and columns.
  struct Sums {
    T sum[8][4] = {};

    template <bool outer>
    __device__ static int row(int lane, int u) {
      return outer ? lane / 8 * 8 + u : lane / 8 + 4 * u;
    }
    template <bool outer>
    __device__ static int column(int lane, int v) {
      return outer ? lane % 8 * 4 + v : lane % 8 + 8 * v;
    }

    template <bool outer, int a_stride, int b_stride>
    __device__ void add(const T* a, const T* b, int lane) {
      if constexpr (outer) {
#pragma unroll
        for (int k = 0; k < depth; ++k) {
          const auto* const left = a + k * a_stride + row<outer>(lane, 0);
          const Four<T> upper = read_four(left), lower = read_four(left + 4);
          const Four<T> right = read_four(b + k * b_stride + column<outer>(lane, 0));
#pragma unroll
          for (int u = 0; u < 8; ++u)
#pragma unroll
            for (int v = 0; v < 4; ++v) sum[u][v] += (u < 4 ? upper.entry[u] : lower.entry[u - 4]) * right.entry[v];
        }
      } else {
        Four<T> right[4];
#pragma unroll
        for (int v = 0; v < 4; ++v) right[v] = read_four(b + column<outer>(lane, v) * b_stride);
#pragma unroll
        for (int u = 0; u < 8; ++u) {
          const Four<T> left = read_four(a + row<outer>(lane, u) * a_stride);
#pragma unroll
          for (int k = 0; k < depth; ++k)
#pragma unroll
            for (int v = 0; v < 4; ++v) sum[u][v] += left.entry[k] * right[v].entry[k];
        }
      }
    }

    template <bool outer>
    __device__ void store(T* c, int stride, int lane) const {
#pragma unroll
      for (int u = 0; u < 8; ++u)
#pragma unroll
        for (int v = 0; v < 4; ++v) c[row<outer>(lane, u) * stride + column<outer>(lane, v)] = sum[u][v];
    }
  };
};

// Tensor cores: matmuls of 16 x 32 bytes of k by 8 x 32 bytes, as Word reads and multiplies them.
template <typename Word>
struct TensorSums {
  using operand = typename Word::operand;
  float sum[2][4][4] = {};

  template <bool outer, int a_stride, int b_stride>
  __device__ void add(const operand* a, const operand* b, int lane) {
    uint32_t left[2][4], right[4][2];
#pragma unroll
    for (int m = 0; m < 2; ++m) Word::template read_left<outer, a_stride>(left[m], a, 16 * m, lane);
#pragma unroll
    for (int n = 0; n < 4; n += 2) Word::template read_right<outer, b_stride>(right[n], right[n + 1], b, 8 * n, lane);
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < 4; ++n) Word::multiply_add(sum[m][n], left[m], right[n]);
  }

  template <bool outer>
  __device__ void store(float* c, int stride, int lane) const {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float* const to = c + (16 * m + lane / 4 + i * 8) * stride + 8 * n + lane % 4 * 2;
          *reinterpret_cast<Two*>(to) = {sum[m][n][2 * i], sum[m][n][2 * i + 1]};
        }
  }

 private:
  struct alignas(8) Two {
    float first, second;
  };
};

// How the 32 bytes of k of a tensor core's factors lie in its registers: of the left one, rows 0 to 7 and 8 to 15 of
// the first half and of the second; of the right one, the halves of rows 0 to 7.
template <typename operand, bool outer, int stride>
struct Fragments {
  static constexpr int half = 16 / static_cast<int>(sizeof(operand));

  __device__ static void left(uint32_t (&words)[4], const operand* tile, int row, int lane) {
    if constexpr (outer)
      read_matrices<true>(words, tile + (lane % 8 + lane / 16 * 8) * stride + row + lane / 8 % 2 * 8);
    else
      read_matrices<false>(words, tile + (row + lane % 8 + lane / 8 % 2 * 8) * stride + lane / 16 * half);
  }
  __device__ static void right(uint32_t (&first)[2], uint32_t (&second)[2], const operand* tile, int row, int lane) {
    uint32_t words[4];
    if constexpr (outer)
      read_matrices<true>(words, tile + (lane % 8 + lane / 8 % 2 * 8) * stride + row + lane / 16 * 8);
    else
      read_matrices<false>(words, tile + (row + lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * half);
    first[0] = words[0], first[1] = words[1], second[0] = words[2], second[1] = words[3];
  }
};

// float32 operands rounded to tf32 when they are made: to 10 bits of fraction, to the nearest, halves away from zero.
STACKAE_HOST_DEVICE inline float rounded_to_tf32(float x) {
  const auto bits = detail::bit_cast<uint32_t>(x);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? detail::bit_cast<float>((bits + 0x1000u) & 0xffffe000u) : x;
}

struct Tf32 {
  using number = float;
  using operand = float;
  static constexpr int depth = 8;
  static constexpr bool is_plain = false;

  __device__ static operand round(float x) { return rounded_to_tf32(x); }
  __device__ static float read(operand x) { return x; }

  struct Word {
    using operand = float;
    template <bool outer, int stride>
    __device__ static void read_left(uint32_t (&words)[4], const float* tile, int row, int lane) {
      if constexpr (!outer)
        Fragments<float, false, stride>::left(words, tile, row, lane);
      else
#pragma unroll
        for (int i = 0; i < 4; ++i) words[i] = word<stride>(tile, row + lane / 4 + i % 2 * 8, lane % 4 + i / 2 * 4);
    }
    template <bool outer, int stride>
    __device__ static void read_right(uint32_t (&first)[2], uint32_t (&second)[2], const float* tile, int row,
                                      int lane) {
      if constexpr (!outer)
        Fragments<float, false, stride>::right(first, second, tile, row, lane);
      else
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          first[i] = word<stride>(tile, row + lane / 4, lane % 4 + i * 4);
          second[i] = word<stride>(tile, row + 8 + lane / 4, lane % 4 + i * 4);
        }
    }
    __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
      multiply_add_tf32(d, a, b);
    }

   private:
    // Of a factor that is outer: no instruction transposes words of 32 bits.
    template <int stride>
    __device__ static uint32_t word(const float* tile, int row, int k) {
      return detail::bit_cast<uint32_t>(tile[k * stride + row]);
    }
  };
  using Sums = TensorSums<Word>;
};

struct Bf16 {
  using number = float;
  using operand = c10::BFloat16;
  static constexpr int depth = 16;
  static constexpr bool is_plain = false;

  __device__ static operand round(float x) { return static_cast<operand>(x); }
  __device__ static float read(operand x) { return static_cast<float>(x); }

  struct Word {
    using operand = c10::BFloat16;
    template <bool outer, int stride>
    __device__ static void read_left(uint32_t (&words)[4], const operand* tile, int row, int lane) {
      Fragments<operand, outer, stride>::left(words, tile, row, lane);
    }
    template <bool outer, int stride>
    __device__ static void read_right(uint32_t (&first)[2], uint32_t (&second)[2], const operand* tile, int row,
                                      int lane) {
      Fragments<operand, outer, stride>::right(first, second, tile, row, lane);
    }
    __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
      multiply_add_bf16(d, a, b);
    }
  };
  using Sums = TensorSums<Word>;
};

}  // namespace stackae::cuda
