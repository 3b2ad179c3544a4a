// The training step of one chain of dense layers on the CPU, by hand-written gradients over preallocated buffers.
#pragma once

#include <memory>

#include "../step.h"

namespace stackae::cpu {

class CpuStep {
 public:
  virtual ~CpuStep() = default;
  virtual Progress advance(const Batches& batches, int64_t batch_size, int64_t step) = 0;  // see TrainStep
  virtual std::vector<at::Tensor> moments() const = 0;
};

// A training that check_training has passed. float32 or float64 as the layers are; bf16 by oneDNN alone. Corruption is
// drawn by (seed, layer, step) as the op corrupt draws it.
std::unique_ptr<CpuStep> make_cpu_step(Training training, Precision precision);

}  // namespace stackae::cpu
