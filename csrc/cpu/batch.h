// What a step makes of one batch: its rows, their noise, and what the outputs should be.
#pragma once

#include <cstdint>

#include "../source.h"

namespace stackae::cpu {

// One batch, or the share of it that this process computes: its rows of the source and their number; the place of the
// first of them in the whole batch, by which noise is drawn, and the size of that, by which sums become means.
struct Batch {
  const int64_t* rows;
  int64_t size;
  int64_t first, whole;
};

// The streams of a step's noise, by its number.
struct Noises {
  const Objective& objective;
  int64_t step;

  Stream corruption() const { return stream(objective.layer); }
  Stream inputs() const { return stream(stream_places + objective.layer); }
  Stream units(int64_t l) const { return stream(2 * stream_places + objective.layer + l); }

 private:
  Stream stream(int64_t layer) const {
    return Stream(objective.seed, Purpose::corruption, static_cast<uint32_t>(layer), step);
  }
};

// What the outputs should be: rows of the source, or where there are labels 1 for a row's own and 0 for others. Where
// errors are `weighted`, that of an entry is multiplied by its row's weight, and by the emphasis of entries that were
// struck or of others; one whose target is NaN counts nothing.
template <typename T>
struct Targets {
  Source source;
  const int64_t* labels = nullptr;
  bool weighted;
  const T* weights = nullptr;       // of all rows
  const uint8_t* struck = nullptr;  // entries of the batch
  int64_t struck_ld = 0;
  Emphasis emphasis;

  Targets(const Rows& rows, const Objective& objective)
      : source(rows.targets.defined() ? source_of(rows.targets, rows.target_offset, rows.target_scale)
                                      : source_of(rows)),
        weighted(rows.targets.defined() || rows.weights.defined() || objective.emphasis.given()),
        emphasis(objective.emphasis) {
    if (rows.labels.defined()) labels = rows.labels.const_data_ptr<int64_t>();
    if (rows.weights.defined()) weights = rows.weights.const_data_ptr<T>();
  }
};

}  // namespace stackae::cpu
