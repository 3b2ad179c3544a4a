// The units that stay active: the K largest of each row, or the K * rows largest of a batch, while the values of all
// units go by in tiles.
//
// A thread keeps, per row or for the batch, a list of the best so far and the value that a unit must reach (its floor).
// A list that is full is cut to its K best. The order is total, by value and then by place, the lower place first: what
// is kept does not depend on how the units were shared out over threads.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "network.h"
#include "parallel.h"
#include "sparse_passes.h"

namespace stackae::cpu {

// rank is what units are ordered by, f(kept); kept, the pre-activation; place is row * n_hidden + unit.
template <typename T>
struct Candidate {
  T rank, kept;
  int64_t place;

  bool operator<(const Candidate& other) const {
    return rank > other.rank || (rank == other.rank && place < other.place);
  }
};

// A sparse code, row by row with units in their order; and unit by unit with rows in theirs.
template <typename T>
struct SparseCode {
  int64_t *starts = nullptr, *unit_starts = nullptr;  // of each row's, and of each unit's entries
  int32_t *units = nullptr, *rows = nullptr;
  T *kept = nullptr, *values = nullptr, *slopes = nullptr;  // a, f(a) and f'(a), row by row
  T *unit_values = nullptr, *unit_slopes = nullptr;

  void add_room(int64_t size, int64_t entries, int64_t n_hidden, Arena& arena) {
    starts = arena.make<int64_t>(size + 1);
    unit_starts = arena.make<int64_t>(n_hidden + 2);
    units = arena.make<int32_t>(entries);
    rows = arena.make<int32_t>(entries);
    for (T** const each : {&kept, &values, &slopes, &unit_values, &unit_slopes}) *each = arena.make<T>(entries);
  }

  UnitEntries<T> of_unit(int64_t j) const {
    const int64_t first = unit_starts[j];
    return {rows + first, unit_values + first, unit_slopes + first, unit_starts[j + 1] - first};
  }

  // The entries unit by unit, by a counting sort; starts[j + 1] counts, and then is where the next of unit j goes.
  void transpose(int64_t size, int64_t n_hidden) {
    std::fill_n(unit_starts, n_hidden + 2, int64_t(0));
    for (int64_t e = 0; e < starts[size]; ++e) ++unit_starts[units[e] + 2];
    for (int64_t j = 0; j < n_hidden; ++j) unit_starts[j + 2] += unit_starts[j + 1];
    for (int64_t i = 0; i < size; ++i)
      for (int64_t e = starts[i]; e < starts[i + 1]; ++e) {
        const int64_t to = unit_starts[units[e] + 1]++;
        rows[to] = static_cast<int32_t>(i);
        unit_values[to] = values[e];
        unit_slopes[to] = slopes[e];
      }
  }
};

template <typename T>
class Selection {
 public:
  Selection(int64_t keeps, bool over_batch, int64_t n_hidden)
      : keeps_(keeps), over_batch_(over_batch), n_hidden_(n_hidden) {}

  // Room for batches of up to `size` rows, on as many threads as given.
  void add_room(int64_t size, int threads, Arena& arena) {
    threads_ = threads;
    groups_ = over_batch_ ? 1 : size;
    capacity_ = std::min(2 * keeps_ * (size / groups_) + least_spare, n_hidden_ * (size / groups_));
    lists_ = arena.make<Candidate<T>>(threads * groups_ * capacity_);
    counts_ = arena.make<int64_t>(threads * groups_);
    floors_ = arena.make<T>(threads * size);
    floors_ld_ = size;
  }

  // Of a batch of so many rows, `keeps` units are kept, at the most those that there is room for.
  void begin(int64_t size, int64_t keeps) {
    size_ = size;
    kept_ = keeps * (over_batch_ ? size : 1);
    std::fill_n(counts_, threads_ * groups_, int64_t(0));
    std::fill_n(floors_, threads_ * floors_ld_, -std::numeric_limits<T>::infinity());
  }

  // A tile of pre-activations c (units, rows), whose rows are units, as is bias; ranks is c itself where f rises
  // everywhere.
  void sift(T* c, T* ranks, int64_t ld, const T* bias, Activation activation, uint8_t* hits, const Tile& tile) {
    const int thread = thread_number();
    const int64_t units = tile.row_end - tile.row_begin, rows = tile.column_end - tile.column_begin;
    sift_pass(c, ranks, ld, bias, activation, floors_ + thread * floors_ld_ + tile.column_begin, hits, units, rows);
    for (int64_t u = 0; u < units; ++u)
      for (int64_t j = 0; j < rows; j += 8) {
        uint64_t some;
        std::memcpy(&some, hits + u * ld + j, 8);
        for (int64_t i = j; some != 0 && i < std::min(j + 8, rows); ++i)
          if (hits[u * ld + i] != 0) {
            const int64_t row = tile.column_begin + i, at = u * ld + i;
            offer(thread, row, {finite_rank(ranks[at]), c[at], row * n_hidden_ + tile.row_begin + u});
          }
      }
  }

  // Of such a tile after its bias was added, the units that are among `these`, by their pre-activations.
  void sift_these(const uint8_t* these, T* c, int64_t ld, uint8_t* hits, Tile tile) {
    constexpr T no_bias[tile_rows] = {};
    const int64_t first = tile.row_begin, end = tile.row_end;
    while (tile.row_begin < end) {
      tile.row_end = tile.row_begin + 1;
      const bool wanted = these[tile.row_begin] != 0;
      while (tile.row_end < end && (these[tile.row_end] != 0) == wanted) ++tile.row_end;
      T* const rows = c + (tile.row_begin - first) * ld;
      if (wanted) sift(rows, rows, ld, no_bias, Activation::linear, hits, tile);
      tile.row_begin = tile.row_end;
    }
  }

  // What all threads have kept, as the code's units and pre-activations.
  void finish(SparseCode<T>& code) {
    parallel_for(over_batch_ ? 1 : size_, 16, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        for (int other = 1; other < threads_; ++other)
          for (int64_t i = 0; i < count(other, group); ++i) offer(0, group, list(other, group)[i]);
        if (count(0, group) > kept_) cut(0, group);
        Candidate<T>* const own = list(0, group);
        std::sort(own, own + kept_, [](const auto& a, const auto& b) { return a.place < b.place; });
        for (int64_t i = 0; i < kept_; ++i) {
          code.units[group * kept_ + i] = static_cast<int32_t>(own[i].place % n_hidden_);
          code.kept[group * kept_ + i] = own[i].kept;
        }
      }
    });
    for (int64_t i = 0; i <= size_; ++i) code.starts[i] = over_batch_ ? 0 : i * kept_;
    if (!over_batch_) return;
    for (int64_t i = 0; i < kept_; ++i) ++code.starts[list(0, 0)[i].place / n_hidden_ + 1];
    for (int64_t i = 0; i < size_; ++i) code.starts[i + 1] += code.starts[i];
  }

 private:
  static constexpr int64_t least_spare = 16;

  Candidate<T>* list(int thread, int64_t group) { return lists_ + (thread * groups_ + group) * capacity_; }
  int64_t& count(int thread, int64_t group) { return counts_[thread * groups_ + group]; }

  // NaN is the largest, so that it reaches the loss.
  static T finite_rank(T rank) { return rank == rank ? rank : std::numeric_limits<T>::infinity(); }

  void offer(int thread, int64_t row, const Candidate<T>& one) {
    if (one.rank < floors_[thread * floors_ld_ + row]) return;
    const int64_t group = over_batch_ ? 0 : row;
    int64_t& n = count(thread, group);
    if (n == capacity_) cut(thread, group);
    list(thread, group)[n++] = one;
  }

  // To the kept_ best, the last of which is the new floor.
  void cut(int thread, int64_t group) {
    Candidate<T>* const own = list(thread, group);
    std::nth_element(own, own + kept_ - 1, own + count(thread, group));
    count(thread, group) = kept_;
    T* const floors = floors_ + thread * floors_ld_;
    if (over_batch_)
      std::fill_n(floors, size_, own[kept_ - 1].rank);
    else
      floors[group] = own[kept_ - 1].rank;
  }

  const int64_t keeps_;
  const bool over_batch_;
  const int64_t n_hidden_;
  int threads_ = 0;
  int64_t groups_ = 0, capacity_ = 0, floors_ld_ = 0, size_ = 0, kept_ = 0;
  Candidate<T>* lists_ = nullptr;
  int64_t* counts_ = nullptr;
  T* floors_ = nullptr;
};

}  // namespace stackae::cpu
