// Reading a stretch of one row of the source as numbers of type T; vectorizes inside a multiversioned function.
#pragma once

#include "passes.h"

namespace stackae::cpu {

STACKAE_INLINE int64_t element_bytes(const Source& source) {
  return source.type == Source::Type::bytes ? 1 : source.type == Source::Type::single_precision ? 4 : 8;
}

// A random row is prefetched into cache before it is read: the hardware prefetcher cannot predict it.
STACKAE_INLINE void prefetch_row(const Source& source, int64_t index) {
  constexpr int64_t line = 64;
  const int64_t bytes = source.width * element_bytes(source);
  const auto* const row = static_cast<const char*>(source.data) + index * bytes;
  for (int64_t at = 0; at < bytes; at += line) __builtin_prefetch(row + at);
}

template <typename T, typename S>
STACKAE_INLINE void convert(const S* __restrict from, T* __restrict to, int64_t width) {
  for (int64_t j = 0; j < width; ++j) to[j] = static_cast<T>(from[j]);
}

template <typename T>
STACKAE_INLINE void scale_bytes(const uint8_t* __restrict from, const float* __restrict offset,
                                const float* __restrict scale, T* __restrict to, int64_t width) {
  for (int64_t j = 0; j < width; ++j) to[j] = static_cast<T>(scaled_byte(from[j], offset[j], scale[j]));
}

// Columns [begin, end) of row `index`.
template <typename T>
STACKAE_INLINE void read_row(const Source& source, int64_t index, int64_t begin, int64_t end, T* to) {
  const int64_t at = index * source.width + begin, width = end - begin;
  switch (source.type) {
    case Source::Type::bytes:
      return scale_bytes(static_cast<const uint8_t*>(source.data) + at, source.offset + begin, source.scale + begin, to,
                         width);
    case Source::Type::single_precision: return convert(static_cast<const float*>(source.data) + at, to, width);
    case Source::Type::double_precision: return convert(static_cast<const double*>(source.data) + at, to, width);
  }
}

}  // namespace stackae::cpu
