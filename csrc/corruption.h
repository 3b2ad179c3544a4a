// Corruption of an input: its settings, and its effect on one entry; shared by host and device.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>

#include "philox.h"
#include "vector_math.h"

namespace stackae {

enum class Noise { none, gaussian, masking, salt_and_pepper };

constexpr std::array<std::string_view, 4> noise_names = {"none", "gaussian", "masking", "salt-and-pepper"};

struct Corruption {
  Noise noise = Noise::none;
  float level = 0, low = 0, high = 1;

  Corruption() = default;
  Corruption(std::string_view name, double level, double low, double high)
      : level(static_cast<float>(level)), low(static_cast<float>(low)), high(static_cast<float>(high)) {
    size_t kind = 0;
    while (kind < noise_names.size() && noise_names[kind] != name) ++kind;
    TORCH_CHECK_VALUE(kind < noise_names.size(), "kind: expected none, gaussian, masking or salt-and-pepper, got '",
                      std::string(name), "'");
    TORCH_CHECK_VALUE(level >= 0 && (kind < 2 || level <= 1), "level: expected ",
                      kind < 2 ? "a standard deviation of at least 0" : "a probability between 0 and 1", ", got ",
                      level);
    noise = level > 0 ? static_cast<Noise>(kind) : Noise::none;
  }
};

// The entry that x becomes; draw is a standard normal number for gaussian noise, else one in [0, 1).
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T add_gaussian(const Corruption& c, T x, float draw) {
  return x + static_cast<T>(c.level) * static_cast<T>(draw);
}
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T mask(const Corruption& c, T x, float draw) {
  return draw < c.level ? T(0) : x;
}
template <typename T>
STACKAE_HOST_DEVICE STACKAE_INLINE T salt_or_pepper(const Corruption& c, T x, float draw) {
  const float grain = draw < 0.5f * c.level ? c.high : c.low;
  return draw < c.level ? static_cast<T>(grain) : x;
}

// A pair of uniform numbers becomes a pair of standard normal ones (Box & Muller 1958).
STACKAE_HOST_DEVICE STACKAE_INLINE void box_muller(float& first, float& second) {
  const float radius = sqrt_nonnegative(-2.0f * log_unit(1.0f - first));
  float sine, cosine;
  sincos_turns(second, sine, cosine);
  first = radius * cosine;
  second = radius * sine;
}

}  // namespace stackae
