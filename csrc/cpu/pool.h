// A pool of threads for the passes of a training step, in place of OpenMP's, which torch's ops use.
//
// OpenMP gives each thread a fixed share and lets those that are done spin until the last one is. Where another process
// has a core, its thread waits for that core with work left, and has spent its claim to it by spinning: two threads are
// then slower than one. Here a thread that has done its own share takes over what others have not begun, nobody waits
// for a thread that did not come, and a thread without work spins for a fifth of a millisecond before it sleeps. What
// remains is to wait for threads that lost their core amid a piece: where passes take longer than the calling thread
// would have needed alone, it computes alone for a while, and then tries again.
//
// The pieces of a range depend on its size and the number of threads alone, but not which thread computes one: a body
// must write to places of its piece or of its thread. The same bits follow for any number of threads as long as a body
// computes its items one by one.
#pragma once

#include <algorithm>
#include <cstdint>

namespace stackae::cpu {

// Non-owning, so that nothing is allocated: the body outlives the call.
class Body {
 public:
  template <typename F>
  explicit Body(const F& f)
      : body_(&f),
        call_([](const void* body, int64_t begin, int64_t end) { (*static_cast<const F*>(body))(begin, end); }) {}
  void operator()(int64_t begin, int64_t end) const { call_(body_, begin, end); }

 private:
  const void* body_;
  void (*call_)(const void*, int64_t, int64_t);
};

// The number of the calling thread in a pass, from 0, less than the number of threads: the place of its scratch.
int thread_number();

// See parallel_for. The calling thread computes alone within a pass or another library's parallel region, and while
// another thread of the process has the pool.
void share_out(int64_t count, int64_t grain, const Body& body);

// body(begin, end) for pieces of [0, count) of at least `grain` items, on at::get_num_threads() threads or fewer. An
// exception of a body is thrown here when all threads are done.
template <typename F>
void parallel_for(int64_t count, int64_t grain, const F& body) {
  if (count > 0) share_out(count, std::max<int64_t>(1, grain), Body(body));
}

}  // namespace stackae::cpu
