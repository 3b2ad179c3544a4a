// The matmuls of a training step by the library, for layers that are wide enough: each one's result lies in memory,
// where the pass that follows finds it.
#pragma once

#include <ATen/ops/from_blob.h>

#include "memory.cuh"

namespace stackae::cuda {

template <typename A>
class LibraryProducts {
 public:
  using number = typename A::number;
  using operand = typename A::operand;

  LibraryProducts(const Blas& blas, at::Device device, int64_t rows) : blas_(blas), device_(device), rows_(rows) {}

  void forward(const LayerMemory<A>& network, int64_t l) const {
    const auto& layer = network.layers[l];
    const at::Tensor weight = weight_of(network, l);
    multiply(results(layer.product, rows_, layer.n_out), view(layer.input, rows_, layer.n_in),
             is_owner(network, l) ? weight.t() : weight, /*add=*/false);
  }

  void backward(const LayerMemory<A>& network, int64_t l) const {
    const auto& layer = network.layers[l];
    const at::Tensor weight = weight_of(network, l);
    multiply(results(layer.product, rows_, layer.n_in), view({layer.gradient, padded(layer.n_out)}, rows_, layer.n_out),
             is_owner(network, l) ? weight : weight.t(), /*add=*/false);
  }

  void weight(const LayerMemory<A>& network, int64_t l) const {
    const auto& layer = network.layers[l];
    for (int use = 0; use < layer.uses; ++use)
      multiply(results(layer.weight_product, layer.n_out, layer.n_in), view(layer.left[use], rows_, layer.n_out).t(),
               view(layer.right[use], rows_, layer.n_in), /*add=*/use > 0);
  }

 private:
  static bool is_owner(const LayerMemory<A>& network, int64_t l) { return network.owners[l] == l; }

  at::Tensor weight_of(const LayerMemory<A>& network, int64_t l) const {
    const auto& owner = network.layers[network.owners[l]];
    if constexpr (std::is_same_v<number, operand>)
      return results(owner.weight, owner.n_out, owner.n_in);
    else
      return view({owner.panel, padded(owner.n_in)}, owner.n_out, owner.n_in);
  }

  at::Tensor results(number* data, int64_t rows, int64_t columns) const {
    return at::from_blob(data, {rows, columns}, options<number>());
  }

  at::Tensor view(const Factor<operand>& factor, int64_t rows, int64_t columns) const {
    // from_blob wants a pointer that it could write through
    return at::from_blob(const_cast<operand*>(factor.data), {rows, columns}, {factor.ld, 1}, options<operand>());
  }

  template <typename T>
  at::TensorOptions options() const {
    return at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value).device(device_);
  }

  void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add) const {
    blas_.multiply(out, a, b, add, /*rounded=*/std::is_same_v<A, Tf32>);
  }

  const Blas& blas_;
  at::Device device_;
  int64_t rows_;
};

}  // namespace stackae::cuda
