// A matmul cut into tiles, each handed on while it is in cache, with scratch for every thread.
#pragma once

#include <type_traits>

#include <c10/util/ArrayRef.h>

#include "network.h"
#include "product.h"

namespace stackae::cpu {

constexpr int64_t scratch_ld = tile_columns + vector_width;  // not a multiple of 1 kB

constexpr int64_t most_tiles = 8;  // one below the other in scratch

template <typename T>
struct Scratch {
  alignas(64) T c[most_tiles * tile_rows * scratch_ld];
  alignas(64) uint32_t pairs[tile_rows * tile_columns];
  Room<T> room;
};

template <typename T, typename O>
class Tiles {
 public:
  T* whole = nullptr;        // logits, where they are not the operand's rows
  double* losses = nullptr;  // of each tile

  // Room for batches of up to `size` rows, on as many threads as given.
  void add_room(const Network<T, O>& network, int64_t size, int threads, Arena& arena) {
    const int64_t blocks = row_blocks(size), width = network.layers[0].n_in;
    int64_t most = 0, tiles = blocks;
    for (const auto& layer : network.layers) {
      if (half) most = std::max(most, blocks * tile_rows * padded(layer.n_out));  // logits
      tiles = std::max({tiles, blocks * stripes_of(size, layer.n_out), blocks * stripes_of(1, layer.n_out),
                        row_blocks(layer.n_out) * stripes_of(layer.n_out, layer.n_in)});
    }
    whole = arena.make<T>(most);
    losses = arena.make<double>(tiles);
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
    for_each_group(first.m, first.n, first.k, most_tiles, [&](const Tile& from, const Tile& to) {
      Scratch<T>& own = scratch();
      T* const group = rows != nullptr ? rows + from.row_begin * ld + from.column_begin : own.c;
      const int64_t group_ld = rows != nullptr ? ld : scratch_ld;
      for (const auto& product : products)
        add_product(product, from, to, group, group_ld, &product != &first, own.room);
      for (int64_t block = from.row_block; block <= to.row_block; ++block)
        body(group + (block - from.row_block) * tile_rows * group_ld, group_ld,
             tile_at(first.m, first.n, block, from.stripe), own.pairs);
    });
  }

  // Calls it for every tile of a matrix that is there, in rows of whole vectors.
  template <typename Body>
  void for_each_of(T* matrix, int64_t rows, int64_t columns, Body body) {
    const int64_t ld = padded(columns);
    used_ = row_blocks(rows) * stripes_of(rows, columns);
    for_each_tile(rows, columns, 1, [&](const Tile& tile) {
      body(matrix + tile.row_begin * ld + tile.column_begin, ld, tile, scratch().pairs);
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

  // c += or = the product, from one tile to another below it.
  void add_product(const Product<O>& p, const Tile& from, const Tile& to, T* c, int64_t ld, bool add, Room<T>& room) {
    const int64_t rows = to.row_end - from.row_begin, columns = from.column_end - from.column_begin;
    if constexpr (half) {
      const int64_t depth = (p.k + 1) / 2 * 2;
      for (int64_t i = 0; i < rows; i += tile_rows)
        brgemm_block(std::min(tile_rows, rows - i), columns, depth, p.a + (from.row_begin + i) * p.lda, p.lda,
                     p.b + 2 * from.column_begin, p.ldb, c + i * ld, ld, add);
    } else {
      const Factor<T> a{p.a, p.lda, p.a_transposed}, b{p.b, p.ldb, p.b_transposed};
      multiply(rows, columns, p.k, a.from(from.row_begin, 0), b.from(0, from.column_begin), c, ld, add, room);
    }
  }

  int64_t used_ = 0, stride_ = 0;
  char* scratch_ = nullptr;
};

}  // namespace stackae::cpu
