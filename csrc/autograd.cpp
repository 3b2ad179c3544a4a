// Differentiation of the ops. In C++ because a step of a small layer costs less than Python's autograd hooks.
//
// The plain backward passes run fused. Where a caller asks for a graph of the gradient itself
// (create_graph=True), the op is replayed from ATen's differentiable ops, which can be differentiated again.
#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include "activation.h"
#include "code_penalty.h"

namespace stackae {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

std::tuple<Tensor, Tensor> call_dense_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                                              std::string_view activation) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("stackae::dense_act_forward", "")
                       .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const std::optional<Tensor>&,
                                                         std::string_view)>();
  return op.call(x, weight, bias, activation);
}

std::tuple<Tensor, Tensor, Tensor> call_dense_backward(const Tensor& grad_y, const Tensor& kept, const Tensor& x,
                                                       const Tensor& weight, std::string_view activation,
                                                       bool input_gradient, bool weight_gradient) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("stackae::dense_act_backward", "")
                       .typed<std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                                 const Tensor&, std::string_view, bool, bool)>();
  return op.call(grad_y, kept, x, weight, activation, input_gradient, weight_gradient);
}

std::tuple<Tensor, Tensor> call_kl_forward(const Tensor& h, double rho) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("stackae::sparsity_kl_forward", "")
                       .typed<std::tuple<Tensor, Tensor>(const Tensor&, double)>();
  return op.call(h, rho);
}

Tensor call_kl_backward(const Tensor& grad_penalty, const Tensor& h, const Tensor& means, double rho) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("stackae::sparsity_kl_backward", "")
                       .typed<Tensor(const Tensor&, const Tensor&, const Tensor&, double)>();
  return op.call(grad_penalty, h, means, rho);
}

Tensor differentiable_activation(const Tensor& a, Activation activation) {
#define STACKAE_CASE(name, Struct, aten) \
  case Activation::name: return aten;
  switch (activation) { STACKAE_ACTIVATIONS(STACKAE_CASE) }
#undef STACKAE_CASE
  return a;
}

// The gradients of output with respect to those inputs that want one, themselves differentiable.
variable_list gradients_with_graph(const Tensor& output, const variable_list& inputs, const Tensor& grad_output) {
  variable_list wanted;
  for (const auto& input : inputs)
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  auto gradients = torch::autograd::grad({output}, wanted, {grad_output}, /*retain_graph=*/true, /*create_graph=*/true);
  variable_list result(inputs.size());
  for (size_t i = 0, next = 0; i < inputs.size(); ++i)
    if (inputs[i].defined() && inputs[i].requires_grad()) result[i] = gradients[next++];
  return result;
}

class DenseAct : public torch::autograd::Function<DenseAct> {
 public:
  static variable_list forward(AutogradContext* ctx, const Variable& x, const Variable& weight,
                               const std::optional<Variable>& bias, const std::string& activation) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, kept] = call_dense_forward(x, weight, bias, activation);
    const Variable no_bias;
    ctx->save_for_backward({x, weight, bias.value_or(no_bias), y, kept});
    ctx->saved_data["activation"] = activation;
    ctx->mark_non_differentiable({kept});
    return {y, kept};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &y = saved[3], &pre = saved[4];
    const auto activation = ctx->saved_data["activation"].toStringRef();
    const auto kind = parse_activation(activation);
    if (!gradients[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    if (at::GradMode::is_enabled()) {
      const auto replayed = differentiable_activation(at::linear(x, weight, bias), kind);
      auto result = gradients_with_graph(replayed, {x, weight, bias}, gradients[0]);
      return {result[0], result[1], result[2], Variable()};
    }
    const bool input_gradient = ctx->needs_input_grad(0), weight_gradient = ctx->needs_input_grad(1);
    auto [grad_x, grad_weight, grad_bias] = call_dense_backward(gradients[0], keeps_preactivation(kind) ? pre : y, x,
                                                                weight, activation, input_gradient, weight_gradient);
    return {input_gradient ? grad_x : Variable(), weight_gradient ? grad_weight : Variable(),
            bias.defined() ? grad_bias : Variable(), Variable()};
  }
};

Tensor differentiable_kl(const Tensor& h, double rho) {
  const auto wide = h.to(at::kDouble);
  const auto rho_hat = wide.mean(0), complement = (1 - wide).mean(0);
  const auto floored = [](const Tensor& p) { return at::where(p < kl_floor, p - p.detach() + kl_floor, p); };
  const auto kl =
      rho * (std::log(rho) - floored(rho_hat).log()) + (1 - rho) * (std::log(1 - rho) - floored(complement).log());
  return kl.sum().to(h.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

class SparsityKl : public torch::autograd::Function<SparsityKl> {
 public:
  static variable_list forward(AutogradContext* ctx, const Variable& h, double rho) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [penalty, means] = call_kl_forward(h, rho);
    ctx->save_for_backward({h, means});
    ctx->saved_data["rho"] = rho;
    ctx->mark_non_differentiable({means});
    return {penalty, means};
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &h = saved[0], &means = saved[1];
    const auto rho = ctx->saved_data["rho"].toDouble();
    if (!gradients[0].defined()) return {Variable(), Variable()};
    if (at::GradMode::is_enabled())
      return {gradients_with_graph(differentiable_kl(h, rho), {h}, gradients[0])[0], Variable()};
    // Every row of the batch has the same gradient: one row is computed, and expanded without being written.
    const auto row = call_kl_backward(gradients[0], h, means, rho);
    return {row.expand_symint(h.sym_sizes()), Variable()};
  }
};

Tensor call_corrupt(const Tensor& x, std::string_view kind, double level, double low, double high, int64_t seed,
                    int64_t layer, int64_t step) {
  static auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("stackae::corrupt", "")
          .typed<Tensor(const Tensor&, std::string_view, double, double, double, int64_t, int64_t, int64_t)>();
  return op.call(x, kind, level, low, high, seed, layer, step);
}

class Corrupt : public torch::autograd::Function<Corrupt> {
 public:
  static Variable forward(AutogradContext* ctx, const Variable& x, const std::string& kind, double level, double low,
                          double high, int64_t seed, int64_t layer, int64_t step) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["level"] = level;
    ctx->saved_data["draw"] = std::vector<int64_t>{seed, layer, step};
    return call_corrupt(x, kind, level, low, high, seed, layer, step);
  }

  // An entry that noise replaced has no gradient, any other has slope 1: the gradient is corrupted alike, with zeros.
  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const auto& kind = ctx->saved_data["kind"].toStringRef();
    const auto draw = ctx->saved_data["draw"].toIntVector();
    const double level = kind == "gaussian" ? 0 : ctx->saved_data["level"].toDouble();
    variable_list result(8);
    if (gradients[0].defined()) result[0] = call_corrupt(gradients[0], kind, level, 0, 0, draw[0], draw[1], draw[2]);
    return result;
  }
};

// Without a graph to build, the bookkeeping of a differentiable function is overhead.
bool wants_graph(std::initializer_list<Tensor> inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.defined() && t.requires_grad(); });
}

std::tuple<Tensor, Tensor> dense_act_forward_autograd(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias, std::string_view activation) {
  if (!wants_graph({x, weight, bias.value_or(Tensor())})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return call_dense_forward(x, weight, bias, activation);
  }
  auto result = DenseAct::apply(x, weight, bias, std::string(activation));
  return {result[0], result[1]};
}

std::tuple<Tensor, Tensor> sparsity_kl_forward_autograd(const Tensor& h, double rho) {
  if (!wants_graph({h})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return call_kl_forward(h, rho);
  }
  auto result = SparsityKl::apply(h, rho);
  return {result[0], result[1]};
}

Tensor corrupt_autograd(const Tensor& x, std::string_view kind, double level, double low, double high, int64_t seed,
                        int64_t layer, int64_t step) {
  if (!wants_graph({x})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return call_corrupt(x, kind, level, low, high, seed, layer, step);
  }
  return Corrupt::apply(x, std::string(kind), level, low, high, seed, layer, step);
}

// The public ops: the first result of the op that also returns the tensor saved for backward.
Tensor dense_act(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                 std::string_view activation) {
  return std::get<0>(call_dense_forward(x, weight, bias, activation));
}

Tensor sparsity_kl(const Tensor& h, double rho) { return std::get<0>(call_kl_forward(h, rho)); }

}  // namespace

TORCH_LIBRARY_IMPL(stackae, Autograd, m) {
  m.impl("dense_act_forward", dense_act_forward_autograd);
  m.impl("sparsity_kl_forward", sparsity_kl_forward_autograd);
  m.impl("corrupt", corrupt_autograd);
}

TORCH_LIBRARY_IMPL(stackae, CompositeImplicitAutograd, m) {
  m.impl("dense_act", dense_act);
  m.impl("sparsity_kl", sparsity_kl);
}

}  // namespace stackae
