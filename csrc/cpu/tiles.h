// A matmul cut into tiles, each handed on while it is in cache, with scratch for every thread.
#pragma once

#include <type_traits>

#include <c10/util/ArrayRef.h>

#include "network.h"
#include "product.h"

namespace stackae::cpu {

constexpr int64_t scratch_ld = tile_columns + vector_width;  // not a multiple of 1 kB

template <typename T>
struct Scratch {
  alignas(64) T c[tile_rows * scratch_ld];
  alignas(64) uint32_t pairs[tile_rows * tile_columns];
};

template <typename T, typename O>
class Tiles {
 public:
  T* whole = nullptr;        // logits, where they are not the operand's rows
  double* losses = nullptr;  // of each tile

  // Room for batches of up to `size` rows, on as many threads as given.
  void add_room(const Network<T, O>& network, int64_t size, int threads, Arena& arena) {
    const int64_t blocks = row_blocks(size), width = network.layers[0].n_in;
    int64_t most = 0, most_tiles = blocks;
    for (const auto& layer : network.layers) {
      if (half) most = std::max(most, blocks * tile_rows * padded(layer.n_out));  // logits
      most_tiles = std::max({most_tiles, blocks * stripes_of(size, layer.n_out), blocks * stripes_of(1, layer.n_out),
                             row_blocks(layer.n_out) * stripes_of(layer.n_out, layer.n_in)});
    }
    whole = arena.make<T>(most);
    losses = arena.make<double>(most_tiles);
    stride_ = sizeof(Scratch<T>) + padded(width) * static_cast<int64_t>(sizeof(T));
    stride_ = (stride_ + 63) / 64 * 64;
    scratch_ = arena.make<char>(threads * stride_);
  }

  // Calls body(c, ld, tile, pairs) for every tile of the sum of the matmuls, which is computed in the rows
  // of the form where it has some of the right type, and in scratch elsewhere.
  template <typename Body>
  void for_each(c10::ArrayRef<Product<O>> products, const Form<O>& form, Body body) {
    const auto& first = products[0];
    T* const rows = own_type(form.rows, nullptr);
    const int64_t ld = padded(first.n);
    used_ = row_blocks(first.m) * stripes_of(first.m, first.n);
    for_each_tile(first.m, first.n, first.k, [&](const Tile& tile) {
      Scratch<T>& own = scratch();
      T* const c = rows != nullptr ? rows + tile.row_begin * ld + tile.column_begin : own.c;
      const int64_t c_ld = rows != nullptr ? ld : scratch_ld;
      for (const auto& product : products) add_product(product, tile, c, c_ld, &product != &first);
      body(c, c_ld, tile, own.pairs);
    });
  }

  // The rows of an operand as numbers of the arithmetic, or what is given where they are of another type.
  static T* own_type(O* rows, T* otherwise) {
    if constexpr (std::is_same_v<T, O>) return rows != nullptr ? rows : otherwise;
    return otherwise;
  }

  // The sum of the losses of the tiles of the last matmul, in order.
  double sum_of_losses() const {
    double total = 0;
    for (int64_t i = 0; i < used_; ++i) total += losses[i];
    return total;
  }
  void use_row_blocks(int64_t rows) { used_ = row_blocks(rows); }

  Scratch<T>& scratch() { return *reinterpret_cast<Scratch<T>*>(scratch_ + thread_number() * stride_); }

  // Beside it, room for a row of the input.
  T* input_row() { return reinterpret_cast<T*>(&scratch() + 1); }

 private:
  static constexpr bool half = Network<T, O>::half;

  void add_product(const Product<O>& p, const Tile& tile, T* c, int64_t ld, bool add) {
    const int64_t rows = tile.row_end - tile.row_begin, columns = tile.column_end - tile.column_begin;
    if constexpr (half) {
      const int64_t depth = (p.k + 1) / 2 * 2;
      brgemm_block(rows, columns, depth, p.a + tile.row_begin * p.lda, p.lda, p.b + 2 * tile.column_begin, p.ldb, c, ld,
                   add);
    } else {
      const Left<T> a{p.a, p.lda, p.a_transposed};
      multiply(rows, columns, p.k, a.from(tile.row_begin, 0), p.b + tile.column_begin, p.ldb, c, ld, add);
    }
  }

  int64_t used_ = 0, stride_ = 0;
  char* scratch_ = nullptr;
};

}  // namespace stackae::cpu
