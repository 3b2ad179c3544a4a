// Which tiles the passes of a step take.
#pragma once

#include "passes.cuh"

namespace stackae::cuda {

enum class TileSize { small, medium, large };

// The tiles of every pass: of layer l forwards, of layer l + 1 backwards, of the update of all. By sizes and the device
// alone: they decide in which order sums are added.
struct Plan {
  std::vector<TileSize> forward, backward;
  TileSize update = TileSize::small;

  Plan() = default;
  template <typename Layers>
  Plan(const Layers& layers, int64_t rows, bool library) {
    int64_t tiles = 0;
    for (const auto& layer : layers) {
      forward.push_back(library ? TileSize::small : largest_that_fill(rows, layer.n_out));
      if (&layer != &layers.front())
        backward.push_back(library ? TileSize::small : largest_that_fill(rows, layer.n_in));
      if (layer.weight != nullptr) tiles += tiles_of<LargeTile>(layer.n_out, layer.n_in);
    }
    if (!library && tiles >= 2 * multiprocessors()) update = TileSize::large;
  }

 private:
  static bool fill(int64_t tiles) { return 10 * tiles >= 7 * multiprocessors(); }
  static TileSize largest_that_fill(int64_t rows, int64_t columns) {
    if (fill(tiles_of<LargeTile>(rows, columns))) return TileSize::large;
    return fill(tiles_of<MediumTile>(rows, columns)) ? TileSize::medium : TileSize::small;
  }
};

// Calls body with the tile of that size; those of float64 and of passes over the library's matmuls are small.
template <typename number, bool library = false, typename Body>
void with_tile(TileSize size, Body body) {
  if constexpr (sizeof(number) <= 4 && !library) {
    if (size == TileSize::large) return body(LargeTile{});
    if (size == TileSize::medium) return body(MediumTile{});
  }
  body(SmallTile{});
}
template <typename number, bool library, typename Body>
void with_square_tile(TileSize size, Body body) {
  if constexpr (sizeof(number) <= 4 && !library)
    if (size == TileSize::large) return body(LargeTile{});
  body(SmallTile{});
}

template <typename number>
int height_of(TileSize size) {
  int height = 0;
  with_tile<number>(size, [&](auto shape) { height = decltype(shape)::rows; });
  return height;
}

}  // namespace stackae::cuda
