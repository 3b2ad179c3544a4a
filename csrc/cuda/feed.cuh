// The rows of a training as kernels read them: where they lie, or, for rows in memory, in two places on the device that
// are filled in turn, one while the other is trained on.
#pragma once

#include <limits>

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "memory.cuh"

namespace stackae::cuda {

// The rows of the source, by number, that one network reads in one part of a call.
struct Feed {
  Source source;
  const int64_t* labels;
  const int32_t* rows;  // null: all in their order
};

class RowFeed {
 public:
  explicit RowFeed(const std::vector<Training>& trainings)
      : device_(trainings[0].layers[0].bias.device()), sends_(is_elsewhere(trainings[0].rows.x)) {
    for (const auto& training : trainings) {
      const auto& rows = training.rows;
      TORCH_CHECK_VALUE(sends_ || rows.x.size(0) <= std::numeric_limits<int32_t>::max(),
                        "x: expected at most 2147483647 rows on the device, got ", rows.x.size(0),
                        "; keep more of them in memory");
      rows_.push_back(rows);
      if (!sends_ || !rows.offset.defined()) continue;
      rows_.back().offset = rows.offset.to(device_);
      rows_.back().scale = rows.scale.to(device_);
    }
  }

  // How many rows of each network a part of a call may have; 0: any number.
  int64_t most_rows(int64_t batch_size) const {
    if (!sends_) return 0;
    const auto& x = rows_[0].x;
    const int64_t row_bytes = std::max<int64_t>(1, x.size(1) * x.element_size()) * static_cast<int64_t>(rows_.size());
    return std::max<int64_t>(1, part_bytes() / (row_bytes * batch_size)) * batch_size;
  }

  // Begins to send the rows [begin, end) of the call for part `part`. Its place is free: it was that of part - 2, and
  // receiving part - 1 waited for all that was done with it. So nothing on the way waits for what is being trained.
  void send(const std::vector<Batches>& batches, int64_t part, int64_t begin, int64_t end) {
    if (!sends_) return;
    Place& place = places_[part % 2];
    const bool is_new = place.make(rows_, end - begin, device_);
    for (size_t i = 0; i < rows_.size(); ++i) {
      const int64_t last = std::min(end, batches[i].rows.numel()), count = std::max<int64_t>(0, last - begin);
      if (count == 0) continue;
      const at::Tensor which = batches[i].rows.narrow(0, begin, count);
      at::Tensor x = place.x_here.select(0, static_cast<int64_t>(i)).narrow(0, 0, count);
      at::index_select_out(x, rows_[i].x, 0, which);
      if (!rows_[i].labels.defined()) continue;
      at::Tensor labels = place.labels_here.select(0, static_cast<int64_t>(i)).narrow(0, 0, count);
      at::index_select_out(labels, rows_[i].labels, 0, which);
    }
    const Lane::Scope scope(lane_, /*waits=*/is_new);
    place.x.copy_(place.x_here, /*non_blocking=*/true);
    if (place.labels.defined()) place.labels.copy_(place.labels_here, /*non_blocking=*/true);
  }

  // What the networks read in that part; `lane` goes on once it is there.
  std::vector<Feed> receive(const std::vector<Batches>& batches, int64_t part, const Lane& lane) {
    if (sends_) lane.after(lane_);
    const auto starts = sends_ ? std::vector<int64_t>(batches.size()) : send_numbers(batches);
    std::vector<Feed> feeds;
    for (size_t i = 0; i < rows_.size(); ++i) {
      Rows rows = rows_[i];
      if (sends_) {
        rows.x = places_[part % 2].x.select(0, static_cast<int64_t>(i));
        if (rows.labels.defined()) rows.labels = places_[part % 2].labels.select(0, static_cast<int64_t>(i));
      }
      feeds.push_back({source_of(rows), rows.labels.defined() ? rows.labels.const_data_ptr<int64_t>() : nullptr,
                       sends_ ? nullptr : numbers_.data() + starts[i]});
    }
    return feeds;
  }

 private:
  // Room for the rows of a part: here, from where they are sent, and there.
  struct Place {
    at::Tensor x_here, x, labels_here, labels;

    // Whether there was none before.
    bool make(const std::vector<Rows>& sources, int64_t rows, at::Device device) {
      if (x.defined() && x.size(1) >= rows) return false;
      const auto& first = sources[0];
      const auto count = static_cast<int64_t>(sources.size());
      x_here = staging({count, rows, first.x.size(1)}, first.x.scalar_type());
      x = at::empty(x_here.sizes(), x_here.options().pinned_memory(false).device(device));
      if (first.labels.defined()) {
        labels_here = staging({count, rows}, at::kLong);
        labels = at::empty(labels_here.sizes(), labels_here.options().pinned_memory(false).device(device));
      }
      return true;
    }
  };

  // The numbers of the rows of a call whose rows lie on the device, once for networks that are given the same tensor;
  // where each network's begin.
  std::vector<int64_t> send_numbers(const std::vector<Batches>& batches) {
    std::vector<int32_t> numbers;
    std::vector<int64_t> starts;
    for (size_t i = 0; i < batches.size(); ++i) {
      const auto& rows = batches[i].rows;
      size_t same = 0;
      while (same < i && !(batches[same].rows.const_data_ptr() == rows.const_data_ptr() &&
                           batches[same].rows.numel() == rows.numel()))
        ++same;
      starts.push_back(same < i ? starts[same] : static_cast<int64_t>(numbers.size()));
      const auto* const first = rows.const_data_ptr<int64_t>();
      if (same == i) numbers.insert(numbers.end(), first, first + rows.numel());
    }
    numbers.push_back(0);  // none of them may be nowhere
    numbers_.send(numbers);
    return starts;
  }

  at::Device device_;
  bool sends_;
  std::vector<Rows> rows_;
  Place places_[2];
  Lane lane_;
  Table<int32_t> numbers_{device_};
};

}  // namespace stackae::cuda
