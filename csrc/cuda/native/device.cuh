// The device that the kernels of this folder run on: a CUDA GPU. emulated/device.cuh has the same interface on the
// host.
//
// Kernels name nothing of CUDA's beyond threadIdx and its like, __shared__ and __syncthreads; whatever else they or
// their launchers need of a device stands here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#define STACKAE_DEVICE_KEY CUDA

namespace stackae::cuda {

constexpr at::DeviceType device_type = at::kCUDA;

// ---- in kernels

// Whether two blocks of a multiprocessor may have 113 KB of shared memory each; launch() knows for which kernels.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200
constexpr bool is_roomy = true;
#else
constexpr bool is_roomy = false;
#endif

// The block's dynamic shared memory.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char stackae_dynamic_shared[];
  return reinterpret_cast<T*>(stackae_dynamic_shared);
}

// 16 bytes from global to shared memory, while the thread goes on. Copies form groups; wait_for_copies<n> waits until
// all but the latest n groups of this thread are there.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Four matrices of 8 x 8 numbers of 16 bits from shared memory: each lane brings the address of one row of 16 bytes,
// lanes 8 i to 8 i + 7 those of matrix i. Lane 4 r + c then has of each matrix words c of row r; of matrices of pairs
// of 32-bit words that are `transposed` (of 16-bit numbers), entries 2 c and 2 c + 1 of column r.
template <bool transposed>
__device__ __forceinline__ void read_matrices(uint32_t (&words)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(from));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(from));
}

// d += a b by the warp: a (16, 8) and b (8, 8) in tf32, d (16, 8) in float32, dealt to lanes as PTX has it.
__device__ __forceinline__ void multiply_add_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The same for bfloat16: a (16, 16), b (16, 8), two entries a register, the first in the lower half.
__device__ __forceinline__ void multiply_add_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// On devices of 9.0 and up a launch begins before the one before it has ended: what that wrote may be read after
// wait_for_launch_before. A kernel calls it on every thread, then let_next_launch_begin: so whatever came before the
// launch before has ended when a kernel begins.
__device__ __forceinline__ void wait_for_launch_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void let_next_launch_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// The value of the lane whose number differs in these bits; every lane of the warp takes part.
template <typename T>
__device__ __forceinline__ T from_lane_xor(T value, int bits) {
  return __shfl_xor_sync(0xffffffffu, value, bits);
}

// ---- on the host

// The shared memory that a block of a kernel requests: as the kernel was compiled, for devices that are roomy or not.
struct SharedBytes {
  size_t plain = 0, roomy = 0;
};

// Runs the kernel on the current stream. A kernel that `overlaps` begins before the launch before has ended, and waits
// for it itself.
template <bool overlaps = false, typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, SharedBytes shared, Arguments... arguments) {
  constexpr size_t granted = 32 << 10;  // 48 KiB are, static memory included; more must be requested
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  if (shared.roomy > 0) {
    cudaFuncAttributes compiled{};
    C10_CUDA_CHECK(cudaFuncGetAttributes(&compiled, kernel));
    config.dynamicSmemBytes = compiled.ptxVersion >= 90 && compiled.ptxVersion < 120 ? shared.roomy : shared.plain;
  }
  if (config.dynamicSmemBytes > granted)
    C10_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(config.dynamicSmemBytes)));
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.stream = c10::cuda::getCurrentCUDAStream();
  config.attrs = &early;
  config.numAttrs = overlaps && at::cuda::getCurrentDeviceProperties()->major >= 9 ? 1 : 0;
  C10_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

inline int multiprocessors() { return at::cuda::getCurrentDeviceProperties()->multiProcessorCount; }

// Once these return, the copy is done, and with it all that was given to the current stream before.
inline void copy_to_device(void* there, const void* here, size_t bytes) {
  const auto stream = c10::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaMemcpyAsync(there, here, bytes, cudaMemcpyHostToDevice, stream));
  C10_CUDA_CHECK(cudaStreamSynchronize(stream));
}
inline void copy_to_host(void* here, const void* there, size_t bytes) {
  const auto stream = c10::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaMemcpyAsync(here, there, bytes, cudaMemcpyDeviceToHost, stream));
  C10_CUDA_CHECK(cudaStreamSynchronize(stream));
}

// Rows that lie in memory are sent over in parts of about this size; STACKAE_PART_BYTES is for tests.
inline int64_t part_bytes() {
  const char* const wish = std::getenv("STACKAE_PART_BYTES");
  return wish == nullptr ? 64 << 20 : std::atoll(wish);
}
inline bool is_elsewhere(const at::Tensor& rows) { return rows.is_cpu(); }

// Memory of the host from which copies to the device overlap with work there.
inline at::Tensor staging(at::IntArrayRef sizes, at::ScalarType type) {
  return at::empty(sizes, at::TensorOptions().dtype(type).pinned_memory(true));
}

// A stream of its own for a sequence of launches. While a Scope lives it is the current stream; what it is given begins
// after what was given to the stream that was current before, unless it need not wait.
class Lane {
 public:
  Lane() : stream_(c10::cuda::getStreamFromPool()) {}

  class Scope {
   public:
    explicit Scope(const Lane& lane, bool waits = true) : before_(c10::cuda::getCurrentCUDAStream()) {
      if (waits) {
        at::cuda::CUDAEvent reached;
        reached.record(before_);
        reached.block(lane.stream_);
      }
      c10::cuda::setCurrentCUDAStream(lane.stream_);
    }
    ~Scope() { c10::cuda::setCurrentCUDAStream(before_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    c10::cuda::CUDAStream before_;
  };

  // What is given to this lane from now on begins after all that `other` was given until now.
  void after(const Lane& other) const {
    at::cuda::CUDAEvent reached;
    reached.record(other.stream_);
    reached.block(stream_);
  }

 private:
  c10::cuda::CUDAStream stream_;
};

// Launches recorded once and replayed at the cost of one. Only launches and library matmuls may be recorded.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : executable_(std::exchange(other.executable_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(executable_, other.executable_);
    return *this;
  }
  ~Graph() {
    if (executable_ != nullptr) C10_CUDA_CHECK_WARN(cudaGraphExecDestroy(executable_));
  }

  explicit operator bool() const { return executable_ != nullptr; }

  // The current stream must not be the default one.
  template <typename Body>
  static Graph record(Body body) {
    const auto stream = c10::cuda::getCurrentCUDAStream();
    C10_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t recorded = nullptr;
    try {
      body();
    } catch (...) {
      C10_CUDA_IGNORE_ERROR(cudaStreamEndCapture(stream, &recorded));
      if (recorded != nullptr) C10_CUDA_IGNORE_ERROR(cudaGraphDestroy(recorded));
      throw;
    }
    C10_CUDA_CHECK(cudaStreamEndCapture(stream, &recorded));
    Graph graph;
    const auto made = cudaGraphInstantiate(&graph.executable_, recorded, 0);
    C10_CUDA_IGNORE_ERROR(cudaGraphDestroy(recorded));
    C10_CUDA_CHECK(made);
    return graph;
  }

  void replay() const { C10_CUDA_CHECK(cudaGraphLaunch(executable_, c10::cuda::getCurrentCUDAStream())); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

// cuBLAS with a handle and working memory of its own: a recorded graph knows both by address, while torch's are freed
// by torch.compile's graphs, and its precision is one setting for all.
class Blas {
 public:
  Blas() = default;
  ~Blas() {
    if (handle_ != nullptr) cublasDestroy(handle_);
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // Before the first matmul; makes what may not be made while a graph is recorded.
  void prepare() {
    if (handle_ != nullptr) return;
    check(cublasCreate(&handle_));
    workspace_ = at::empty({workspace_bytes}, at::TensorOptions().dtype(at::kByte).device(at::kCUDA));
    check(cublasSetStream(handle_, c10::cuda::getCurrentCUDAStream()));
    check(cublasSetWorkspace(handle_, workspace_.mutable_data_ptr(), workspace_bytes));
  }

  // out = a b, or += a b, on the stream of `prepare`, for matrices with rows or columns that are contiguous; `rounded`:
  // float32 factors are rounded to tf32. bfloat16 factors have a float32 result.
  void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool add, bool rounded) const {
    const bool is_double = out.scalar_type() == at::kDouble;
    const auto compute = is_double ? CUBLAS_COMPUTE_64F : rounded ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const double one_double = 1, beta_double = add;
    const float one = 1, beta = add;
    const void* const scale = is_double ? static_cast<const void*>(&one_double) : &one;
    const void* const kept = is_double ? static_cast<const void*>(&beta_double) : &beta;
    // cuBLAS has columns first: what it is told is out^T = b^T a^T.
    check(cublasGemmEx(handle_, operation(b), operation(a), static_cast<int>(out.size(1)),
                       static_cast<int>(out.size(0)), static_cast<int>(a.size(1)), scale, b.const_data_ptr(), type(b),
                       leading(b), a.const_data_ptr(), type(a), leading(a), kept, out.mutable_data_ptr(), type(out),
                       leading(out), compute, CUBLAS_GEMM_DEFAULT));
  }

 private:
  static constexpr int64_t workspace_bytes = 32 << 20;  // cuBLAS requests as much on devices of 9.0

  static void check(cublasStatus_t status) {
    TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS, "cuBLAS: ", cublasGetStatusString(status));
  }
  static bool has_rows(const at::Tensor& matrix) { return matrix.stride(1) == 1; }
  static cublasOperation_t operation(const at::Tensor& matrix) { return has_rows(matrix) ? CUBLAS_OP_N : CUBLAS_OP_T; }
  static int leading(const at::Tensor& matrix) {
    const int across = has_rows(matrix) ? 1 : 0;  // a matrix of one row may have any stride
    return static_cast<int>(std::max(matrix.stride(1 - across), matrix.size(across)));
  }
  static cudaDataType type(const at::Tensor& matrix) {
    return matrix.scalar_type() == at::kDouble  ? CUDA_R_64F
           : matrix.scalar_type() == at::kFloat ? CUDA_R_32F
                                                : CUDA_R_16BF;
  }

  cublasHandle_t handle_ = nullptr;
  at::Tensor workspace_;
};

}  // namespace stackae::cuda
