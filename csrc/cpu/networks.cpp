// The training step on the CPU: one network on all threads, or several side by side, each on a thread of its own.
//
// A small layer is too little work for two threads, so networks that train together share the threads out instead; each
// result is bit-identical to training alone, wherever the network's step does not depend on the number of threads.
#include "../step_checks.h"
#include "level.h"
#include "parallel.h"
#include "product.h"
#include "train_step.h"

namespace stackae::cpu {
namespace {

class CpuTrainStep final : public TrainStep {
 public:
  CpuTrainStep(std::vector<Training> trainings, Precision precision, const Ranks& ranks)
      : trainings_(std::move(trainings)), alone_(!ranks.several()) {
    for (const auto& training : trainings_)
      steps_.push_back(training.objective.keeps_few() ? make_sparse_step(training, ranks)
                                                      : make_cpu_step(training, precision, ranks));
  }

  std::vector<Progress> advance(const std::vector<Batches>& batches, int64_t batch_size, int64_t step) override {
    check_advance(trainings_, batches, batch_size, step);
    std::vector<Progress> progress(steps_.size());
    const auto train = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) progress[i] = steps_[i]->advance(batches[i], batch_size, step);
    };
    // Of several ranks, all sum the same networks in the same order.
    if (!alone_ || static_cast<int64_t>(steps_.size()) < at::get_num_threads())
      train(0, static_cast<int64_t>(steps_.size()));
    else
      at::parallel_for(0, static_cast<int64_t>(steps_.size()), 1, train);
    return progress;
  }

  std::vector<std::vector<at::Tensor>> moments() const override {
    std::vector<std::vector<at::Tensor>> all;
    for (const auto& step : steps_) all.push_back(step->moments());
    return all;
  }

 private:
  const std::vector<Training> trainings_;
  const bool alone_;
  std::vector<std::unique_ptr<CpuStep>> steps_;
};

std::optional<std::string> products(Precision precision) {
  if (precision == Precision::tf32) return std::nullopt;
  if (precision == Precision::bf16) return brgemm_serves() ? std::optional<std::string>("oneDNN brgemm") : std::nullopt;
  return "own tiles, " + std::string(cpu_level_names[static_cast<size_t>(cpu_level())]);
}

std::unique_ptr<TrainStep> make(std::vector<Training> trainings, Precision precision, Ranks ranks) {
  check_trainings(trainings);
  check_ranks(trainings, ranks);
  TORCH_CHECK(precision != Precision::tf32, "precision tf32: expected a CUDA device, got the CPU");
  if (precision == Precision::bf16) {
    const auto type = trainings[0].layers[0].bias.scalar_type();
    TORCH_CHECK_TYPE(type == at::kFloat, "precision bf16: expected float32 parameters, got ", type);
    for (const auto& each : trainings)
      TORCH_CHECK_VALUE(!each.objective.keeps_few(),
                        "precision bf16: expected a code of which all units are kept, got ", each.objective.keeps,
                        " of them, or a share of ", each.objective.share);
    TORCH_CHECK(products(precision),
                "precision bf16: expected a processor with avx512_bf16 or amx_bf16, got one without");
  }
  return std::make_unique<CpuTrainStep>(std::move(trainings), precision, ranks);
}

const RegisterSteps cpu(at::kCPU, {make, products});

}  // namespace
}  // namespace stackae::cpu
