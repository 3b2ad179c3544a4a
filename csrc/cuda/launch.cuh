// What every launcher needs: the dtype switch, the current stream, the check after a launch, a plain grid.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/OpMathType.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "../dispatch.h"

namespace stackae {

constexpr int threads_per_block = 256;

inline unsigned blocks_for(int64_t elements) {
  return static_cast<unsigned>((elements + threads_per_block - 1) / threads_per_block);
}

}  // namespace stackae
