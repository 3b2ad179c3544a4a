// The interface of native/device.cuh on the host: kernels run as they are written, every thread of a block as a fiber.
//
// For tests on machines without a GPU (make emulate). A block's threads run one after another, each until it waits for
// others, forwards in one round and backwards in the next, so that a missing __syncthreads shows; shared memory begins
// as NaN, so that what nobody wrote shows; asynchronous copies land only when they are waited for. Blocks of a grid
// are shared out over the processor's threads, as a GPU shares them out: in no order.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#define STACKAE_DEVICE_KEY CPU
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define threadIdx (stackae::cuda::emulated::here().thread)
#define blockIdx (stackae::cuda::emulated::here().block)
#define blockDim (stackae::cuda::emulated::here().block_size)
#define gridDim (stackae::cuda::emulated::here().grid_size)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace stackae::cuda {

constexpr at::DeviceType device_type = at::kCPU;

namespace emulated {

struct Place {
  dim3 thread, block, block_size, grid_size;
};

// Of the thread of the kernel that is running.
const Place& here();
void sync_block();
void sync_warp();
unsigned char* shared_bytes();
constexpr int slot_bytes = 64;
unsigned char* warp_slots();  // a slot for each lane of this warp
int lane_number();
void copy_later(void* to, const void* from);
void close_group();
void land_copies(int pending);

void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);

// Runs it, or keeps it while a graph is recorded.
void enqueue(std::function<void()> work);
void begin_recording();
std::vector<std::function<void()>> end_recording();

template <typename T>
struct Warp {
  T lane[32];
};

// What every lane of the warp brings.
template <typename T>
Warp<T> gather_warp(const T& own) {
  static_assert(sizeof(T) <= slot_bytes);
  auto* const slots = warp_slots();
  std::memcpy(slots + lane_number() * slot_bytes, &own, sizeof(T));
  sync_warp();
  Warp<T> all;
  for (int i = 0; i < 32; ++i) std::memcpy(&all.lane[i], slots + i * slot_bytes, sizeof(T));
  sync_warp();
  return all;
}

}  // namespace emulated

inline void __syncthreads() { emulated::sync_block(); }

constexpr bool is_roomy = false;

template <typename T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulated::shared_bytes());
}

inline void copy_async(void* shared, const void* global) { emulated::copy_later(shared, global); }
inline void commit_copies() { emulated::close_group(); }
template <int pending>
void wait_for_copies() {
  emulated::land_copies(pending);
}

// Launches run one after the other.
inline void wait_for_launch_before() {}
inline void let_next_launch_begin() {}

template <typename T>
T from_lane_xor(T value, int bits) {
  return emulated::gather_warp(value).lane[emulated::lane_number() ^ bits];
}

template <bool transposed>
void read_matrices(uint32_t (&words)[4], const void* row) {
  const auto rows = emulated::gather_warp(row);
  const int group = emulated::lane_number() / 4, word = emulated::lane_number() % 4;
  for (int i = 0; i < 4; ++i) {
    uint16_t pair[2];
    for (int half = 0; half < 2; ++half) {
      const int r = transposed ? 2 * word + half : group, c = transposed ? group : 2 * word + half;
      pair[half] = static_cast<const uint16_t*>(rows.lane[8 * i + r])[c];
    }
    std::memcpy(&words[i], pair, sizeof(pair));
  }
}

namespace emulated {

struct Fragments {
  uint32_t a[4], b[2];
};

// d += a b with `entries` numbers a register; number(word, i) is the i-th of them.
template <int entries, typename Number>
void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Number number) {
  const auto all = gather_warp(Fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const int group = lane_number() / 4, column = lane_number() % 4 * 2;
  for (int i = 0; i < 4; ++i) {
    double sum = d[i];
    for (int k = 0; k < 8 * entries; ++k) {
      const int half = k / (4 * entries), lane = k % (4 * entries) / entries;
      const auto& left = all.lane[group * 4 + lane];
      const auto& right = all.lane[(column + i % 2) * 4 + lane];
      sum += static_cast<double>(number(left.a[2 * half + i / 2], k % entries)) *
             static_cast<double>(number(right.b[half], k % entries));
    }
    d[i] = static_cast<float>(sum);
  }
}

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace emulated

inline void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::multiply_add<1>(d, a, b, [](uint32_t word, int) { return emulated::as_float(word & 0xffffe000u); });
}

inline void multiply_add_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::multiply_add<2>(d, a, b, [](uint32_t word, int i) { return emulated::as_float(word >> (16 * i) << 16); });
}

// ---- on the host

struct SharedBytes {
  size_t plain = 0, roomy = 0;
};

template <bool overlaps = false, typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, SharedBytes shared, Arguments... arguments) {
  emulated::enqueue([=] { emulated::run(grid, block, shared.plain, [=] { kernel(arguments...); }); });
}

inline int multiprocessors() { return 4; }

inline void copy_to_device(void* there, const void* here, size_t bytes) { std::memcpy(there, here, bytes); }
inline void copy_to_host(void* here, const void* there, size_t bytes) { std::memcpy(here, there, bytes); }

// STACKAE_EMULATED_ELSEWHERE: rows count as lying on another device, so that sending them over is tested too.
inline int64_t part_bytes() { return 1 << 14; }
inline bool is_elsewhere(const at::Tensor&) { return std::getenv("STACKAE_EMULATED_ELSEWHERE") != nullptr; }

inline at::Tensor staging(at::IntArrayRef sizes, at::ScalarType type) { return at::empty(sizes, type); }

// Everything is done when it is asked for, so there is nothing to wait for.
class Lane {
 public:
  class Scope {
   public:
    explicit Scope(const Lane&, bool = true) {}
    ~Scope() {}
  };
  void after(const Lane&) const {}
};

class Graph {
 public:
  explicit operator bool() const { return !work_.empty(); }

  template <typename Body>
  static Graph record(Body body) {
    Graph graph;
    emulated::begin_recording();
    body();
    graph.work_ = emulated::end_recording();
    return graph;
  }

  void replay() const {
    for (const auto& work : work_) work();
  }

 private:
  std::vector<std::function<void()>> work_;
};

class Blas {
 public:
  void prepare() {}
  void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add, bool) const {
    emulated::enqueue([=] {
      const auto product = at::mm(a.to(out.scalar_type()), b.to(out.scalar_type()));
      add ? out.add_(product) : out.copy_(product);
    });
  }
};

}  // namespace stackae::cuda
