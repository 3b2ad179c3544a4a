// The training steps of the device, each arithmetic compiled for itself; their trainings fit each other.
#pragma once

#include "../step.h"

namespace stackae::cuda {

// Matmuls in the type of the parameters, or by tensor cores for float32 ones.
std::unique_ptr<TrainStep> make_float_step(std::vector<Training> trainings, bool library);
std::unique_ptr<TrainStep> make_double_step(std::vector<Training> trainings, bool library);
std::unique_ptr<TrainStep> make_tf32_step(std::vector<Training> trainings, bool library);
std::unique_ptr<TrainStep> make_bf16_step(std::vector<Training> trainings, bool library);

}  // namespace stackae::cuda
