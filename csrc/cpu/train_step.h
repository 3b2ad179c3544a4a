// The training step of a chain of dense layers on the CPU, by hand-written gradients over preallocated buffers.
#pragma once

#include <memory>

#include "../step.h"

namespace stackae {

// float32 or float64 as the layers are; `half_operands`: products of bfloat16 operands, summed in float32, the weights
// and everything else in float32. Corruption is drawn by (key, step) as the op corrupt draws it.
//
// Raises ValueError or TypeError where the parts do not fit each other, RuntimeError where the processor has no
// bfloat16 products.
std::unique_ptr<TrainStep> make_cpu_step(std::vector<DenseLayer> layers, const Objective& objective,
                                         const Update& update, const Corruption& corruption, Rows rows, NoiseKey key,
                                         bool half_operands);

}  // namespace stackae
