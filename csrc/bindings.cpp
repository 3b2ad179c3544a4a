// Every op's schema, and the Python module that loads them and tells how it was built.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include "build_info.h"  // written by setup.py
#include "cpu/product.h"
#include "step.h"

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

template <typename Enum>
Enum named(const char* what, const std::string& name, std::initializer_list<std::pair<const char*, Enum>> known) {
  std::string names;
  for (const auto& [each, value] : known) {
    if (name == each) return value;
    names += (names.empty() ? "" : ", ") + std::string(each);
  }
  TORCH_CHECK_VALUE(false, what, ": expected one of ", names, ", got '", name, "'");
}

stackae::Precision precision_of(const std::string& name) {
  using stackae::Precision;
  return named<Precision>("precision", name,
                          {{"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}});
}

std::optional<std::string> products(const std::string& device, const std::string& precision) {
  const auto* const maker = stackae::steps_on(at::Device(device).type());
  return maker == nullptr ? std::nullopt : maker->products(precision_of(precision));
}

py::dict build_info() {
  py::dict info;
  info["compiler"] = STACKAE_COMPILER;
  info["flags"] = STACKAE_FLAGS;
  info["cpu_levels"] = STACKAE_CPU_LEVELS;
  info["cpu_level_in_use"] = active_cpu_level();
  info["cuda_products"] = products("cuda", "fp32").value_or("none");
  info["cpu_products"] = "float32: " + products("cpu", "fp32").value_or("none") +
                         ", bfloat16: " + products("cpu", "bf16").value_or("none");
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
  m.def("corrupt(Tensor x, str kind, float level, float low, float high, int seed, int layer, int step) -> Tensor",
        tags);
  m.def("sparsity_kl(Tensor h, float rho) -> Tensor", tags);
  m.def("sparsity_kl_forward(Tensor h, float rho) -> (Tensor penalty, Tensor means)", tags);
  m.def("sparsity_kl_backward(Tensor grad_penalty, Tensor h, Tensor means, float rho) -> Tensor", tags);
}

namespace {

using stackae::Objective;
using stackae::Update;

std::vector<stackae::DenseLayer> layers_of(
    const std::vector<std::tuple<std::optional<at::Tensor>, at::Tensor, std::string, int64_t>>& given) {
  std::vector<stackae::DenseLayer> layers;
  for (const auto& [weight, bias, activation, tied_to] : given)
    layers.push_back({weight.value_or(at::Tensor()), bias, stackae::parse_activation(activation), tied_to});
  return layers;
}

std::unique_ptr<stackae::TrainStep> train_step(std::vector<stackae::Member> members, const std::string& precision) {
  const auto device =
      members.empty() || members[0].layers.empty() ? at::kCPU : members[0].layers[0].bias.device().type();
  const auto* const maker = stackae::steps_on(device);
  TORCH_CHECK(maker != nullptr, "train_step: expected parameters on a device that the extension was built for, got ",
              device);
  return maker->make(std::move(members), precision_of(precision));
}

void bind_step(py::module_& m) {
  using stackae::Loss;
  using stackae::Rule;
  py::class_<Objective>(m, "Objective")
      .def(py::init([](const std::string& loss, double target, double weight, double l1, double contraction) {
             const auto kind = named<Loss>("loss", loss,
                                           {{"mse", Loss::squared_error},
                                            {"bce", Loss::binary_cross_entropy},
                                            {"cross_entropy", Loss::cross_entropy}});
             return Objective{kind, target, weight, l1, contraction};
           }),
           py::kw_only(), py::arg("loss"), py::arg("sparsity_target") = 0.05, py::arg("sparsity_weight") = 0.0,
           py::arg("l1_weight") = 0.0, py::arg("contraction") = 0.0);
  py::class_<Update>(m, "Update")
      .def(py::init([](const std::string& rule, double weight_decay, double momentum) {
             Update update{
                 named<Rule>("rule", rule, {{"sgd", Rule::sgd}, {"adam", Rule::adam}, {"adamw", Rule::adamw}})};
             update.weight_decay = weight_decay;
             (update.rule == Rule::sgd ? update.momentum : update.beta1) = momentum;
             return update;
           }),
           py::kw_only(), py::arg("rule"), py::arg("weight_decay"), py::arg("momentum"));
  py::class_<stackae::Corruption>(m, "Corruption").def(py::init<const std::string&, double, double, double>());
  py::class_<stackae::Rows>(m, "Rows").def(
      py::init([](at::Tensor x, std::optional<at::Tensor> offset, std::optional<at::Tensor> scale,
                  std::optional<at::Tensor> labels) {
        const at::Tensor none;
        return stackae::Rows{x, offset.value_or(none), scale.value_or(none), labels.value_or(none)};
      }),
      py::kw_only(), py::arg("x"), py::arg("offset") = py::none(), py::arg("scale") = py::none(),
      py::arg("labels") = py::none());
  py::class_<stackae::Member>(m, "Member")
      .def(py::init(
               [](const std::vector<std::tuple<std::optional<at::Tensor>, at::Tensor, std::string, int64_t>>& layers,
                  const Objective& objective, const Update& update, const stackae::Corruption& corruption,
                  const stackae::Rows& rows, int64_t seed, int64_t layer) {
                 return stackae::Member{layers_of(layers), objective, update, corruption, rows, {seed, layer}};
               }),
           py::kw_only(), py::arg("layers"), py::arg("objective"), py::arg("update"), py::arg("corruption"),
           py::arg("rows"), py::arg("seed"), py::arg("layer"));
  py::class_<stackae::TrainStep>(m, "TrainStep")
      .def(
          "advance",
          [](stackae::TrainStep& self, const std::vector<std::tuple<at::Tensor, std::vector<double>, double>>& given,
             int64_t batch_size, int64_t step) {
            std::vector<stackae::Batches> batches;
            for (const auto& [rows, rates, total] : given) batches.push_back({rows, rates, total});
            const py::gil_scoped_release release;
            std::vector<std::pair<double, int64_t>> progress;
            for (const auto& [total, steps] : self.advance(batches, batch_size, step))
              progress.emplace_back(total, steps);
            return progress;
          },
          py::arg("batches"), py::arg("batch_size"), py::arg("step"))
      .def("moments", &stackae::TrainStep::moments);
  m.def("train_step", &train_step, py::arg("members"), py::arg("precision"),
        "The step of networks that train together, on the device of their parameters.");
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "stackae's compiled ops; loading this module registers torch.ops.stackae.";
  m.def("build_info", &build_info, "How this extension was built: compiler, flags, CPU levels, CUDA, git revision.");
  m.def("products", &products,
        "The library of the fused step's products on a device at a precision, None where it has none.");
  m.def("bare_product", &stackae::cpu::bare_product, "out = a b by the fused step's library, for benchmarks.");
  m.def(
      "keeps_preactivation",
      [](const std::string& activation) { return stackae::keeps_preactivation(stackae::parse_activation(activation)); },
      "Whether dense_act keeps the pre-activation, of which the derivatives are taken, and not its output.");
  bind_step(m);
}
