// layer_norm: each row shifted to mean 0 and scaled to variance 1, then times gain plus bias. Everything between load and
// store is binary64: with a mean far from zero, binary32 would cancel most digits of x - mean.
//
// Launch: one-dimensional, blockDim.x a multiple of 32; a block takes one row after another. Three passes over a row, of
// which the second and third find it in the cache.
#include "common.cuh"

extern "C" __global__ void layer_norm(
    const float* __restrict__ x, const float* __restrict__ gain, const float* __restrict__ bias,
    float* __restrict__ out, u64 rows, u64 columns, float epsilon) {
    __shared__ double partials[BLOCK_WARPS_MAX];
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* elements = x + row * columns;
        float* normalised = out + row * columns;

        double sum = 0.0;
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) sum += elements[i];
        const double mean = combine_block(sum, 0.0, Sum{}, partials) / static_cast<double>(columns);

        double squares = 0.0;
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x) {
            const double deviation = elements[i] - mean;
            squares += deviation * deviation;
        }
        const double variance = combine_block(squares, 0.0, Sum{}, partials) / static_cast<double>(columns);

        const double scale = 1.0 / sqrt(variance + epsilon);
        for (u64 i = threadIdx.x; i < columns; i += blockDim.x)
            normalised[i] = static_cast<float>((elements[i] - mean) * scale * gain[i] + bias[i]);
    }
}
