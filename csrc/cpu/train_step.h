// The training step of one chain of dense layers on the CPU, by hand-written gradients over preallocated buffers.
#pragma once

#include <atomic>
#include <memory>

#include "../step.h"
#include "batch.h"

namespace stackae::cpu {

class CpuStep {
 public:
  explicit CpuStep(Ranks ranks) : ranks_(std::move(ranks)) {}
  virtual ~CpuStep() = default;
  Progress advance(const Batches& batches, int64_t batch_size, int64_t step);  // see TrainStep
  virtual std::vector<at::Tensor> moments() const = 0;

 protected:
  // Everything is there for batches, or shares of them, of up to `size` rows; before the steps of a call.
  virtual void prepare(int64_t size) = 0;
  // Returns the loss of the whole batch; where it is not finite, nothing has moved.
  virtual double one_step(const Batch& batch, int64_t step, double learning_rate) = 0;
  // After the steps of a call: the parameters are as these left them.
  virtual void finish() = 0;

  const Ranks ranks_;
  std::atomic<bool> moved_ = true;  // all parameters, by this step; threads may each have some of them
};

// A training that check_training has passed. float32 or float64 as the layers are; bf16 by oneDNN alone. Corruption is
// drawn by (seed, layer, step) as the op corrupt draws it.
std::unique_ptr<CpuStep> make_cpu_step(Training training, Precision precision, Ranks ranks);

// The same for an objective that keeps some units of the code, in fp32.
std::unique_ptr<CpuStep> make_sparse_step(Training training, Ranks ranks);

}  // namespace stackae::cpu
