// Steps in IEEE arithmetic.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_plain_step(std::vector<Member> members, bool library) {
  if (members[0].layers[0].bias.scalar_type() == at::kDouble)
    return std::make_unique<DeviceStep<Plain<double>>>(std::move(members), library);
  return std::make_unique<DeviceStep<Plain<float>>>(std::move(members), library);
}

}  // namespace stackae::cuda
