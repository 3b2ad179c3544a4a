// The memory of a training step on the device, and the tables by which its kernels find it.
#pragma once

#include <ATen/ops/zeros.h>

#include "passes.cuh"

namespace stackae::cuda {

// Zeroed memory of the device that lives as long as the arena.
class Arena {
 public:
  explicit Arena(at::Device device) : device_(device) {}

  template <typename T>
  T* make(int64_t count) {
    kept_.push_back(at::zeros({std::max<int64_t>(1, count * static_cast<int64_t>(sizeof(T)))},
                              at::TensorOptions().dtype(at::kByte).device(device_)));
    return static_cast<T*>(kept_.back().mutable_data_ptr());
  }
  void clear() { kept_.clear(); }

 private:
  at::Device device_;
  std::vector<at::Tensor> kept_;
};

// An array that grows, sent to the device whole: what kernels read of it changes from call to call, its place seldom.
template <typename T>
class Table {
 public:
  explicit Table(at::Device device) : options_(at::TensorOptions().dtype(at::kByte).device(device)) {}

  T* send(const std::vector<T>& entries) {
    const auto bytes = static_cast<int64_t>(entries.size() * sizeof(T));
    if (!memory_.defined() || memory_.numel() < bytes) memory_ = at::zeros({bytes}, options_);
    copy_to_device(data(), entries.data(), static_cast<size_t>(bytes));
    return data();
  }

  T* data() const { return static_cast<T*>(memory_.mutable_data_ptr()); }

  std::vector<T> receive(int64_t count) const {
    std::vector<T> entries(static_cast<size_t>(count));
    copy_to_host(entries.data(), data(), entries.size() * sizeof(T));
    return entries;
  }

 private:
  at::TensorOptions options_;
  at::Tensor memory_;
};

// The layers of one network: parameters, optimizer state, and everything that a batch of `rows` rows needs.
template <typename A>
class LayerMemory {
 public:
  using number = typename A::number;
  using operand = typename A::operand;

  LayerMemory(const std::vector<DenseLayer>& layers, bool library)
      : library_(library), parameters_(layers[0].bias.device()), batch_(layers[0].bias.device()) {
    for (size_t l = 0; l < layers.size(); ++l) add_layer(layers, l);
  }

  std::vector<LayerData<A>> layers;
  std::vector<at::Tensor> moments;
  operand* x = nullptr;
  int64_t x_turn = 0;
  std::vector<int64_t> owners;

  // Buffers for batches of `rows` rows, in row blocks of at least that of the smallest tile.
  void add_batch(int64_t rows) {
    batch_.clear();
    const int64_t height = padded(rows), blocks = row_blocks<SmallTile>(rows);
    x_turn = library_ ? 0 : height * padded(layers[0].n_in);  // the library's matmuls read one buffer only
    x = batch_.make<operand>(height * padded(layers[0].n_in) + x_turn);
    for (size_t l = 0; l < layers.size(); ++l) {
      auto& layer = layers[l];
      const int64_t size = height * padded(layer.n_out);
      layer.input = l == 0 ? Factor<operand>{x, padded(layer.n_in), x_turn}
                           : Factor<operand>{layers[l - 1].output, padded(layer.n_in)};
      layer.output = batch_.make<operand>(l + 1 < layers.size() ? size : 0);
      layer.gradient = batch_.make<operand>(size);
      layer.pre = batch_.make<number>(keeps_preactivation(layer.activation) ? size : 0);
      layer.sums = batch_.make<number>(blocks * padded(layer.n_out));
      layer.product = batch_.make<number>(library_ ? height * std::max(layer.n_in, layer.n_out) : 0);
    }
    for (auto& layer : layers) layer.uses = 0;
    for (size_t l = 0; l < layers.size(); ++l) add_use(l);
  }

 private:
  void add_layer(const std::vector<DenseLayer>& given, size_t l) {
    const auto& from = given[l];
    const bool tied = from.tied_to >= 0;
    owners.push_back(tied ? from.tied_to : static_cast<int64_t>(l));
    const at::Tensor& weight = given[owners.back()].weight;
    LayerData<A> to{};
    to.activation = from.activation;
    to.n_out = weight.size(tied ? 1 : 0);
    to.n_in = weight.size(tied ? 0 : 1);
    to.bias = from.bias.template mutable_data_ptr<number>();
    if (!tied) add_weight(to, from.weight);
    to.bias_first = add_moment(from.bias);
    to.bias_second = add_moment(from.bias);
    const LayerData<A>& owner = tied ? layers[owners.back()] : to;
    const Factor<operand> panel{owner.panel, padded(owner.n_in)}, transposed{owner.transposed, padded(owner.n_out)};
    to.forward = tied ? transposed : panel;
    to.backward = tied ? panel : transposed;
    layers.push_back(to);
  }

  void add_weight(LayerData<A>& to, const at::Tensor& weight) {
    to.weight = weight.template mutable_data_ptr<number>();
    to.first = add_moment(weight);
    to.second = add_moment(weight);
    to.weight_product = parameters_.make<number>(library_ ? to.n_out * to.n_in : 0);
    if (!library_ || !std::is_same_v<number, operand>)
      to.panel = parameters_.make<operand>(padded(to.n_out) * padded(to.n_in));
    if (!library_) to.transposed = parameters_.make<operand>(padded(to.n_in) * padded(to.n_out));
  }

  void add_use(size_t l) {
    const auto& layer = layers[l];
    auto& owner = layers[owners[l]];
    TORCH_CHECK_VALUE(owner.uses < most_uses, "layer ", l + 1, ": expected a weight that at most ", most_uses,
                      " layers share on this device");
    const Factor<operand> gradient{layer.gradient, padded(layer.n_out)};
    const bool tied = owners[l] != static_cast<int64_t>(l);
    owner.left[owner.uses] = tied ? layer.input : gradient;
    owner.right[owner.uses++] = tied ? gradient : layer.input;
  }

  number* add_moment(const at::Tensor& like) {
    moments.push_back(at::zeros(like.sizes(), like.options().requires_grad(false)));
    return moments.back().template mutable_data_ptr<number>();
  }

  bool library_;
  Arena parameters_, batch_;
};

}  // namespace stackae::cuda
