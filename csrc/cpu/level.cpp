// See level.h.
#include "level.h"

#include <algorithm>
#include <cstdlib>

namespace stackae::cpu {
namespace {

CpuLevel processor_level() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)  // as multiversion.h
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return CpuLevel::v4;
  if (__builtin_cpu_supports("x86-64-v3")) return CpuLevel::v3;
#endif
  return CpuLevel::base;
}

// Words that name no level are refused before the extension is loaded (stackae/ops/extension.py).
CpuLevel highest_wanted() {
  const char* const wish = std::getenv("STACKAE_CPU_LEVEL");
  if (wish != nullptr && std::string_view(wish) == "default") return CpuLevel::base;
  return wish != nullptr && std::string_view(wish) == "v3" ? CpuLevel::v3 : CpuLevel::v4;
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = std::min(processor_level(), highest_wanted());
  return level;
}

}  // namespace stackae::cpu
