// Every op's schema, and the Python module that loads them and tells how it was built.
#include <pybind11/pybind11.h>
#include <torch/library.h>

#include "build_info.h"  // written by setup.py
#include "cpu/product.h"

namespace py = pybind11;

namespace {

const char* active_cpu_level() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
  return "default";
}

py::dict build_info() {
  py::dict info;
  info["compiler"] = STACKAE_COMPILER;
  info["flags"] = STACKAE_FLAGS;
  info["cpu_levels"] = STACKAE_CPU_LEVELS;
  info["cpu_level_in_use"] = active_cpu_level();
  info["cpu_products"] = stackae::brgemm_serves(at::kFloat) ? "oneDNN brgemm (float32), ATen" : "ATen";
  info["torch"] = STACKAE_TORCH;
  info["cuda"] = STACKAE_CUDA_VERSION;
  info["cuda_architectures"] = STACKAE_CUDA_ARCHITECTURES;
  info["git_revision"] = STACKAE_GIT_REVISION;
  return info;
}

}  // namespace

TORCH_LIBRARY(stackae, m) {
  const std::vector<at::Tag> tags = {at::Tag::pt2_compliant_tag};
  m.def("dense_act(Tensor x, Tensor weight, Tensor? bias, str activation) -> Tensor", tags);
  m.def("dense_act_forward(Tensor x, Tensor weight, Tensor? bias, str activation) -> (Tensor y, Tensor kept)", tags);
  m.def(
      "dense_act_backward(Tensor grad_y, Tensor kept, Tensor x, Tensor weight, str activation, bool input_gradient, "
      "bool weight_gradient) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)",
      tags);
  m.def("sparsity_kl(Tensor h, float rho) -> Tensor", tags);
  m.def("sparsity_kl_forward(Tensor h, float rho) -> (Tensor penalty, Tensor means)", tags);
  m.def("sparsity_kl_backward(Tensor grad_penalty, Tensor h, Tensor means, float rho) -> Tensor", tags);
}

PYBIND11_MODULE(_C, m) {
  m.doc() = "stackae's compiled ops; loading this module registers torch.ops.stackae.";
  m.def("build_info", &build_info, "How this extension was built: compiler, flags, CPU levels, CUDA, git revision.");
}
