// The CPU level whose code runs: the best that the processor has, or a lower one that STACKAE_CPU_LEVEL asks for.
#pragma once

#include <array>
#include <string_view>

namespace stackae::cpu {

enum class CpuLevel { base, v3, v4 };

// As setup.py and build_info() name them; STACKAE_CPU_LEVEL leaves the "x86-64-" out.
constexpr std::array<std::string_view, 3> cpu_level_names = {"default", "x86-64-v3", "x86-64-v4"};

// The same for the life of the process.
CpuLevel cpu_level();

}  // namespace stackae::cpu
