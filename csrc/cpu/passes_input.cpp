// See passes.h: from rows of the source to the first operand, gathered, scaled and corrupted in one pass.
#include "multiversion.h"
#include "noise.h"
#include "operand.h"
#include "passes.h"
#include "read_row.h"

namespace stackae::cpu {
namespace {

// Row 2 i and row 2 i + 1 interleaved; a missing last row counts as zeros.
STACKAE_INLINE void pair_up(const c10::BFloat16* rows, c10::BFloat16* panel, int64_t ld, int64_t begin, int64_t end,
                            int64_t width) {
  const auto* const bits = reinterpret_cast<const uint16_t*>(rows);
  for (int64_t i = begin; i < end; i += 2) {
    const uint16_t *const first = bits + i * ld, *const second = first + ld;
    auto* __restrict const pairs = reinterpret_cast<uint32_t*>(panel) + i / 2 * ld;
    if (i + 1 < end)
      for (int64_t j = 0; j < width; ++j) pairs[j] = first[j] | static_cast<uint32_t>(second[j]) << 16;
    else
      for (int64_t j = 0; j < width; ++j) pairs[j] = first[j];
  }
}
template <typename T>
STACKAE_INLINE void pair_up(const T*, T*, int64_t, int64_t, int64_t, int64_t) {}

// Where a row is made: in the operand itself, or beside it where the operand is bfloat16.
template <typename T>
STACKAE_INLINE T* in_place(T* row, T*) {
  return row;
}
STACKAE_INLINE float* in_place(c10::BFloat16*, float* buffer) { return buffer; }

template <typename T, typename O>
STACKAE_INLINE void gather_rows(const Source& source, const Batch& batch, const Noises& noises, int64_t begin,
                                int64_t end, T* buffer, O* rows, O* panel, int64_t ld) {
  const Corruption corruption = noises.objective.corruption;
  const double dropped = noises.objective.dropout.inputs;
  for (int64_t i = begin; i < end; ++i) {
    if (i + 1 < end) prefetch_row(source, batch.rows[i + 1]);
    T* const row = in_place(rows + i * ld, buffer);
    read_row(source, batch.rows[i], 0, source.width, row);
    corrupt_row(corruption, noises.corruption(), row, batch.first + i, source.width);
    drop_row(dropped, noises.inputs(), row, batch.first + i, source.width);
    write_row(row, rows + i * ld, source.width);
  }
  if (panel != nullptr) pair_up(rows, panel, ld, begin, end, source.width);
}

}  // namespace

#define STACKAE_DEFINE(T, O)                                                                                   \
  void gather_pass(const Source& source, const Batch& batch, const Noises& noises, int64_t begin, int64_t end, \
                   T* buffer, O* rows, O* panel, int64_t ld) {                                                 \
    return STACKAE_AT_LEVEL(gather_rows(source, batch, noises, begin, end, buffer, rows, panel, ld));          \
  }
STACKAE_DEFINE(float, float)
STACKAE_DEFINE(float, c10::BFloat16)
STACKAE_DEFINE(double, double)
#undef STACKAE_DEFINE

}  // namespace stackae::cpu
