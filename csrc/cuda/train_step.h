// The training steps of the device, each arithmetic compiled for itself; their members fit each other.
#pragma once

#include "../step.h"

namespace stackae::cuda {

// In the type of the parameters, float32 or float64.
std::unique_ptr<TrainStep> make_plain_step(std::vector<Member> members, bool library);

// tf32 or bf16, for float32 parameters.
std::unique_ptr<TrainStep> make_rounded_step(std::vector<Member> members, Precision precision, bool library);

}  // namespace stackae::cuda
