// Function qualifiers shared by host and device code.
#pragma once

#ifdef __CUDACC__
#define STACKAE_HOST_DEVICE __host__ __device__
// Before a function of both that calls what it is given, which may be of one of them alone.
#define STACKAE_CALLS_HOST_OR_DEVICE _Pragma("nv_exec_check_disable")
#else
#define STACKAE_HOST_DEVICE
#define STACKAE_CALLS_HOST_OR_DEVICE
#endif

// Loop bodies must be inlined into the multiversioned function that calls them (cpu/multiversion.h):
// a call left over would run the baseline code for every CPU level.
#define STACKAE_INLINE inline __attribute__((always_inline))
#define STACKAE_LAMBDA_INLINE __attribute__((always_inline))
