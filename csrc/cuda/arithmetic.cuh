// In which numbers a step computes: those of parameters and passes, those of the products' operands, and how a warp
// multiplies them.
//
// A warp computes 32 x 32 entries of a product from two tiles in shared memory, k in steps of `depth` entries. An
// operand is `outer` where its rows lie along k (element (i, k) at k * stride + i), else its rows are as written.
#pragma once

#include <c10/util/BFloat16.h>
#include <device.cuh>

#include "../vector_math.h"

namespace stackae {

constexpr int warp_tile = 32;
constexpr int chunk_bytes = 128;  // of k that a block reads at once, for each row

// Plain multiplications and additions: float32 and float64 as IEEE has them.
template <typename T>
struct Plain {
  using number = T;
  using operand = T;
  static constexpr int depth = 1;

  __device__ static operand round(T x) { return x; }
  __device__ static T read(operand x) { return x; }

  // Lane (r, c) of 4 x 8 has the entries of rows r + 4 u and columns c + 8 v.
  struct Sums {
    T sum[8][4] = {};

    template <bool outer>
    __device__ void add(const T* a, int a_stride, const T* b, int b_stride, int k, int lane) {
      const int row = lane / 8, column = lane % 8;
      T left[8], right[4];
      for (int u = 0; u < 8; ++u) left[u] = outer ? a[k * a_stride + row + 4 * u] : a[(row + 4 * u) * a_stride + k];
      for (int v = 0; v < 4; ++v)
        right[v] = outer ? b[k * b_stride + column + 8 * v] : b[(column + 8 * v) * b_stride + k];
      for (int u = 0; u < 8; ++u)
        for (int v = 0; v < 4; ++v) sum[u][v] += left[u] * right[v];
    }

    __device__ void store(T* c, int stride, int lane) const {
      for (int u = 0; u < 8; ++u)
        for (int v = 0; v < 4; ++v) c[(lane / 8 + 4 * u) * stride + lane % 8 + 8 * v] = sum[u][v];
    }
  };
};

// Tensor cores, 32 bits of k at a time; Word tells how these lie in shared memory, and which instruction multiplies.
template <typename Word>
struct TensorSums {
  using operand = typename Word::operand;
  float sum[2][4][4] = {};

  template <bool outer>
  __device__ void add(const operand* a, int a_stride, const operand* b, int b_stride, int k, int lane) {
    const int group = lane / 4, word = lane % 4;
    uint32_t left[2][4], right[4][2];
    for (int m = 0; m < 2; ++m)
      for (int i = 0; i < 4; ++i)
        left[m][i] = Word::template read<outer>(a, a_stride, 16 * m + group + i % 2 * 8, k, word + i / 2 * 4);
    for (int n = 0; n < 4; ++n)
      for (int i = 0; i < 2; ++i) right[n][i] = Word::template read<outer>(b, b_stride, 8 * n + group, k, word + i * 4);
    for (int m = 0; m < 2; ++m)
      for (int n = 0; n < 4; ++n) Word::multiply_add(sum[m][n], left[m], right[n]);
  }

  __device__ void store(float* c, int stride, int lane) const {
    for (int m = 0; m < 2; ++m)
      for (int n = 0; n < 4; ++n)
        for (int i = 0; i < 4; ++i)
          c[(16 * m + lane / 4 + i / 2 * 8) * stride + 8 * n + lane % 4 * 2 + i % 2] = sum[m][n][i];
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

  __device__ static operand round(float x) { return rounded_to_tf32(x); }
  __device__ static float read(operand x) { return x; }

  struct Word {
    using operand = float;
    template <bool outer>
    __device__ static uint32_t read(const float* tile, int stride, int row, int k, int word) {
      return detail::bit_cast<uint32_t>(outer ? tile[(k + word) * stride + row] : tile[row * stride + k + word]);
    }
    __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
      multiply_add_tf32(d, a, b);
    }
  };
  using Sums = TensorSums<Word>;
};

struct Bf16 {
  using number = float;
  using operand = c10::BFloat16;
  static constexpr int depth = 16;

  __device__ static operand round(float x) { return static_cast<operand>(x); }
  __device__ static float read(operand x) { return static_cast<float>(x); }

  struct Word {
    using operand = c10::BFloat16;
    template <bool outer>
    __device__ static uint32_t read(const operand* tile, int stride, int row, int k, int word) {
      if constexpr (!outer) return *reinterpret_cast<const uint32_t*>(tile + row * stride + k + 2 * word);
      const operand* const first = tile + (k + 2 * word) * stride + row;
      return first[0].x | static_cast<uint32_t>(first[stride].x) << 16;
    }
    __device__ static void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
      multiply_add_bf16(d, a, b);
    }
  };
  using Sums = TensorSums<Word>;
};

}  // namespace stackae
