// See device.cuh: blocks of fibers.
#include <device.cuh>

#include <algorithm>
#include <memory>
#include <optional>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#error "the emulation switches between fibers by x86-64 instructions"
#endif

// Saves what a call must preserve, gives the stack pointer to *from, and goes on where the stack `to` was left.
asm(R"(
.text
.type stackae_switch, @function
stackae_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size stackae_switch, .-stackae_switch
)");
extern "C" void stackae_switch(void** from, void* to);

namespace stackae::cuda::emulated {
namespace {

constexpr size_t stack_bytes = 1 << 17;
constexpr int warp_size = 32;

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct Fiber {
  Place place;
  State state = State::done;
  void* stack_pointer = nullptr;
  std::unique_ptr<unsigned char[]> stack;
  std::vector<std::pair<void*, const void*>> copies;
  std::vector<size_t> groups;  // where each group of copies ends
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
#endif
};

// One block at a time on one thread of the processor.
class Block {
 public:
  void run(dim3 grid, dim3 size, dim3 number, size_t shared_bytes, const std::function<void()>& thread) {
    thread_ = &thread;
    const int count = static_cast<int>(size.x * size.y * size.z);
    while (static_cast<int>(fibers_.size()) < count) {
      fibers_.emplace_back();
      fibers_.back().stack.reset(new unsigned char[stack_bytes]);
    }
    count_ = count;
    shared_.assign(shared_bytes / sizeof(uint32_t) + 1, 0xffffffffu);  // NaN
    slots_.resize((count + warp_size - 1) / warp_size * warp_size * slot_bytes);
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<unsigned>(i);
      prepare(fibers_[i], {{at % size.x, at / size.x % size.y, at / (size.x * size.y)}, number, size, grid});
    }
    for (bool forwards = true; round(forwards); forwards = !forwards) release();
  }

  Fiber& current() { return *current_; }
  int current_number() const { return static_cast<int>(current_ - fibers_.data()); }
  unsigned char* shared() { return reinterpret_cast<unsigned char*>(shared_.data()); }
  unsigned char* slots() { return slots_.data() + current_number() / warp_size * warp_size * slot_bytes; }

  void wait(State barrier) {
    current_->state = barrier;
    leave();
  }

 private:
  // Runs every thread that can run until it waits; false when all are done.
  bool round(bool forwards) {
    bool alive = false;
    for (int i = 0; i < count_; ++i) {
      Fiber& fiber = fibers_[forwards ? i : count_ - 1 - i];
      if (fiber.state == State::ready) enter(fiber);
      alive = alive || fiber.state != State::done;
    }
    return alive;
  }

  // Barriers at which everyone has arrived; threads that are done are not waited for.
  void release() {
    bool released = release(0, count_, State::at_block_barrier);
    for (int begin = 0; begin < count_; begin += warp_size)
      released = release(begin, std::min(begin + warp_size, count_), State::at_warp_barrier) || released;
    TORCH_CHECK(released,
                "emulated kernel: expected all threads to arrive at one barrier, got threads that wait at "
                "different ones");
  }

  bool release(int begin, int end, State barrier) {
    const auto waits_or_done = [&](const Fiber& f) { return f.state == barrier || f.state == State::done; };
    const auto waits = [&](const Fiber& f) { return f.state == barrier; };
    const auto first = fibers_.begin() + begin, last = fibers_.begin() + end;
    if (!std::all_of(first, last, waits_or_done) || std::none_of(first, last, waits)) return false;
    for (auto each = first; each != last; ++each)
      if (each->state == barrier) each->state = State::ready;
    return true;
  }

  void prepare(Fiber& fiber, const Place& place) {
    fiber.place = place;
    fiber.state = State::ready;
    fiber.copies.clear();
    fiber.groups.clear();
    // 8 beyond a multiple of 16, as a call leaves it.
    auto* const top = reinterpret_cast<void**>(fiber.stack.get() + stack_bytes - 72);
    top[0] = nullptr;  // where begin() would return to
    top[-1] = reinterpret_cast<void*>(&Block::begin);
    std::fill(top - 7, top - 1, nullptr);  // the six registers
    fiber.stack_pointer = top - 7;
  }

  void enter(Fiber& fiber) {
    current_ = &fiber;
#ifdef __SANITIZE_ADDRESS__
    void* own = nullptr;
    __sanitizer_start_switch_fiber(&own, fiber.stack.get(), stack_bytes);
#endif
    stackae_switch(&scheduler_, fiber.stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#endif
  }

  void leave() {
    Fiber& fiber = *current_;
#ifdef __SANITIZE_ADDRESS__
    const bool done = fiber.state == State::done;
    __sanitizer_start_switch_fiber(done ? nullptr : &fiber.fake_stack, own_bottom_, own_size_);
#endif
    stackae_switch(&fiber.stack_pointer, scheduler_);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &own_bottom_, &own_size_);
#endif
  }

  static void begin();

  std::vector<Fiber> fibers_;
  std::vector<uint32_t> shared_;
  std::vector<unsigned char> slots_;
  const std::function<void()>* thread_ = nullptr;
  Fiber* current_ = nullptr;
  void* scheduler_ = nullptr;
  int count_ = 0;
#ifdef __SANITIZE_ADDRESS__
  const void* own_bottom_ = nullptr;
  size_t own_size_ = 0;
#endif
};

thread_local Block block;
std::optional<std::vector<std::function<void()>>> recording;

void Block::begin() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &block.own_bottom_, &block.own_size_);
#endif
  (*block.thread_)();
  block.current_->state = State::done;
  block.leave();
}

}  // namespace

const Place& here() { return block.current().place; }
int lane_number() { return block.current_number() % warp_size; }
void sync_block() { block.wait(State::at_block_barrier); }
void sync_warp() { block.wait(State::at_warp_barrier); }
unsigned char* shared_bytes() { return block.shared(); }
unsigned char* warp_slots() { return block.slots(); }

void copy_later(void* to, const void* from) { block.current().copies.emplace_back(to, from); }
void close_group() { block.current().groups.push_back(block.current().copies.size()); }
void land_copies(int pending) {
  auto& copies = block.current().copies;
  auto& groups = block.current().groups;
  if (static_cast<int>(groups.size()) <= pending) return;
  const auto landing = static_cast<int64_t>(groups[groups.size() - static_cast<size_t>(pending) - 1]);
  for (int64_t i = 0; i < landing; ++i) std::memcpy(copies[i].first, copies[i].second, 16);
  copies.erase(copies.begin(), copies.begin() + landing);
  groups.erase(groups.begin(), groups.end() - pending);
  for (auto& end : groups) end -= static_cast<size_t>(landing);
}

void run(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()>& thread) {
  const auto count = int64_t(grid.x) * grid.y * grid.z;
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<unsigned>(i);
      block.run(grid, size, {at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y)}, shared_bytes, thread);
    }
  });
}

void enqueue(std::function<void()> work) {
  if (recording)
    recording->push_back(std::move(work));
  else
    work();
}

void begin_recording() { recording.emplace(); }

std::vector<std::function<void()>> end_recording() {
  auto work = std::move(*recording);
  recording.reset();
  return work;
}

}  // namespace stackae::cuda::emulated
