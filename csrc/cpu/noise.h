// One row of an input, corrupted in place; vectorizes inside a multiversioned function.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../corruption.h"

namespace stackae::cpu {

// The uniform numbers of the chunk whose first block is given.
STACKAE_INLINE void draw_chunk(const Stream& stream, uint32_t first_block, float* __restrict draws) {
  uint32_t words[chunk_words];
  for (int b = 0; b < chunk_blocks; ++b)
    philox_block(stream, first_block + static_cast<uint32_t>(b), words[b], words[chunk_blocks + b],
                 words[2 * chunk_blocks + b], words[3 * chunk_blocks + b]);
  for (int e = 0; e < chunk_words; ++e) draws[e] = unit_interval(words[e]);
}

template <typename T, typename Entry>
STACKAE_INLINE void corrupt_entries(const Corruption& corruption, T* __restrict x, const float* __restrict draws,
                                    int64_t width, Entry entry) {
  for (int64_t j = 0; j < width; ++j) x[j] = entry(corruption, x[j], draws[j]);
}

template <typename T>
STACKAE_INLINE void corrupt_chunk(const Corruption& corruption, T* x, float* draws, int64_t width) {
  switch (corruption.noise) {
    case Noise::none: return;
    case Noise::masking:
      return corrupt_entries(corruption, x, draws, width,
                             [](const Corruption& c, T v, float d) STACKAE_LAMBDA_INLINE { return mask(c, v, d); });
    case Noise::salt_and_pepper:
      return corrupt_entries(corruption, x, draws, width, [](const Corruption& c, T v, float d) STACKAE_LAMBDA_INLINE {
        return salt_or_pepper(c, v, d);
      });
    case Noise::gaussian:
      for (int64_t j = 0; j < chunk_words / 2; ++j) box_muller(draws[j], draws[chunk_words / 2 + j]);
      return corrupt_entries(corruption, x, draws, width, [](const Corruption& c, T v, float d) STACKAE_LAMBDA_INLINE {
        return add_gaussian(c, v, d);
      });
  }
}

// Calls chunk(begin, draws, width) for every chunk of row number `row` of a batch of rows of the given width.
template <typename Chunk>
STACKAE_INLINE void draw_row(const Stream& stream, int64_t row, int64_t width, Chunk chunk) {
  const int64_t chunks = (width + chunk_words - 1) / chunk_words;
  alignas(64) float draws[chunk_words];
  for (int64_t number = 0; number < chunks; ++number) {
    draw_chunk(stream, static_cast<uint32_t>((row * chunks + number) * chunk_blocks), draws);
    const int64_t begin = number * chunk_words;
    if (begin + chunk_words <= width)
      chunk(begin, draws, chunk_words);
    else
      chunk(begin, draws, width - begin);
  }
}

template <typename T>
STACKAE_INLINE void corrupt_row(const Corruption& corruption, const Stream& stream, T* x, int64_t row, int64_t width) {
  if (corruption.noise == Noise::none) return;
  draw_row(stream, row, width, [&](int64_t begin, float* draws, int64_t count) STACKAE_LAMBDA_INLINE {
    corrupt_chunk(corruption, x + begin, draws, count);
  });
}

// struck: 1 where masking of this level would have replaced the entry.
STACKAE_INLINE void strike_row(float level, const Stream& stream, uint8_t* struck, int64_t row, int64_t width) {
  draw_row(stream, row, width, [&](int64_t begin, const float* draws, int64_t count) STACKAE_LAMBDA_INLINE {
    for (int64_t j = 0; j < count; ++j) struck[begin + j] = draws[j] < level;
  });
}

// Entries that are not dropped are divided by their probability.
template <typename T>
STACKAE_INLINE void drop_row(double level, const Stream& stream, T* x, int64_t row, int64_t width) {
  if (level == 0) return;
  const auto limit = static_cast<float>(level);
  const T scale = static_cast<T>(1 / (1 - level));
  draw_row(stream, row, width, [&](int64_t begin, const float* draws, int64_t count) STACKAE_LAMBDA_INLINE {
    for (int64_t j = 0; j < count; ++j) x[begin + j] = draws[j] < limit ? T(0) : x[begin + j] * scale;
  });
}

}  // namespace stackae::cpu
