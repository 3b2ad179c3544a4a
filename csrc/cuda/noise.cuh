// Noise on one entry of an input, as a thread of a kernel makes it.
#pragma once

#include "../corruption.h"
#include "launch.cuh"

namespace stackae::cuda {

template <typename T>
__device__ T corrupt_entry(const Corruption& corruption, T x, float draw) {
  switch (corruption.noise) {
    case Noise::masking: return mask(corruption, x, draw);
    case Noise::salt_and_pepper: return salt_or_pepper(corruption, x, draw);
    case Noise::gaussian: return add_gaussian(corruption, x, draw);
    default: return x;
  }
}

// The numbers of one block of the generator, words b, 16 + b, 32 + b and 48 + b of its chunk. Lanes 0 and 2, and 1 and
// 3, are 32 words apart: the two halves of a Box-Muller pair.
__device__ inline void draw_block(const Corruption& corruption, const Stream& stream, uint32_t block,
                                  float (&draws)[4]) {
  uint32_t words[4];
  philox_block(stream, block, words[0], words[1], words[2], words[3]);
  for (int lane = 0; lane < 4; ++lane) draws[lane] = unit_interval(words[lane]);
  if (corruption.noise != Noise::gaussian) return;
  box_muller(draws[0], draws[2]);
  box_muller(draws[1], draws[3]);
}

}  // namespace stackae::cuda
