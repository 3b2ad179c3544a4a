// Steps in float64, matmuls included.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_double_step(std::vector<Training> trainings, bool library) {
  return std::make_unique<DeviceStep<Plain<double>>>(std::move(trainings), library);
}

}  // namespace stackae::cuda
