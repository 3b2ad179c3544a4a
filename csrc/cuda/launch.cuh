// What every launcher needs: the dtype switch, the current stream, the check after a launch.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/OpMathType.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace stackae {

constexpr int threads_per_block = 256;

inline unsigned blocks_for(int64_t elements) {
  return static_cast<unsigned>((elements + threads_per_block - 1) / threads_per_block);
}

template <typename Body>
void with_scalar_type(at::ScalarType type, Body body) {
  switch (type) {
    case at::kFloat: return body(float());
    case at::kDouble: return body(double());
    default: return body(c10::BFloat16());
  }
}

}  // namespace stackae
