// TEST ONLY. Kernels with one mistake each, and one without. Whoever runs the kernels that ship under a sanitizer sees
// first that it finds these.
#include <string>

#include "harness.h"

extern "C" {

__global__ void correct(float* out) {
    __shared__ float tile[16];
    tile[threadIdx.x] = static_cast<float>(threadIdx.x);
    __syncthreads();
    out[blockIdx.x * 16 + threadIdx.x] = tile[15 - threadIdx.x];
}

__global__ void out_of_global_memory(float* out) { out[threadIdx.x + 1] = 1.0f; }

// No compiler sees what `at` points into.
__device__ __noinline__ void put(float* at) { *at = 1.0f; }

__global__ void out_of_shared_memory(float* out) {
    __shared__ float tile[32];
    put(tile + threadIdx.x + 1);
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void misaligned_vector(float* out) {
    const float4 ones = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
    if (threadIdx.x == 0) *reinterpret_cast<float4*>(out + 1) = ones;
}

__global__ void integer_overflow(float* out) {
    const int rows = 65536 + static_cast<int>(threadIdx.x);
    out[threadIdx.x] = static_cast<float>(rows * rows);
}

__global__ void missing_barrier(float* out) {
    __shared__ float tile[64];
    tile[threadIdx.x] = 1.0f;
    out[threadIdx.x % 32] = tile[63 - threadIdx.x];
}

// Lanes of a warp do not run in step.
__global__ void missing_warp_barrier(float* out) {
    __shared__ float tile[32];
    tile[threadIdx.x] = 1.0f;
    out[threadIdx.x] = tile[31 - threadIdx.x];
}

__global__ void race_between_blocks(float* out) {
    if (threadIdx.x == 0) out[0] += 1.0f;
}

__global__ void divergent_barrier(float* out) {
    if (threadIdx.x < 16) {
        __syncthreads();
    } else {
        out[threadIdx.x] = 1.0f;
        __syncthreads();
    }
}

__global__ void barrier_that_some_never_reach(float* out) {
    if (threadIdx.x < 16) __syncthreads();
    out[threadIdx.x] = 1.0f;
}

__global__ void shuffle_from_an_absent_lane(float* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_down_sync(0xffffu, 1.0f, 8);
}

__global__ void shuffle_that_some_never_reach(float* out) {
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    else
        __syncthreads();
}

__global__ void unwritten_shared_memory(float* out) {
    __shared__ float tile[32];
    if (threadIdx.x % 2 == 0) tile[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void illegal_address(float* out) { out[size_t{1} << 40] = 1.0f; }
}

#define PLANTED(kernel, blocks, threads) \
    if (name == #kernel) RUN(kernel, blocks, threads, out.data());

int main(int, char** arguments) {
    const std::string name = arguments[1];
    auto out = unwritten<float>(32);
    PLANTED(correct, 2, 16)
    PLANTED(out_of_global_memory, 1, 32)
    PLANTED(out_of_shared_memory, 1, 32)
    PLANTED(misaligned_vector, 1, 32)
    PLANTED(integer_overflow, 1, 32)
    PLANTED(missing_barrier, 1, 64)
    PLANTED(missing_warp_barrier, 1, 32)
    PLANTED(race_between_blocks, 2, 32)
    PLANTED(divergent_barrier, 1, 32)
    PLANTED(barrier_that_some_never_reach, 1, 32)
    PLANTED(shuffle_from_an_absent_lane, 1, 32)
    PLANTED(shuffle_that_some_never_reach, 1, 32)
    PLANTED(unwritten_shared_memory, 1, 32)
    PLANTED(illegal_address, 1, 32)
    is_written(out, name.c_str());
}
