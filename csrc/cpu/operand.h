// The forms in which a matrix is kept for matmuls, written from a tile that is still in cache.
//
// Our own tiles compute A B for factors in row-major order or transposed (matmul.h): nothing is kept beside the matrix
// itself. brgemm computes it for bfloat16 A in row-major order and B with its rows in pairs, each pair interleaved,
// (k / 2, n, 2): every transposed factor is a copy, made of 32-bit pairs, so one transposition serves both.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <c10/util/BFloat16.h>

#include "../macros.h"
#include "../vector_math.h"
#include "level.h"

namespace stackae::cpu {

constexpr int64_t vector_width = 16;

inline int64_t padded(int64_t n) {
  const int64_t whole = (n + vector_width - 1) / vector_width * vector_width;
  return whole % 256 == 0 ? whole + vector_width : whole;  // rows a multiple of 1 kB apart share cache sets
}

// to (columns, rows) = from (rows, columns), of any type.
template <typename T>
STACKAE_INLINE void copy_transposed(const T* from, int64_t from_ld, T* to, int64_t to_ld, int64_t rows,
                                    int64_t columns) {
  constexpr int64_t block = 16;  // a block's rows and columns both stay in L1
  for (int64_t i0 = 0; i0 < rows; i0 += block)
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t i = i0; i < std::min(i0 + block, rows); ++i) to[j * to_ld + i] = from[i * from_ld + j];
}

// Vectors of words that registers of a level hold whole: the compiler takes wider ones apart, word by word.
template <int lanes>
struct Words {
  typedef uint32_t Vector __attribute__((vector_size(4 * lanes)));
  typedef uint32_t Unaligned __attribute__((vector_size(4 * lanes), aligned(4), may_alias));
};

// Four rounds of the perfect shuffle.
STACKAE_INLINE void transpose_vectors(Words<16>::Vector (&rows)[16]) {
  Words<16>::Vector mixed[16];
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 8; ++i) {
      mixed[2 * i] =
          __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      mixed[2 * i + 1] =
          __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; ++i) rows[i] = mixed[i];
  }
}

// Pairs of rows, of pairs, and of halves; but for the last, nothing crosses the halves of a register.
STACKAE_INLINE void transpose_vectors(Words<8>::Vector (&rows)[8]) {
  Words<8>::Vector mixed[8];
  for (int i = 0; i < 8; i += 2) {
    mixed[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    mixed[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      rows[i + 2 * j] = __builtin_shufflevector(mixed[i + j], mixed[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      rows[i + 2 * j + 1] = __builtin_shufflevector(mixed[i + j], mixed[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    const auto low = __builtin_shufflevector(rows[i], rows[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    rows[i + 4] = __builtin_shufflevector(rows[i], rows[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    rows[i] = low;
  }
}

// to[j][i] = from[i][j] for lanes x lanes words.
template <int lanes>
STACKAE_INLINE void transpose_block(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride) {
  using Unaligned = typename Words<lanes>::Unaligned;
  typename Words<lanes>::Vector rows[lanes];
  for (int i = 0; i < lanes; ++i) rows[i] = *reinterpret_cast<const Unaligned*>(from + i * from_stride);
  transpose_vectors(rows);
  for (int i = 0; i < lanes; ++i) *reinterpret_cast<Unaligned*>(to + i * to_stride) = rows[i];
}

// to (columns, rows) = from (rows, columns). Both are read, and `to` is written, up to the next multiple of 16 rows of
// `from`; no row of `to` beyond `columns` is touched, since it may be another thread's.
template <CpuLevel level>
STACKAE_INLINE void transpose_tile(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride,
                                   int64_t rows, int64_t columns) {
  if constexpr (level == CpuLevel::base) {
    copy_transposed(from, from_stride, to, to_stride, rows, columns);
  } else {
    constexpr int lanes = level == CpuLevel::v4 ? 16 : 8;
    const int64_t whole = columns / lanes * lanes;
    for (int64_t j = 0; j < whole; j += lanes)
      for (int64_t i = 0; i < rows; i += lanes)
        transpose_block<lanes>(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    for (int64_t i = 0; whole < columns && i < rows; i += lanes) {
      uint32_t block[lanes * lanes];
      transpose_block<lanes>(from + i * from_stride + whole, from_stride, block, lanes);
      for (int64_t j = whole; j < columns; ++j) std::copy_n(block + lanes * (j - whole), lanes, to + j * to_stride + i);
    }
  }
}

// The nearest bfloat16, ties to even, as the low half of a word.
STACKAE_INLINE uint32_t bfloat16_bits(float value) {
  const auto bits = detail::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value != value ? 0x7fc0u : rounded;
}

STACKAE_INLINE uint32_t bfloat16_pair(float first, float second) {
  return bfloat16_bits(first) | bfloat16_bits(second) << 16;
}

// A row of results as a row of the operand; where both have one type, they are the same row.
template <typename T>
STACKAE_INLINE void write_row(const T*, T*, int64_t) {}
STACKAE_INLINE void write_row(const float* __restrict c, c10::BFloat16* row, int64_t width) {
  auto* __restrict const bits = reinterpret_cast<uint16_t*>(row);
  for (int64_t j = 0; j < width; ++j) bits[j] = static_cast<uint16_t>(bfloat16_bits(c[j]));
}

}  // namespace stackae::cpu
