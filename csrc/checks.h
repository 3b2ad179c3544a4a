// The checks of the ops' arguments, made once. Messages read "argument: expected X, got Y".
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

namespace stackae {

inline void check_floating(const at::Tensor& t, const char* name) {
  const auto type = t.scalar_type();
  TORCH_CHECK_TYPE(type == at::kFloat || type == at::kDouble || type == at::kBFloat16, name,
                   ": expected float32, float64 or bfloat16, got ", type);
}

inline void check_same_kind(const at::Tensor& t, const at::Tensor& like, const char* name, const char* like_name) {
  TORCH_CHECK_TYPE(t.scalar_type() == like.scalar_type(), name, ": expected the dtype of ", like_name, " (",
                   like.scalar_type(), "), got ", t.scalar_type());
  TORCH_CHECK_VALUE(t.device() == like.device(), name, ": expected the device of ", like_name, " (", like.device(),
                    "), got ", t.device());
}

inline void check_dense(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  check_floating(x, "x");
  TORCH_CHECK_VALUE(x.dim() == 2, "x: expected shape (batch, n_in), got ", x.sizes());
  TORCH_CHECK_VALUE(weight.dim() == 2 && weight.size(1) == x.size(1), "weight: expected shape (n_out, ", x.size(1),
                    ") to match x, got ", weight.sizes());
  check_same_kind(weight, x, "weight", "x");
  if (bias.has_value()) {
    TORCH_CHECK_VALUE(bias->dim() == 1 && bias->size(0) == weight.size(0), "bias: expected shape (", weight.size(0),
                      ",) to match weight, got ", bias->sizes());
    check_same_kind(*bias, x, "bias", "x");
  }
}

inline void check_dense_backward(const at::Tensor& grad_y, const at::Tensor& kept, const at::Tensor& x,
                                 const at::Tensor& weight) {
  check_dense(x, weight, std::nullopt);
  check_floating(grad_y, "grad_y");
  TORCH_CHECK_VALUE(grad_y.dim() == 2 && grad_y.sizes() == kept.sizes(), "grad_y: expected the shape of kept, ",
                    kept.sizes(), ", got ", grad_y.sizes());
  TORCH_CHECK_VALUE(kept.size(0) == x.size(0) && kept.size(1) == weight.size(0), "kept: expected shape (", x.size(0),
                    ", ", weight.size(0), ") to match x and weight, got ", kept.sizes());
  check_same_kind(grad_y, kept, "grad_y", "kept");
  check_same_kind(x, kept, "x", "kept");
}

inline void check_corrupt(const at::Tensor& x, int64_t seed, int64_t layer, int64_t step) {
  check_floating(x, "x");
  TORCH_CHECK_VALUE(x.dim() == 2, "x: expected shape (batch, n_visible), got ", x.sizes());
  TORCH_CHECK_VALUE(seed >= 0 && step >= 0, "seed and step: expected numbers of at least 0, got ", seed, " and ", step);
  TORCH_CHECK_VALUE(layer >= 0 && layer < (1 << 24), "layer: expected 0 to 16777215, got ", layer);
}

inline void check_sparsity(const at::Tensor& h, double rho) {
  check_floating(h, "h");
  TORCH_CHECK_VALUE(h.dim() == 2 && h.size(0) > 0, "h: expected shape (batch, n_hidden) with at least one row, got ",
                    h.sizes());
  TORCH_CHECK_VALUE(rho > 0 && rho < 1, "rho: expected a target mean activation in (0, 1), got ", rho);
}

}  // namespace stackae
