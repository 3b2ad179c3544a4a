// Counter-based random numbers, shared by host and device: Philox-4x32-10, the same bits everywhere.
//
// A stream belongs to (seed, purpose, layer, counter). Its words come in chunks of 64: chunk c holds blocks 16 c to
// 16 c + 15 of the generator, word e of it being lane e / 16 of block e % 16, so that a vector of 16 blocks is
// computed and stored without shuffles. stackae/random.py is the same in numpy.
//
// Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
#pragma once

#include <cstdint>

#include "macros.h"

namespace stackae {

enum class Purpose : uint32_t { corruption = 2 };  // stackae/random.py has them all

constexpr int chunk_words = 64;
constexpr int chunk_blocks = 16;

struct Stream {
  uint64_t seed;
  uint64_t counter;  // epoch or step
  uint32_t lane;     // purpose and layer

  STACKAE_HOST_DEVICE Stream(uint64_t seed, Purpose purpose, uint32_t layer, uint64_t counter)
      : seed(seed), counter(counter), lane(static_cast<uint32_t>(purpose) << 24 | (layer & 0xffffff)) {}
};

// The four words of one block. Each is carried in the low half of 64 bits, where the product of two words has room:
// with AVX-512 that is 1.8 times as fast as 32-bit lanes, whose upper and lower product halves must be sorted apart.
STACKAE_HOST_DEVICE STACKAE_INLINE void philox_block(const Stream& stream, uint32_t block, uint32_t& w0, uint32_t& w1,
                                                     uint32_t& w2, uint32_t& w3) {
  constexpr uint64_t low = 0xffffffff;
  uint64_t k0 = stream.seed & low, k1 = stream.seed >> 32;
  uint64_t c0 = block, c1 = stream.counter & low, c2 = stream.counter >> 32, c3 = stream.lane;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xD2511F53) * (c0 & low), p1 = uint64_t(0xCD9E8D57) * (c2 & low);
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0;
    k0 = (k0 + 0x9E3779B9) & low;
    k1 = (k1 + 0xBB67AE85) & low;
  }
  w0 = static_cast<uint32_t>(c0);
  w1 = static_cast<uint32_t>(c1);
  w2 = static_cast<uint32_t>(c2);
  w3 = static_cast<uint32_t>(c3);
}

// A word as a number in [0, 1): its upper 24 bits.
STACKAE_HOST_DEVICE STACKAE_INLINE float unit_interval(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 5.9604644775390625e-08f;
}

}  // namespace stackae
