// Steps in float32 whose matmul operands are rounded to tf32.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_tf32_step(std::vector<Training> trainings, bool library) {
  return std::make_unique<DeviceStep<Tf32>>(std::move(trainings), library);
}

}  // namespace stackae::cuda
