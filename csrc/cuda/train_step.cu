// Chooses the step on the device: one for each arithmetic (arithmetic.cuh), by tiles or by the library.
#include <cstdlib>
#include <string_view>

#include <c10/core/DeviceGuard.h>
#include <device.cuh>

#include "../step_checks.h"
#include "train_step.h"

namespace stackae::cuda {
namespace {

constexpr int64_t library_width = 1024;  // from this width on, the library computes the matmuls

// By width, or as STACKAE_CUDA_PRODUCTS says: benchmarks compare the two.
bool takes_library(const std::vector<DenseLayer>& layers) {
  const char* const wish = std::getenv("STACKAE_CUDA_PRODUCTS");
  if (wish != nullptr && *wish != 0) {
    const std::string_view word(wish);
    TORCH_CHECK_VALUE(word == "tiles" || word == "library", "STACKAE_CUDA_PRODUCTS: expected tiles or library, got '",
                      wish, "'");
    return word == "library";
  }
  int64_t widest = width_in(layers, 0);
  for (const auto& layer : layers) widest = std::max(widest, layer.bias.size(0));
  return widest >= library_width;
}

std::optional<std::string> products(Precision) {
  return "own tiles, from widths of " + std::to_string(library_width) + " by cuBLAS";
}

std::unique_ptr<TrainStep> make(std::vector<Training> trainings, Precision precision, Ranks ranks) {
  check_trainings(trainings);
  TORCH_CHECK_VALUE(!ranks.several(),
                    "ranks: expected a training on the CPU, got one on a GPU, whose fused step has none");
  for (const auto& each : trainings) check_fused_on_gpu(each);
  const c10::DeviceGuard guard(trainings[0].layers[0].bias.device());
  const auto type = trainings[0].layers[0].bias.scalar_type();
  const bool library = takes_library(trainings[0].layers);
  TORCH_CHECK_TYPE(precision == Precision::fp32 || type == at::kFloat, "precision ",
                   precision == Precision::tf32 ? "tf32" : "bf16", ": expected float32 parameters, got ", type);
  if (precision == Precision::tf32) return make_tf32_step(std::move(trainings), library);
  if (precision == Precision::bf16) return make_bf16_step(std::move(trainings), library);
  return type == at::kDouble ? make_double_step(std::move(trainings), library)
                             : make_float_step(std::move(trainings), library);
}

const RegisterSteps registered(device_type, {make, products});

}  // namespace
}  // namespace stackae::cuda
