// Steps in float32 whose matmul operands are bfloat16.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_bf16_step(std::vector<Training> trainings, bool library) {
  return std::make_unique<DeviceStep<Bf16>>(std::move(trainings), library);
}

}  // namespace stackae::cuda
