// Steps in float32, products included.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_float_step(std::vector<Member> members, bool library) {
  return std::make_unique<DeviceStep<Plain<float>>>(std::move(members), library);
}

}  // namespace stackae::cuda
