// softmax: each row as probabilities, exp(x - largest) over its sum. A row that contains NaN or +infinity, or nothing but
// -infinity, becomes NaN altogether, because its largest element minus itself is NaN.
//
// Launch: one-dimensional, blockDim.x a multiple of 32; a block takes one row after another. Three passes over a row, of
// which the second and third find it in the cache: rescaling a running sum instead would add a rounding error with each
// new largest element.
#include "common.cuh"

extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    __shared__ float largest_partials[BLOCK_WARPS_MAX];
    __shared__ double sum_partials[BLOCK_WARPS_MAX];
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* elements = x + row * columns;
        float* probabilities = out + row * columns;

        float largest = -INFINITY;
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) largest = maximum(largest, elements[i]);
        largest = combine_block(largest, -INFINITY, Maximum{}, largest_partials);

        double sum = 0.0;
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(elements[i] - largest);
        sum = combine_block(sum, 0.0, Sum{}, sum_partials);

        const float scale = static_cast<float>(1.0 / sum);
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) probabilities[i] = expf(elements[i] - largest) * scale;
    }
}
