// What several kernels share: index types, IEEE 754-2019 extremes, and combining one value per thread over a block.
//
// The numeric definition of each operation is the Rust one (kernels/src/operations); where these kernels add in another
// order or width, the difference stays within the catalogue's tolerance. Compile without --use_fast_math: subnormal
// numbers are kept, and the compensated sums rely on the order that is written.
#pragma once

using u32 = unsigned int;
using u64 = unsigned long long;

constexpr u32 WARP_THREADS = 32;
constexpr u32 BLOCK_WARPS_MAX = 32;
constexpr u32 EVERY_LANE = 0xffffffffu;
constexpr float LARGEST_FINITE = 3.402823466e+38f;

// This thread's number in the grid, and the grid's number of threads, for loops over elements.
__device__ __forceinline__ u64 grid_thread() { return blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; }
__device__ __forceinline__ u64 grid_threads() { return gridDim.x * static_cast<u64>(blockDim.x); }

// maximum: a NaN wins, and +0 over -0. fmaxf would drop the NaN.
__device__ __forceinline__ float maximum(float a, float b) {
    return a != a || a > b || (a == b && copysignf(1.0f, b) < 0.0f) ? a : b;
}

// minimum: a NaN wins, and -0 over +0.
__device__ __forceinline__ float minimum(float a, float b) { return -maximum(-a, -b); }

struct Sum {
    __device__ __forceinline__ double operator()(double a, double b) const { return a + b; }
};

struct Maximum {
    __device__ __forceinline__ float operator()(float a, float b) const { return maximum(a, b); }
};

struct Minimum {
    __device__ __forceinline__ float operator()(float a, float b) const { return minimum(a, b); }
};

// The values of all lanes combined, in every lane.
template <class Value, class Combine>
__device__ __forceinline__ Value combine_warp(Value value, Combine combine) {
    for (u32 distance = WARP_THREADS / 2; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(EVERY_LANE, value, distance));
    return value;
}

// The values of all threads combined, in every thread. `partials` is shared memory for BLOCK_WARPS_MAX values, which may
// be used again at once; `identity` changes nothing it is combined with. blockDim.x is a multiple of WARP_THREADS, and
// every thread of the block takes part.
template <class Value, class Combine>
__device__ __forceinline__ Value combine_block(Value value, Value identity, Combine combine, Value* partials) {
    const u32 lane = threadIdx.x % WARP_THREADS;
    value = combine_warp(value, combine);
    __syncthreads(); // A call before this one may still be reading.
    if (lane == 0) partials[threadIdx.x / WARP_THREADS] = value;
    __syncthreads();
    return combine_warp(lane < blockDim.x / WARP_THREADS ? partials[lane] : identity, combine);
}
