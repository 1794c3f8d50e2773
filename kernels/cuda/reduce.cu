// reduce: one number for each row. Sums are taken in binary64 and rounded once; extremes as IEEE 754-2019 has them.
//
// Launch: one-dimensional, blockDim.x a multiple of 32; a block takes one row after another, its threads neighbouring
// elements. Memory-bound: the binary64 addition for each element is hidden behind its load.
#include "common.cuh"

template <class Value, class Combine>
__device__ __forceinline__ void reduce_rows(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns, Value identity, Combine combine,
    Value* partials) {
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* elements = x + row * columns;
        Value value = identity;
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) value = combine(value, static_cast<Value>(elements[i]));
        value = combine_block(value, identity, combine, partials);
        if (threadIdx.x == 0) out[row] = static_cast<float>(value);
    }
}

extern "C" __global__ void reduce_sum(const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    __shared__ double partials[BLOCK_WARPS_MAX];
    reduce_rows(x, out, rows, columns, 0.0, Sum{}, partials);
}

extern "C" __global__ void reduce_max(const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    __shared__ float partials[BLOCK_WARPS_MAX];
    reduce_rows(x, out, rows, columns, -INFINITY, Maximum{}, partials);
}

extern "C" __global__ void reduce_min(const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    __shared__ float partials[BLOCK_WARPS_MAX];
    reduce_rows(x, out, rows, columns, INFINITY, Minimum{}, partials);
}
