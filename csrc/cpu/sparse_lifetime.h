// Lifetime sparsity: of each unit, the rows of the batch in which it is largest. A block of units meets all rows at
// once, so that each unit is selected where its values lie, by one thread; of equal values the lower row is kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "sparse_selection.h"

namespace stackae::cpu {

template <typename T>
class Lifetime {
 public:
  Lifetime(double share, int64_t n_hidden) : share_(share), n_hidden_(n_hidden) {}

  // How many rows of a batch a unit keeps; halves go to the even number, as in Python.
  int64_t kept(int64_t size) const {
    return std::max<int64_t>(1, static_cast<int64_t>(std::nearbyint(share_ * static_cast<double>(size))));
  }

  void add_room(int64_t size, int threads, Arena& arena) {
    ld_ = padded(size);
    wide_ = arena.make<T>(threads * wide_numbers());
    hits_ = arena.make<uint8_t>(threads * tile_rows * ld_);
    floors_ = arena.make<T>(size);
    std::fill_n(floors_, size, -std::numeric_limits<T>::infinity());
    rows_ = arena.make<int32_t>(n_hidden_ * kept(size));
    pre_ = arena.make<T>(n_hidden_ * kept(size));
  }

  // The code of a batch: product(begin, end, c, ld) writes W x^T of these units into c (units, rows).
  template <typename Product>
  void select(int64_t size, const T* bias, Activation activation, SparseCode<T>& code, Product product) {
    parallel_for(row_blocks(n_hidden_), 1, [&](int64_t first, int64_t last) {
      const FlushDenormals flush;
      T* const c = wide_ + thread_number() * wide_numbers();
      T *const other = c + tile_rows * ld_, *const order = other + tile_rows * ld_;
      T* const ranks = keeps_preactivation(activation) ? other : c;
      for (int64_t begin = first * tile_rows; begin < std::min(last * tile_rows, n_hidden_); begin += tile_rows) {
        const int64_t end = std::min(begin + tile_rows, n_hidden_);
        product(begin, end, c, ld_);
        sift_pass(c, ranks, ld_, bias + begin, activation, floors_, hits_ + thread_number() * tile_rows * ld_,
                  end - begin, size);
        for (int64_t j = begin; j < end; ++j) keep(j, c + (j - begin) * ld_, ranks + (j - begin) * ld_, order, size);
      }
    });
    by_rows(size, code);
  }

 private:
  int64_t wide_numbers() const {
    return (2 * tile_rows + 1) * ld_;
  }  // pre-activations, ranks, and an order of one unit

  // NaN is the largest, so that it reaches the loss.
  static T finite_rank(T rank) { return rank == rank ? rank : std::numeric_limits<T>::infinity(); }

  // The largest of a unit's values, in the order of rows.
  void keep(int64_t j, const T* c, T* ranks, T* order, int64_t size) {
    const int64_t count = kept(size);
    std::transform(ranks, ranks + size, order, finite_rank);
    std::nth_element(order, order + count - 1, order + size, std::greater<T>());
    const T least = order[count - 1];
    int64_t equal = count - std::count_if(order, order + count, [=](T rank) { return rank > least; });
    int64_t at = j * count;
    for (int64_t i = 0; at < (j + 1) * count; ++i) {
      const T rank = finite_rank(ranks[i]);
      if (rank < least || (rank == least && equal-- <= 0)) continue;
      rows_[at] = static_cast<int32_t>(i);
      pre_[at++] = c[i];
    }
  }

  // The entries row by row, by a counting sort; starts[i + 1] counts, and then is where the next of row i goes.
  void by_rows(int64_t size, SparseCode<T>& code) {
    const int64_t count = kept(size);
    std::fill_n(code.starts, size + 1, int64_t(0));
    for (int64_t e = 0; e < n_hidden_ * count; ++e) ++code.starts[rows_[e] + 1];
    for (int64_t i = 0; i < size; ++i) code.starts[i + 1] += code.starts[i];
    for (int64_t j = n_hidden_ - 1; j >= 0; --j)
      for (int64_t e = j * count; e < (j + 1) * count; ++e) {
        const int64_t to = --code.starts[rows_[e] + 1];
        code.units[to] = static_cast<int32_t>(j);
        code.kept[to] = pre_[e];
      }
    for (int64_t i = 0; i < size; ++i) code.starts[i] = code.starts[i + 1];
    code.starts[size] = n_hidden_ * count;
  }

  const double share_;
  const int64_t n_hidden_;
  int64_t ld_ = 0;
  T *wide_ = nullptr, *floors_ = nullptr, *pre_ = nullptr;
  uint8_t* hits_ = nullptr;
  int32_t* rows_ = nullptr;
};

}  // namespace stackae::cpu
