// The forms in which a matrix is kept for brgemm, written from a tile that is still in cache.
//
// brgemm computes A B for A in row-major order and B in row-major order (float32) or with its rows in pairs, each
// pair interleaved, (k / 2, n, 2) (bfloat16). A matmul with a transposed factor therefore reads a transposed copy.
// Both bfloat16 forms are made of 32-bit pairs, so one 16 x 16 transposition serves all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <c10/util/BFloat16.h>

#include "../macros.h"
#include "../vector_math.h"

namespace stackae::cpu {

constexpr int64_t vector_width = 16;

inline int64_t padded(int64_t n) {
  const int64_t whole = (n + vector_width - 1) / vector_width * vector_width;
  return whole % 256 == 0 ? whole + vector_width : whole;  // rows a multiple of 1 kB apart share cache sets
}

using Lanes = uint32_t __attribute__((vector_size(64)));
using UnalignedLanes = uint32_t __attribute__((vector_size(64), aligned(4), may_alias));

// to[j][i] = from[i][j] for 16 x 16 32-bit elements: four rounds of the perfect shuffle.
STACKAE_INLINE void transpose_block(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride) {
  Lanes rows[16], mixed[16];
  for (int i = 0; i < 16; ++i) rows[i] = *reinterpret_cast<const UnalignedLanes*>(from + i * from_stride);
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 8; ++i) {
      mixed[2 * i] =
          __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      mixed[2 * i + 1] =
          __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; ++i) rows[i] = mixed[i];
  }
  for (int i = 0; i < 16; ++i) *reinterpret_cast<UnalignedLanes*>(to + i * to_stride) = rows[i];
}

// to (columns, rows) = from (rows, columns). Both are read, and `to` is written, up to the next multiple of 16 rows of
// `from`; no row of `to` beyond `columns` is touched, since it may be another thread's.
STACKAE_INLINE void transpose_tile(const uint32_t* from, int64_t from_stride, uint32_t* to, int64_t to_stride,
                                   int64_t rows, int64_t columns) {
  const int64_t whole = columns / 16 * 16;
  for (int64_t j = 0; j < whole; j += 16)
    for (int64_t i = 0; i < rows; i += 16)
      transpose_block(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
  for (int64_t i = 0; whole < columns && i < rows; i += 16) {
    uint32_t block[16 * 16];
    transpose_block(from + i * from_stride + whole, from_stride, block, 16);
    for (int64_t j = whole; j < columns; ++j) std::copy_n(block + 16 * (j - whole), 16, to + j * to_stride + i);
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
