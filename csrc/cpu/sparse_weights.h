// The weights of an autoencoder by the units of its code, with their moments: a row of the encoder's weight, and one of
// the decoder's transposed, which is a copy of the user's unless both weights are one.
#pragma once

#include <cmath>
#include <vector>

#include "network.h"
#include "sparse_passes.h"

namespace stackae::cpu {

template <typename T>
struct Parameters {
  T *weight = nullptr, *first = nullptr, *second = nullptr;  // (units, n_visible)
  T *bias = nullptr, *bias_first = nullptr, *bias_second = nullptr;
};

template <typename T>
class SparseWeights {
 public:
  // `constrained`: there will be a largest norm.
  SparseWeights(std::vector<DenseLayer> given, bool constrained)
      : layers(std::move(given)),
        tied(layers[1].tied_to >= 0),
        n_visible(layers[0].weight.size(1)),
        n_hidden(layers[0].weight.size(0)) {
    encoder.weight = layers[0].weight.template mutable_data_ptr<T>();
    encoder.first = add_moment(layers[0].weight);
    encoder.second = add_moment(layers[0].weight);
    add_bias(encoder, layers[0].bias);
    decoder.weight = tied ? encoder.weight : kept_.make<T>(n_hidden * n_visible);
    if (!tied) {
      decoder.first = add_transposed_moment();
      decoder.second = add_transposed_moment();
    }
    add_bias(decoder, layers[1].bias);
    padded_bias = kept_.make<T>(padded(n_visible));
    if (constrained && !tied) squares_ = kept_.make<T>(row_blocks(n_hidden) * padded(n_visible));
  }

  // From the user's parameters, and to them.
  void read() {
    std::copy_n(decoder.bias, n_visible, padded_bias);
    if (!tied) transpose(layers[1].weight.template const_data_ptr<T>(), decoder.weight, n_visible, n_hidden);
  }
  void write() {
    if (!tied) transpose(decoder.weight, layers[1].weight.template mutable_data_ptr<T>(), n_hidden, n_visible);
  }

  // The weights of a unit of the code, scaled down where their norm is larger than this.
  void shorten_unit(int64_t j, double longest) {
    T norm;
    T* const row = encoder.weight + j * n_visible;
    norms_pass(row, n_visible, 0, 1, &norm);
    shorten_pass(row, n_visible, &norm, static_cast<T>(longest), 1, n_visible);
  }

  // The same of each output's weights, where these are not the code's: columns of the transposed weight.
  void shorten_outputs(double longest) {
    if (tied) return;
    const int64_t ld = padded(n_visible), blocks = row_blocks(n_hidden);
    for_each_tile(n_hidden, n_visible, 1, [&](const Tile& tile) {
      squares_pass(decoder.weight + tile.row_begin * n_visible + tile.column_begin, n_visible,
                   squares_ + tile.row_block * ld + tile.column_begin, tile.row_end - tile.row_begin,
                   tile.column_end - tile.column_begin);
    });
    bool any = false;
    for (int64_t block = 1; block < blocks; ++block)
      for (int64_t k = 0; k < n_visible; ++k) squares_[k] += squares_[block * ld + k];
    for (int64_t k = 0; k < n_visible; ++k) {
      const T norm = std::sqrt(squares_[k]), most = static_cast<T>(longest);
      any |= norm > most;
      squares_[k] = norm > most ? most / norm : T(1);
    }
    if (!any) return;
    for_each_tile(n_hidden, n_visible, 1, [&](const Tile& tile) {
      scale_columns_pass(decoder.weight + tile.row_begin * n_visible + tile.column_begin, n_visible,
                         squares_ + tile.column_begin, tile.row_end - tile.row_begin,
                         tile.column_end - tile.column_begin);
    });
  }

  const std::vector<DenseLayer> layers;
  const bool tied;
  const int64_t n_visible, n_hidden;
  Parameters<T> encoder, decoder;
  T* padded_bias = nullptr;  // the decoder's
  std::vector<at::Tensor> moments;

 private:
  static void transpose(const T* from, T* to, int64_t rows, int64_t columns) {
    for_each_tile(rows, columns, 1, [=](const Tile& tile) {
      transpose_pass(from + tile.row_begin * columns + tile.column_begin, columns,
                     to + tile.column_begin * rows + tile.row_begin, rows, tile.row_end - tile.row_begin,
                     tile.column_end - tile.column_begin);
    });
  }

  T* add_moment(const at::Tensor& like) {
    moments.push_back(at::zeros(like.sizes(), like.options().requires_grad(false)));
    return moments.back().template mutable_data_ptr<T>();
  }

  T* add_transposed_moment() {
    const at::Tensor own = at::zeros({n_hidden, n_visible}, layers[1].weight.options().requires_grad(false));
    moments.push_back(own.t());
    return own.template mutable_data_ptr<T>();
  }

  void add_bias(Parameters<T>& to, const at::Tensor& bias) {
    to.bias = bias.mutable_data_ptr<T>();
    to.bias_first = add_moment(bias);
    to.bias_second = add_moment(bias);
  }

  Arena kept_;
  T* squares_ = nullptr;
};

}  // namespace stackae::cpu
