// See pool.h.
#include "pool.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>

#include <ATen/Parallel.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace stackae::cpu {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int most_threads = 256;
constexpr int64_t pieces_per_thread = 8;            // what is left of a share can be taken over in so many pieces
constexpr std::chrono::microseconds patience{200};  // of spinning: between two passes of a small step

thread_local int number = 0;
thread_local bool within = false;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` is not `old`: spins, then sleeps.
template <typename T>
void wait_while(const std::atomic<T>& value, T old) {
  const auto until = Clock::now() + patience;
  do {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (Clock::now() < until);
  value.wait(old, std::memory_order_acquire);
}

// The part of a range that one thread begins with, and others take from when they have done theirs.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// Whether several threads gain on one: compares what passes took with what the calling thread, at the pace of its own
// pieces, would have taken alone.
class Gain {
 public:
  bool is_expected(Clock::time_point now) const { return now >= alone_until_; }

  void add(Clock::duration taken, Clock::duration alone, Clock::time_point now) {
    taken_ += taken;
    alone_ += alone;
    if (taken_ < window) return;
    rest_ = taken_ > alone_ ? std::min(2 * rest_, longest_rest) : shortest_rest;
    if (taken_ > alone_) alone_until_ = now + rest_;
    taken_ = alone_ = {};
  }

 private:
  static constexpr milliseconds window{10}, shortest_rest{25}, longest_rest{800};
  Clock::duration taken_{}, alone_{};
  milliseconds rest_ = shortest_rest;
  Clock::time_point alone_until_{};
};

class Pool {
 public:
  void run(int64_t count, int64_t grain, int threads, const Body& body) {
    const std::unique_lock lock(running_, std::try_to_lock);
    const auto begun = Clock::now();
    if (!lock || !gain_.is_expected(begun)) return body(0, count);
    start(threads);
    piece_ = std::max(grain, count / (threads * pieces_per_thread));
    threads_ = threads;
    for (int t = 0; t < threads; ++t) {
      shares_[t].next.store(count * t / threads, std::memory_order_relaxed);
      shares_[t].end = count * (t + 1) / threads;
    }
    body_.store(&body);
    round_.fetch_add(1);
    round_.notify_all();
    const int64_t own = work(body, 0);
    body_.store(nullptr);  // whoever comes now finds nothing
    const auto done = Clock::now();
    for (int inside = inside_.load(); inside != 0; inside = inside_.load()) wait_while(inside_, inside);
    if (own > 0) {
      const auto now = Clock::now();
      gain_.add(now - begun, (done - begun) * count / own, now);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void start(int threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
    try {
      for (; started_ < threads; ++started_) std::thread(&Pool::serve, this, started_, round_.load()).detach();
    } catch (const std::system_error&) {  // no more threads for this process: the others take their shares over
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void serve(int own, uint32_t seen) {
    number = own;
    within = true;
    for (;;) {
      wait_while(round_, seen);
      seen = round_.load();
      inside_.fetch_add(1);
      if (const Body* const body = body_.load(); body != nullptr && own < threads_) work(*body, own);
      if (inside_.fetch_sub(1) == 1) inside_.notify_all();
    }
  }

  // Computes pieces until none is left to begin; returns the number of items that it computed.
  int64_t work(const Body& body, int own) {
    int64_t items = 0;
    try {
      for (int i = 0; i < threads_; ++i) {
        Share& share = shares_[(own + i) % threads_];
        for (;;) {
          const int64_t begin = share.next.fetch_add(piece_, std::memory_order_relaxed);
          if (begin >= share.end) break;
          const int64_t end = std::min(begin + piece_, share.end);
          body(begin, end);
          items += end - begin;
        }
      }
    } catch (...) {
      const std::scoped_lock lock(failing_);
      if (!error_) error_ = std::current_exception();
      for (int t = 0; t < threads_; ++t) shares_[t].next.store(shares_[t].end, std::memory_order_relaxed);
    }
    return items;
  }

  std::mutex running_, failing_;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> inside_{0};
  std::atomic<const Body*> body_{nullptr};
  Share shares_[most_threads];
  int64_t piece_ = 1;
  int threads_ = 1, started_ = 1;
  std::exception_ptr error_;
  Gain gain_;
};

// Never destroyed: its threads sleep until the process ends. A fork has none of them, and computes alone.
Pool& the_pool() {
  static Pool* const pool = new Pool;
  return *pool;
}

}  // namespace

int thread_number() { return number; }

void share_out(int64_t count, int64_t grain, const Body& body) {
  const int64_t most = std::min<int64_t>({at::get_num_threads(), (count + grain - 1) / grain, most_threads});
  if (most <= 1 || within || at::in_parallel_region()) return body(0, count);
  within = true;
  try {
    the_pool().run(count, grain, static_cast<int>(most), body);
  } catch (...) {
    within = false;
    throw;
  }
  within = false;
}

}  // namespace stackae::cpu
