// Steps by tensor cores.
#include "train_step.cuh"
#include "train_step.h"

namespace stackae::cuda {

std::unique_ptr<TrainStep> make_rounded_step(std::vector<Member> members, Precision precision, bool library) {
  if (precision == Precision::tf32) return std::make_unique<DeviceStep<Tf32>>(std::move(members), library);
  return std::make_unique<DeviceStep<Bf16>>(std::move(members), library);
}

}  // namespace stackae::cuda
