// The gradients of all parameters of a network in one tensor, which several ranks add up before anything moves. One
// process has no such tensor: it makes a gradient tile by tile, each consumed by its update (train_step.cpp).
#pragma once

#include <algorithm>
#include <vector>

#include <ATen/ops/zeros.h>

#include "network.h"

namespace stackae::cpu {

template <typename T>
class Gradients {
 public:
  // Layer by layer, bottom first: the weight, unless it is another's, in rows of whole vectors, and the bias.
  template <typename O>
  void add_room(const Network<T, O>& network, const at::TensorOptions& options) {
    int64_t end = 0;
    begins_.clear();
    for (const auto& layer : network.layers) {
      begins_.push_back(end);
      end += (layer.tied ? 0 : layer.n_out * padded(layer.n_in)) + padded(layer.n_out);
    }
    begins_.push_back(end);
    all_ = at::zeros({end}, options);
  }

  bool given() const { return all_.defined(); }

  T* of_layer(int64_t l) const { return all_.template mutable_data_ptr<T>() + begins_[l]; }

  template <typename O>
  T* bias_of(int64_t l, const LayerState<T, O>& layer) const {
    return of_layer(l) + (layer.tied ? 0 : layer.n_out * padded(layer.n_in));
  }

  void clear_layer(int64_t l) const { std::fill_n(of_layer(l), begins_[l + 1] - begins_[l], T(0)); }

  // Those of this layer and of all above it.
  at::Tensor from_layer(int64_t l) const { return all_.narrow(0, begins_[l], begins_.back() - begins_[l]); }

 private:
  at::Tensor all_;
  std::vector<int64_t> begins_;
};

}  // namespace stackae::cpu
