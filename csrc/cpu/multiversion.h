// One body, compiled for several CPU levels; level.h says which of them runs.
#pragma once

#include <type_traits>

#include "../macros.h"
#include "level.h"

namespace stackae::cpu {

template <CpuLevel level>
using Level = std::integral_constant<CpuLevel, level>;

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define STACKAE_TARGET(name) __attribute__((target("arch=" name), noinline))
#else
#define STACKAE_TARGET(name) __attribute__((noinline))
#endif

// The body must be inlined into these (macros.h), or it would be compiled for the lowest level alone.
template <typename Body>
STACKAE_TARGET("x86-64-v4")
auto at_v4(const Body& body) {
  return body(Level<CpuLevel::v4>{});
}

template <typename Body>
STACKAE_TARGET("x86-64-v3")
auto at_v3(const Body& body) {
  return body(Level<CpuLevel::v3>{});
}
#undef STACKAE_TARGET

// What the body returns for the level in use, which is told as a constant.
template <typename Body>
auto at_level(const Body& body) {
  switch (cpu_level()) {
    case CpuLevel::v4: return at_v4(body);
    case CpuLevel::v3: return at_v3(body);
    case CpuLevel::base: break;
  }
  return body(Level<CpuLevel::base>{});
}

}  // namespace stackae::cpu

// What a call returns, inlined into code for the level in use, which is `level` in the call.
#define STACKAE_AT_LEVEL(...)                                          \
  stackae::cpu::at_level([&](auto constant) STACKAE_LAMBDA_INLINE {    \
    [[maybe_unused]] constexpr auto level = decltype(constant)::value; \
    return __VA_ARGS__;                                                \
  })
