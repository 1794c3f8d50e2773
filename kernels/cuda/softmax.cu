// softmax: each row as probabilities, exp(x - largest) over its sum. A row that contains NaN or +infinity, or nothing
// but -infinity, becomes NaN altogether, because its largest element minus itself, or NaN minus it, is NaN: so fmaxf,
// which drops NaN, may look for the largest.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 512. Rows of at most 512 columns are taken by a warp,
// longer ones by a block, one after another. A row of a multiple of four and at most 16 * blockDim.x columns is read
// once and kept in registers: best is the smallest block that can. Others are read three times, the second and third
// time from the cache; rescaling a running sum instead would add a rounding error with each new largest element.
#include "common.cuh"

namespace softmax_rows {

struct Largest {
    __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <class Team>
__device__ __forceinline__ void held(const Team& team, const float* elements, float* probabilities, u32 columns) {
    Float4 terms[HELD_FOURS];
    hold(team, elements, 0, columns, -INFINITY, terms); // Adds exp(-infinity) = 0 to the sum.
    float largest = -INFINITY;
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) largest = fmaxf(largest, terms[i].values[j]);
    largest = team.combine(largest, -INFINITY, Largest{});

    double sum = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) sum += terms[i].values[j] = expf(terms[i].values[j] - largest);
    const float scale = 1.0f / static_cast<float>(team.combine(sum, 0.0, Sum<double>{}));
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++) {
        const u32 column = column_of(team, 0, i);
        if (column >= columns) break;
#pragma unroll
        for (u32 j = 0; j < 4; j++) terms[i].values[j] *= scale;
        store4(probabilities + column, terms[i]);
    }
}

template <class Team>
__device__ __forceinline__ void streamed(const Team& team, const float* elements, float* probabilities, u32 columns) {
    float largest = -INFINITY;
    for_each_element(team, elements, columns, [&](float x) { largest = fmaxf(largest, x); });
    largest = team.combine(largest, -INFINITY, Largest{});

    double sum = 0.0;
    for_each_element(team, elements, columns, [&](float x) { sum += expf(x - largest); });
    const float scale = 1.0f / static_cast<float>(team.combine(sum, 0.0, Sum<double>{}));
    map_elements(team, elements, probabilities, columns, [&](float x, u32) { return expf(x - largest) * scale; });
}

} // namespace softmax_rows

extern "C" __global__ void __launch_bounds__(ROW_THREADS_MAX, 2) softmax(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    __shared__ float floats[BLOCK_WARPS_MAX];
    __shared__ double doubles[BLOCK_WARPS_MAX];
    const u32 length = narrow(columns);
    with_team(length, floats, doubles, [&](const auto& team) {
        for (u64 row = team.first_row(); row < rows; row += team.row_step()) {
            const float* elements = x + row * columns;
            float* probabilities = out + row * columns;
            if (can_hold(team, length))
                softmax_rows::held(team, elements, probabilities, length);
            else
                softmax_rows::streamed(team, elements, probabilities, length);
        }
    });
}
