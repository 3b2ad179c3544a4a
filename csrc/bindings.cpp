// Every op's schema, and the Python module that loads them and tells how it was built.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include "build_info.h"  // written by setup.py
#include "cpu/level.h"
#include "cpu/product.h"
#include "step.h"

namespace py = pybind11;

namespace {

// What this build is, found in the file of a library that does not load (stackae/ops/stamp.py).
[[gnu::used]] const char stamp[] = STACKAE_STAMP;

// The enumerator whose name stands in its place among the known ones.
template <typename Enum, size_t count>
Enum named(const char* what, const std::string& name, const std::array<std::string_view, count>& known) {
  std::string names;
  for (size_t i = 0; i < count; ++i) {
    if (name == known[i]) return static_cast<Enum>(i);
    names += (i == 0 ? "" : ", ") + std::string(known[i]);
  }
  TORCH_CHECK_VALUE(false, what, ": expected one of ", names, ", got '", name, "'");
}

stackae::Precision precision_of(const std::string& name) {
  return named<stackae::Precision>("precision", name, stackae::precision_names);
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
  info["cpu_level_in_use"] = std::string(stackae::cpu::cpu_level_names[static_cast<size_t>(stackae::cpu::cpu_level())]);
  info["cuda_products"] = products("cuda", "fp32").value_or("none");
  info["cpu_products"] = "float32: " + products("cpu", "fp32").value_or("none") +
                         ", bfloat16: " + products("cpu", "bf16").value_or("none");
  info["torch"] = STACKAE_TORCH;
  info["cuda"] = STACKAE_CUDA_VERSION;
  info["cuda_architectures"] = STACKAE_CUDA_ARCHITECTURES;
  info["git_revision"] = STACKAE_GIT_REVISION;
  info["interface"] = STACKAE_INTERFACE;
  info["sources"] = STACKAE_SOURCES;
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

using Layers =
    std::vector<std::tuple<std::optional<at::Tensor>, at::Tensor, std::string, int64_t, double, int64_t, bool>>;
using Scaling = std::pair<std::optional<at::Tensor>, std::optional<at::Tensor>>;

stackae::Training training(const Layers& layers, const at::Tensor& x, const Scaling& scaling,
                           const std::optional<at::Tensor>& labels, const std::optional<at::Tensor>& targets,
                           const Scaling& target_scaling, const std::optional<at::Tensor>& weights,
                           const std::string& loss, const std::tuple<std::string, double, double, double>& corruption,
                           const std::tuple<std::string, double, double>& sparsity, double contraction,
                           double weight_l1, double max_norm, const std::pair<double, double>& emphasis,
                           const std::tuple<double, double, int64_t>& dropout,
                           const std::tuple<int64_t, bool, double>& keeps,
                           const std::tuple<int64_t, int64_t, double>& auxiliary, int64_t seed, int64_t layer,
                           const std::string& optimizer, double weight_decay, double momentum,
                           const std::tuple<double, int64_t, int64_t>& momentum_ramp) {
  stackae::Training made;
  const at::Tensor none;
  for (const auto& [weight, bias, activation, tied_to, rate, begins, decays] : layers)
    made.layers.push_back(
        {weight.value_or(none), bias, stackae::parse_activation(activation), tied_to, rate, begins, decays});
  made.rows = {x,
               scaling.first.value_or(none),
               scaling.second.value_or(none),
               labels.value_or(none),
               targets.value_or(none),
               target_scaling.first.value_or(none),
               target_scaling.second.value_or(none),
               weights.value_or(none)};
  const auto& [penalty, target, weight] = sparsity;
  made.objective = {
      named<stackae::Loss>("loss", loss, stackae::loss_names),
      std::make_from_tuple<stackae::Corruption>(corruption),
      {named<stackae::Sparsity>("sparsity", penalty, stackae::sparsity_names), target, weight, contraction},
      seed,
      layer,
      weight_l1,
      max_norm,
      {emphasis.first, emphasis.second},
      {std::get<0>(dropout), std::get<1>(dropout), std::get<2>(dropout)},
      std::get<0>(keeps),
      std::get<1>(keeps),
      std::get<2>(keeps),
      std::make_from_tuple<stackae::Auxiliary>(auxiliary)};
  auto& update = made.update;
  update.rule = named<stackae::Rule>("optimizer", optimizer, stackae::rule_names);
  update.weight_decay = weight_decay;
  (update.rule == stackae::Rule::sgd ? update.momentum : update.beta1) = momentum;
  std::tie(update.last_momentum, update.ramp_epochs, update.steps_per_epoch) = momentum_ramp;
  return made;
}

std::unique_ptr<stackae::TrainStep> train_step(std::vector<stackae::Training> trainings, const std::string& precision,
                                               int64_t rank, int64_t ranks,
                                               std::function<void(const at::Tensor&)> sum) {
  const auto device =
      trainings.empty() || trainings[0].layers.empty() ? at::kCPU : trainings[0].layers[0].bias.device().type();
  const auto* const maker = stackae::steps_on(device);
  TORCH_CHECK(maker != nullptr, "train_step: expected parameters on a device that the extension was built for, got ",
              device);
  return maker->make(std::move(trainings), precision_of(precision), {rank, ranks, std::move(sum)});
}

void bind_step(py::module_& m) {
  py::class_<stackae::Training>(m, "Training")
      .def(py::init(&training), py::kw_only(), py::arg("layers"), py::arg("x"), py::arg("scaling"), py::arg("labels"),
           py::arg("targets"), py::arg("target_scaling"), py::arg("weights"), py::arg("loss"), py::arg("corruption"),
           py::arg("sparsity"), py::arg("contraction"), py::arg("weight_l1"), py::arg("max_norm"), py::arg("emphasis"),
           py::arg("dropout"), py::arg("keeps"), py::arg("auxiliary"), py::arg("seed"), py::arg("layer"),
           py::arg("optimizer"), py::arg("weight_decay"), py::arg("momentum"), py::arg("momentum_ramp"));
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
  m.def("train_step", &train_step, py::arg("trainings"), py::arg("precision"), py::arg("rank") = 0,
        py::arg("ranks") = 1, py::arg("sum") = py::none(),
        "The step of networks that train together, on the device of their parameters.");
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "stackae's compiled ops; loading this module registers torch.ops.stackae.";
  m.def("build_info", &build_info, "How this extension was built: compiler, flags, CPU levels, CUDA, git revision.");
  m.def("products", &products,
        "The library of the fused step's products on a device at a precision, None where it has none.");
  m.def("bare_product", &stackae::cpu::bare_product, "out = a b by the fused step's matmul, for benchmarks.");
  m.def(
      "keeps_preactivation",
      [](const std::string& activation) { return stackae::keeps_preactivation(stackae::parse_activation(activation)); },
      "Whether dense_act keeps the pre-activation, of which the derivatives are taken, and not its output.");
  bind_step(m);
}
