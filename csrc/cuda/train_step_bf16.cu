// Steps in float32 whose products' operands are bfloat16.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_bf16_step(std::vector<Member> members, bool library) {
  return std::make_unique<DeviceStep<Bf16>>(std::move(members), library);
}

}  // namespace stackae::cuda
