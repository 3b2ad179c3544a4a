// The buffers of a training step: each layer's tensors, in the forms that the matmuls read (operand.h).
#pragma once

#include <type_traits>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "../step.h"
#include "operand.h"
#include "parallel.h"
#include "passes.h"

namespace stackae::cpu {

// Zeroed memory that lives as long as the step; large pieces on huge pages, where the system gives them: each row of a
// part of a matrix would touch a small page of its own.
class Arena {
 public:
  template <typename T>
  T* make(int64_t count) {
    at::Tensor piece = at::empty({std::max<int64_t>(1, count * static_cast<int64_t>(sizeof(T)))}, at::kByte);
    ask_for_huge_pages(piece);
    kept_.push_back(piece.zero_());
    return static_cast<T*>(piece.mutable_data_ptr());
  }
  void clear() { kept_.clear(); }

 private:
  static void ask_for_huge_pages([[maybe_unused]] const at::Tensor& piece) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t page = 1 << 21;
    const auto begin = reinterpret_cast<uintptr_t>(piece.data_ptr());
    const uintptr_t first = (begin + page - 1) / page * page, end = (begin + piece.nbytes()) / page * page;
    if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
  }

  std::vector<at::Tensor> kept_;
};

// A batch of codes or of their gradients: in row-major order, as columns (the left factor of a weight gradient), and as
// the right factor of one. Forms that no matmul reads are null; a float right factor is the rows themselves.
template <typename O>
struct Form {
  O *rows = nullptr, *columns = nullptr, *panel = nullptr;
  int64_t ld = 0, columns_ld = 0;
};

// a b for a (m, k), b (k, n), each with its row stride; brgemm has no transposed factors.
template <typename O>
struct Product {
  int64_t m, n, k;
  const O* a;
  int64_t lda;
  bool a_transposed;
  const O* b;
  int64_t ldb;
  bool b_transposed;
};

// A layer's parameters, and what brgemm reads of its weight: the right factor of a matmul with W (panel) and with W^T
// (transposed).
template <typename T, typename O>
struct LayerState {
  Activation activation;
  int64_t n_in, n_out, owner;
  bool tied;
  T *weight = nullptr, *bias = nullptr, *padded_bias = nullptr;
  T *first = nullptr, *second = nullptr, *bias_first = nullptr, *bias_second = nullptr;
  O *panel = nullptr, *transposed = nullptr;
  int64_t panel_ld = 0, transposed_ld = 0;
  T *pre = nullptr, *sums = nullptr;
  uint8_t* dropped = nullptr;  // the output's units, of a batch
  O* whole = nullptr;          // the output before them
};

// All layers; outputs[l] is what layer l reads and outputs[l + 1] what it writes, gradients[l] belongs to its
// pre-activation.
template <typename T, typename O>
struct Network {
  static constexpr bool half = std::is_same_v<O, c10::BFloat16>;

  std::vector<LayerState<T, O>> layers;
  std::vector<Form<O>> outputs, gradients;
  CodeTerms<T> code;  // of the first layer
  T* no_slopes = nullptr;
  uint8_t* struck = nullptr;  // the inputs that the corruption of a batch replaced, where errors are weighed by that
  std::vector<at::Tensor> moments;
  Arena parameters, batch;

  int64_t last() const { return static_cast<int64_t>(layers.size()) - 1; }

  void add_layers(const std::vector<DenseLayer>& given) {
    for (size_t i = 0; i < given.size(); ++i) {
      const auto& from = given[i];
      LayerState<T, O> to{};
      to.activation = from.activation;
      to.tied = from.tied_to >= 0;
      to.owner = to.tied ? from.tied_to : static_cast<int64_t>(i);
      const at::Tensor& weight = given[to.owner].weight;
      to.n_out = weight.size(to.tied ? 1 : 0);
      to.n_in = weight.size(to.tied ? 0 : 1);
      to.bias = from.bias.mutable_data_ptr<T>();
      to.padded_bias = parameters.make<T>(padded(to.n_out));
      if (!to.tied) add_weight(to, from.weight);
      to.bias_first = add_moment(from.bias);
      to.bias_second = add_moment(from.bias);
      layers.push_back(to);
    }
  }

  // Buffers for batches of up to `size` rows.
  void add_batch(int64_t size, const Objective& objective) {
    batch.clear();
    outputs.assign(layers.size() + 1, {});
    gradients.assign(layers.size(), {});
    const int64_t blocks = row_blocks(size), rows = blocks * tile_rows;
    outputs[0] = make_form(layers[0].n_in, rows, false, true);
    for (size_t l = 0; l < layers.size(); ++l) {
      auto& layer = layers[l];
      const bool is_last = l + 1 == layers.size();
      const bool next_tied = !is_last && layers[l + 1].tied;
      if (!is_last) outputs[l + 1] = make_form(layer.n_out, rows, half && next_tied, !next_tied);
      gradients[l] = make_form(layer.n_out, rows, half && !layer.tied, layer.tied);
      layer.pre = batch.make<T>(keeps_preactivation(layer.activation) ? rows * padded(layer.n_out) : 0);
      layer.sums = batch.make<T>(blocks * padded(layer.n_out));
      if (!objective.dropout.of_layer(static_cast<int64_t>(l))) continue;
      layer.dropped = batch.make<uint8_t>(rows * padded(layer.n_out));
      layer.whole = batch.make<O>(rows * padded(layer.n_out));
    }
    if (objective.emphasis.given()) struck = batch.make<uint8_t>(rows * outputs[0].ld);
    add_code(objective.penalty, blocks);
  }

  // The penalty sums of the output of layer l in a batch of so many rows; only the first layer's code has penalties.
  CodeTerms<T> code_terms(int64_t l, const CodePenalty& penalty, int64_t rows) const {
    CodeTerms<T> terms;
    terms.slopes = no_slopes;
    if (l > 0) return terms;
    terms = code;
    terms.share = T(1) / static_cast<T>(rows);
    terms.entry = {penalty, static_cast<double>(rows)};
    terms.centred = layers[0].activation == Activation::tanh;
    return terms;
  }

  // y W^T, the gradient with respect to y, and what layer l adds to the gradient of the weight that it uses, in that
  // weight's own orientation. A weight is read in the form that makes it a right factor.
  Product<O> output_product(int64_t l, int64_t batch) const {
    const auto& layer = layers[l];
    const auto& in = outputs[l];
    return with_weight(layer, {batch, layer.n_out, layer.n_in, in.rows, in.ld}, !layer.tied);
  }

  Product<O> input_product(int64_t l, int64_t batch) const {
    const auto& layer = layers[l];
    const auto& gradient = gradients[l];
    return with_weight(layer, {batch, layer.n_in, layer.n_out, gradient.rows, gradient.ld}, layer.tied);
  }

  Product<O> weight_product(int64_t l, int64_t batch) const {
    const auto& layer = layers[l];
    const auto& owner = layers[layer.owner];
    const auto& left = layer.tied ? outputs[l] : gradients[l];
    const auto& right = layer.tied ? gradients[l] : outputs[l];
    Product<O> product{owner.n_out, owner.n_in, batch, left.rows, left.ld, true, right.panel, right.ld, false};
    if constexpr (half) {
      product.a = left.columns;
      product.lda = left.columns_ld;
      product.a_transposed = false;
    }
    return product;
  }

 private:
  Product<O> with_weight(const LayerState<T, O>& layer, Product<O> product, bool transposed) const {
    const auto& owner = layers[layer.owner];
    if constexpr (half) {
      product.b = transposed ? owner.transposed : owner.panel;
      product.ldb = transposed ? owner.transposed_ld : owner.panel_ld;
    } else {
      product.b = owner.weight;
      product.ldb = owner.n_in;
      product.b_transposed = transposed;
    }
    return product;
  }

  void add_code(const CodePenalty& penalty, int64_t blocks) {
    int64_t widest = 0;
    for (const auto& layer : layers) widest = std::max(widest, padded(layer.n_out));
    const int64_t width = padded(layers[0].n_out);
    code = {};
    code.slopes = no_slopes = batch.make<T>(widest);
    if (penalty.has_means()) {
      code.means = batch.make<T>(blocks * width);
      code.complements = batch.make<T>(blocks * width);
      code.slopes = batch.make<T>(width);
    }
    if (!penalty.contracts()) return;
    code.steepness = batch.make<T>(blocks * width);
    code.terms = batch.make<T>(width);
    code.weight_terms = batch.make<T>(width);
  }

  T* add_moment(const at::Tensor& like) {
    moments.push_back(at::zeros(like.sizes(), like.options().requires_grad(false)));
    return moments.back().template mutable_data_ptr<T>();
  }

  void add_weight(LayerState<T, O>& to, const at::Tensor& weight) {
    to.weight = weight.mutable_data_ptr<T>();
    to.first = add_moment(weight);
    to.second = add_moment(weight);
    if constexpr (half) {
      to.transposed_ld = padded(to.n_out);
      to.transposed = parameters.make<O>(2 * padded((to.n_in + 1) / 2) * to.transposed_ld);
      to.panel_ld = padded(to.n_in);
      to.panel = parameters.make<O>(padded(to.n_out) * to.panel_ld);
    }
  }

  Form<O> make_form(int64_t width, int64_t rows, bool columns, bool panel) {
    Form<O> form;
    form.ld = padded(width);
    form.columns_ld = padded(rows);
    form.rows = batch.template make<O>(rows * form.ld);
    if (columns) form.columns = batch.template make<O>(padded(width) * form.columns_ld);
    form.panel = !half ? form.rows : panel ? batch.template make<O>(rows * form.ld) : nullptr;
    return form;
  }
};

}  // namespace stackae::cpu
