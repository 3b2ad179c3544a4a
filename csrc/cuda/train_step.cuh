// The training step of networks of one shape on the device: the passes of a step recorded once as a graph, and replayed
// for as many steps as a call has, without synchronizing with the host.
//
// Contract: the bits of a network do not depend on the others, nor on how calls are cut; every sum has a fixed order; a
// batch whose loss is not finite moves nothing, and a parameter that would not be finite, or whose moments would not,
// stays. Steps of narrow networks multiply in tiles of their own, with the pass in the tile; those of wide ones by the
// library, with one pass over each result.
#pragma once

#include "../step_checks.h"
#include "../versions.h"
#include "feed.cuh"
#include "library.cuh"
#include "passes_backward.cuh"
#include "passes_forward.cuh"
#include "passes_update.cuh"
#include "plan.cuh"

namespace stackae::cuda {

constexpr int64_t steps_a_graph = 16;

template <typename A>
class DeviceStep final : public TrainStep {
 public:
  using number = typename A::number;
  using operand = typename A::operand;

  DeviceStep(std::vector<Training> trainings, bool library)
      : trainings_(std::move(trainings)), library_(library), versions_(trainings_.size()), feed_(trainings_) {
    for (const auto& network : trainings_) {
      memory_.emplace_back(network.layers, library);
      contracts_ |= network.objective.penalty.contracts();
    }
  }

  std::vector<Progress> advance(const std::vector<Batches>& batches, int64_t batch_size, int64_t step) override {
    check_advance(trainings_, batches, batch_size, step);
    int64_t count = 0;
    for (const auto& each : batches) count = std::max(count, each.rows.numel());
    std::vector<CallState> states;
    for (const auto& each : batches) states.push_back({0, 0, 0, each.total, {0, 0}, 0, 0});
    if (count == 0) return progress_of(states);
    const c10::DeviceGuard guard(device());
    const Lane::Scope scope(lane_);
    if (library_) blas_.prepare();
    prepare(std::min(batch_size, std::max(count, most_rows())));
    refresh();
    states_.send(states);
    const int64_t most = feed_.most_rows(batch_size), part = most == 0 ? count : most;
    feed_.send(batches, 0, 0, std::min(part, count));
    for (int64_t begin = 0; begin < count; begin += part) {
      const int64_t end = std::min(begin + part, count);
      describe(batches, batch_size, step, begin, end, part);  // waits for the part before
      run((end - begin + batch_size - 1) / batch_size);
      if (end < count) feed_.send(batches, end / part, end, std::min(end + part, count));
    }
    states = states_.receive(static_cast<int64_t>(trainings_.size()));
    for (size_t i = 0; i < trainings_.size(); ++i) versions_[i].moved(trainings_[i].layers);
    return progress_of(states);
  }

  std::vector<std::vector<at::Tensor>> moments() const override {
    std::vector<std::vector<at::Tensor>> all;
    for (const auto& each : memory_) all.push_back(each.moments);
    return all;
  }

 private:
  at::Device device() const { return trainings_[0].layers[0].bias.device(); }
  int last() const { return static_cast<int>(trainings_[0].layers.size()) - 1; }

  // Of any network's data. Room is made for whole batches of them even where a call begins with a short one: which
  // tiles are taken, and with it the bits, must not depend on where a pass was cut.
  int64_t most_rows() const {
    int64_t most = 0;
    for (const auto& network : trainings_) most = std::max(most, network.rows.x.size(0));
    return most;
  }

  static std::vector<Progress> progress_of(const std::vector<CallState>& states) {
    std::vector<Progress> all;
    for (const auto& each : states) all.push_back(each.progress());
    return all;
  }

  // Everything is there for batches of this many rows; where it was not, graphs are recorded anew.
  void prepare(int64_t rows) {
    if (rows <= rows_) return;
    rows_ = rows;
    warm_ = false;
    forget_graphs();
    plan_ = Plan(memory_[0].layers, rows, library_);
    batch_.clear();
    std::vector<LayerData<A>> layers;
    for (auto& each : memory_) {
      each.add_batch(rows);
      for (size_t l = 0; l < each.layers.size(); ++l) {
        const bool softmax = l + 1 == each.layers.size() && is_classifier();
        const int height = softmax
                               ? SmallTile::rows
                               : height_of<number>(l < plan_.backward.size() ? plan_.backward[l] : plan_.forward[l]);
        each.layers[l].sum_blocks = static_cast<int>((rows + height - 1) / height);
      }
      layers.insert(layers.end(), each.layers.begin(), each.layers.end());
    }
    layers_.send(layers);
    add_statistics();
  }

  bool is_classifier() const { return trainings_[0].objective.loss == Loss::cross_entropy; }

  void add_statistics() {
    statistics_.clear();
    const auto& layers = memory_[0].layers;
    const int64_t code = padded(layers[0].n_out), classes = is_classifier() ? layers.back().n_out : 0;
    const int64_t blocks = row_blocks<SmallTile>(rows_);
    int64_t losses = 0, code_losses = 0, code_blocks = 0;
    with_tile<number>(plan_.forward.back(),
                      [&](auto shape) { losses = tiles_of<decltype(shape)>(rows_, layers.back().n_out); });
    with_tile<number>(plan_.forward[0], [&](auto shape) {
      code_losses = tiles_of<decltype(shape)>(rows_, layers[0].n_out);
      code_blocks = row_blocks<decltype(shape)>(rows_);
    });
    for (size_t i = 0; i < trainings_.size(); ++i) {
      NetworkData<A> data{};
      data.x = memory_[i].x;
      data.x_turn = memory_[i].x_turn;
      data.objective = trainings_[i].objective;
      data.means = batch_.template make<number>(blocks * code);
      data.complements = batch_.template make<number>(blocks * code);
      data.steepness = batch_.template make<number>(blocks * code);
      data.norms = batch_.template make<number>(code);
      data.logits = batch_.template make<number>(padded(rows_) * padded(classes));
      data.losses_count = static_cast<int>(is_classifier() ? blocks : losses);
      data.code_losses_count = static_cast<int>(code_losses);
      data.code_blocks = static_cast<int>(code_blocks);
      data.losses = batch_.template make<double>(data.losses_count);
      data.code_losses = batch_.template make<double>(code_losses);
      statistics_.push_back(data);
    }
  }

  // Parameters that were changed from outside are read anew.
  void refresh() {
    for (size_t i = 0; i < trainings_.size(); ++i) {
      if (!versions_[i].changed(trainings_[i].layers)) continue;
      for (const auto& layer : memory_[i].layers)
        if (layer.weight != nullptr && (layer.panel != nullptr || layer.transposed != nullptr))
          launch(panel_kernel<A>, blocks_for(layer.n_out * layer.n_in), threads_per_block, {}, layer);
    }
  }

  // Tells the kernels of rows [begin, end) of the call.
  void describe(const std::vector<Batches>& batches, int64_t batch_size, int64_t step, int64_t begin, int64_t end,
                int64_t part) {
    const auto feeds = feed_.receive(batches, begin / part, lane_);
    const int64_t first = begin / batch_size, steps = (end - begin + batch_size - 1) / batch_size;
    std::vector<OptimizerScalars<number>> scalars(trainings_.size() * 2 * steps);
    auto described = statistics_;
    for (size_t i = 0; i < trainings_.size(); ++i) {
      const auto& given = trainings_[i];
      const auto& rates = batches[i].learning_rates;
      for (int64_t s = 0; s < steps && first + s < static_cast<int64_t>(rates.size()); ++s)
        for (int bias = 0; bias < 2; ++bias)
          scalars[2 * (i * steps + s) + bias] = {given.update, rates[first + s], step + first + s, bias == 0};
      auto& to = described[i];
      to.source = feeds[i].source;
      to.labels = feeds[i].labels;
      to.rows = feeds[i].rows;
      to.count = std::max<int64_t>(0, std::min(end, batches[i].rows.numel()) - begin);
      to.first_step = step + first;
    }
    const auto* const sent = scalars_.send(scalars);
    for (size_t i = 0; i < trainings_.size(); ++i) {
      described[i].scalars = sent + 2 * i * steps;
      described[i].state = states_.data() + i;
    }
    network_table_.send(described);
    const auto count = static_cast<int64_t>(trainings_.size());
    launch(begin_kernel, blocks_for(count), threads_per_block, {}, states_.data(), count);
    const int64_t before = networks_.batch_size;
    networks_ = {network_table_.data(),
                 layers_.data(),
                 last() + 1,
                 std::min(batch_size, rows_),
                 trainings_[0].objective.loss,
                 trainings_[0].update.rule,
                 trainings_[0].update.momentum != 0};
    if (networks_.batch_size != before) forget_graphs();
  }

  // The first step of all is launched as it is: it makes the library and the driver load what they need.
  void run(int64_t steps) {
    if (!library_) launch_gather();  // every step gathers the rows of the next
    int64_t step = 0;
    if (!warm_) {
      one_step(0);
      warm_ = true;
      step = 1;
    }
    while (step < steps) {
      const int turn = static_cast<int>(step % 2);
      if (turn == 0 && step + steps_a_graph <= steps) {
        if (!many_)
          many_ = Graph::record([&] {
            for (int i = 0; i < steps_a_graph; ++i) one_step(i % 2);
          });
        many_.replay();
        step += steps_a_graph;
      } else {
        if (!one_[turn]) one_[turn] = Graph::record([&] { one_step(turn); });
        one_[turn].replay();
        ++step;
      }
    }
  }

  void forget_graphs() {
    one_[0] = Graph();
    one_[1] = Graph();
    many_ = Graph();
  }

  void one_step(int turn) {
    if (library_)
      enqueue<true>(turn);
    else
      enqueue<false>(turn);
  }

  template <bool library>
  void enqueue(int turn) {
    const auto& layers = memory_[0].layers;
    if constexpr (library) launch_gather();
    if (contracts_) launch<true>(norms_kernel<A>, each_network(layers[0].n_out), tile_threads, {}, networks_);
    for (int l = 0; l < last(); ++l) launch_forward<library, Forward>(l, turn);
    if (is_classifier()) {
      launch_forward<library, Logits>(last(), turn);
      launch<true>(softmax_kernel<A, SmallTile>, each_network(row_blocks<SmallTile>(rows_)), tile_threads, {},
                   networks_, last());
    } else {
      launch_forward<library, Output>(last(), turn);
    }
    for (int l = last(); l > 0; --l) launch_backward<library>(l);
    launch_update<library>();
  }

  void launch_gather() {
    launch<true>(gather_kernel<A>, each_network(gathering_blocks()), tile_threads, {}, networks_);
  }

  // Two blocks of the generator per thread.
  int64_t gathering_blocks() const {
    const int64_t chunks = (memory_[0].layers[0].n_in + chunk_words - 1) / chunk_words;
    const int64_t draws = padded(networks_.batch_size) * chunks * chunk_blocks;
    return (draws + 2 * tile_threads - 1) / (2 * tile_threads);
  }

  struct Forward {
    template <typename Shape, bool library>
    static constexpr auto kernel = forward_kernel<A, Shape, library>;
  };
  struct Logits {
    template <typename Shape, bool library>
    static constexpr auto kernel = logits_kernel<A, Shape, library>;
  };
  struct Output {
    template <typename Shape, bool library>
    static constexpr auto kernel = output_kernel<A, Shape, library>;
  };

  // A pass over the matmul of layer l, (rows, n_out).
  template <bool library, typename Pass>
  void launch_forward(int l, int turn) {
    if constexpr (library)
      for (const auto& network : memory_) products().forward(network, l);
    with_tile<number, library>(plan_.forward[l], [&](auto shape) {
      using Shape = decltype(shape);
      launch<true>(Pass::template kernel<Shape, library>,
                   each_network(tiles_of<Shape>(rows_, memory_[0].layers[l].n_out)), tile_threads,
                   shared_bytes<Shape, library>(/*outer=*/false), networks_, l, turn);
    });
  }

  // A pass over the matmul of the gradient of layer l, (rows, n_in).
  template <bool library>
  void launch_backward(int l) {
    if constexpr (library)
      for (const auto& network : memory_) products().backward(network, l);
    with_tile<number, library>(plan_.backward[l - 1], [&](auto shape) {
      using Shape = decltype(shape);
      launch<true>(backward_kernel<A, Shape, library>, each_network(tiles_of<Shape>(rows_, memory_[0].layers[l].n_in)),
                   tile_threads, shared_bytes<Shape, library>(/*outer=*/false), networks_, l);
    });
  }

  template <bool library>
  void launch_update() {
    const auto& layers = memory_[0].layers;
    const int gathering = library ? 0 : static_cast<int>(gathering_blocks());
    with_square_tile<number, library>(plan_.update, [&](auto shape) {
      using Shape = decltype(shape);
      int64_t blocks = gathering + 1;
      for (size_t l = 0; l < layers.size(); ++l) {
        blocks += (layers[l].n_out + tile_threads - 1) / tile_threads;
        if (layers[l].weight == nullptr) continue;
        blocks += tiles_of<Shape>(layers[l].n_out, layers[l].n_in);
        if constexpr (library)
          for (const auto& network : memory_) products().weight(network, static_cast<int64_t>(l));
      }
      launch<true>(update_kernel<A, Shape, library>, each_network(blocks), tile_threads,
                   shared_bytes<Shape, library>(/*outer=*/true), networks_, gathering);
    });
  }

  LibraryProducts<A> products() const { return {blas_, device(), rows_}; }

  dim3 each_network(int64_t blocks) const {
    return {static_cast<unsigned>(blocks), 1, static_cast<unsigned>(trainings_.size())};
  }

  template <typename Shape, bool library>
  static SharedBytes shared_bytes(bool outer) {
    if constexpr (library) return {};
    using Product = TileProduct<A, Shape>;
    return {Product::shared_bytes(outer, /*roomy=*/false), Product::shared_bytes(outer, /*roomy=*/true)};
  }

  const std::vector<Training> trainings_;
  const bool library_;
  std::vector<Versions> versions_;
  RowFeed feed_;
  std::vector<LayerMemory<A>> memory_;
  Arena batch_{device()};
  Table<LayerData<A>> layers_{device()};
  Table<NetworkData<A>> network_table_{device()};
  Table<OptimizerScalars<number>> scalars_{device()};
  Table<CallState> states_{device()};
  std::vector<NetworkData<A>> statistics_;
  Networks<A> networks_{};
  Lane lane_;
  Blas blas_;
  Graph one_[2], many_;  // a step by its turn, and steps_a_graph of them from an even one on
  int64_t rows_ = 0;
  Plan plan_;
  bool warm_ = false, contracts_ = false;
};

}  // namespace stackae::cuda
