// See passes.h: entries that noise strikes: which they are, and what dropout makes of a layer's output.
#include "multiversion.h"
#include "noise.h"
#include "operand.h"
#include "passes.h"

namespace stackae::cpu {
namespace {

template <typename T>
STACKAE_INLINE void thin_row(T* __restrict c, const uint8_t* __restrict struck, T scale, int64_t width) {
  for (int64_t j = 0; j < width; ++j) c[j] = struck[j] != 0 ? T(0) : c[j] * scale;
}

// A copy of the row before it is thinned out; the operand's own row was written by the pass before, where it is of
// another type.
template <typename T>
STACKAE_INLINE void keep_row(const T* row, T* whole, int64_t width) {
  std::copy_n(row, width, whole);
}
STACKAE_INLINE void keep_row(const float*, c10::BFloat16*, int64_t) {}

template <typename T, typename O>
STACKAE_INLINE void drop_tile(T* c, int64_t ld, const uint8_t* struck, O* whole, O* rows, int64_t rows_ld, T scale,
                              const Tile& tile) {
  const int64_t width = (tile.column_end - tile.column_begin + vector_width - 1) / vector_width * vector_width;
  for (int64_t i = tile.row_begin; i < tile.row_end; ++i) {
    const int64_t at = i * rows_ld + tile.column_begin;
    T* const row = c + (i - tile.row_begin) * ld;
    if (whole != nullptr) keep_row(row, whole + at, width);
    thin_row(row, struck + at, scale, width);
    if (rows != nullptr) write_row(row, rows + at, width);
  }
}

STACKAE_INLINE void strike_rows(float level, const Stream& stream, int64_t first, int64_t begin, int64_t end,
                                int64_t width, uint8_t* struck) {
  for (int64_t i = begin; i < end; ++i) strike_row(level, stream, struck + i * padded(width), first + i, width);
}

}  // namespace

#define STACKAE_DEFINE(T, O)                                                                           \
  void drop_pass(T* c, int64_t ld, const uint8_t* struck, O* whole, O* rows, int64_t rows_ld, T scale, \
                 const Tile& tile) {                                                                   \
    return STACKAE_AT_LEVEL(drop_tile(c, ld, struck, whole, rows, rows_ld, scale, tile));              \
  }
STACKAE_DEFINE(float, float)
STACKAE_DEFINE(float, c10::BFloat16)
STACKAE_DEFINE(double, double)
#undef STACKAE_DEFINE

void strike(double rate, const Stream& stream, const Batch& batch, int64_t width, uint8_t* struck) {
  parallel_for(batch.size, std::max<int64_t>(1, smallest_parallel_size / (8 * width)), [&](int64_t begin, int64_t end) {
    STACKAE_AT_LEVEL(strike_rows(static_cast<float>(rate), stream, batch.first, begin, end, width, struck));
  });
}

}  // namespace stackae::cpu
