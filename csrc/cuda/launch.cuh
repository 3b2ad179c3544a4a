// Shared by every launcher: the device, the dtype switch, a plain grid.
#pragma once

#include <ATen/OpMathType.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <device.cuh>

#include "../dispatch.h"

namespace stackae::cuda {

constexpr int threads_per_block = 256;

// One thread for each element.
inline dim3 blocks_for(int64_t elements) {
  return dim3(static_cast<unsigned>((elements + threads_per_block - 1) / threads_per_block));
}

}  // namespace stackae::cuda
