// layer_norm: each row shifted to mean 0 and scaled to variance 1, then times gain plus bias. Everything between load
// and store is binary64: with a mean far from zero, binary32 would cancel most digits of x - mean, and the squares of
// large elements are beyond its range. Each number is converted once, because conversions, not additions, are what
// GPUs with full binary64 arithmetic have the fewest units for.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 512. Rows of at most 512 columns are taken by a warp,
// longer ones by a block, one after another. A row of a multiple of four and at most 16 * blockDim.x columns is read
// once and kept in registers: best is the smallest block that can. Others are read three times, the second and third
// time from the cache.
#include "common.cuh"

namespace normalisation {

// The factor of a row with this sum of squared deviations.
__device__ __forceinline__ double scale_of(double squares, u32 columns, float epsilon) {
    return 1.0 / sqrt(squares / columns + epsilon);
}

template <class Team>
__device__ __forceinline__ void held(
    const Team& team, const float* elements, const float* gain, const float* bias, float* normalised, u32 columns,
    float epsilon) {
    Float4 loaded[HELD_FOURS];
    hold(team, elements, 0, columns, 0.0f, loaded);
    double deviations[HELD_FOURS][4];
    double sum = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) sum += deviations[i][j] = loaded[i].values[j];
    const double mean = team.combine(sum, 0.0, Sum<double>{}) / columns;

    double squares = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++) {
        if (column_of(team, 0, i) >= columns) break;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            deviations[i][j] -= mean;
            squares += deviations[i][j] * deviations[i][j];
        }
    }
    const double scale = scale_of(team.combine(squares, 0.0, Sum<double>{}), columns, epsilon);
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++) {
        const u32 column = column_of(team, 0, i);
        if (column >= columns) break;
        const Float4 gains = load4(gain + column), biases = load4(bias + column);
        Float4 numbers;
#pragma unroll
        for (u32 j = 0; j < 4; j++)
            numbers.values[j] = static_cast<float>(deviations[i][j] * scale * gains.values[j] + biases.values[j]);
        store4(normalised + column, numbers);
    }
}

template <class Team>
__device__ __forceinline__ void streamed(
    const Team& team, const float* elements, const float* gain, const float* bias, float* normalised, u32 columns,
    float epsilon) {
    double sum = 0.0;
    for_each_element(team, elements, columns, [&](float x) { sum += x; });
    const double mean = team.combine(sum, 0.0, Sum<double>{}) / columns;

    double squares = 0.0;
    for_each_element(team, elements, columns, [&](float x) { squares += (x - mean) * (x - mean); });
    const double scale = scale_of(team.combine(squares, 0.0, Sum<double>{}), columns, epsilon);
    map_elements(team, elements, normalised, columns, [&](float x, u32 column) {
        return static_cast<float>((x - mean) * scale * gain[column] + bias[column]);
    });
}

} // namespace normalisation

extern "C" __global__ void __launch_bounds__(ROW_THREADS_MAX, 1) layer_norm(
    const float* __restrict__ x, const float* __restrict__ gain, const float* __restrict__ bias,
    float* __restrict__ out, u64 rows, u64 columns, float epsilon) {
    __shared__ float floats[BLOCK_WARPS_MAX];
    __shared__ double doubles[BLOCK_WARPS_MAX];
    const u32 length = narrow(columns);
    with_team(length, floats, doubles, [&](const auto& team) {
        for (u64 row = team.first_row(); row < rows; row += team.row_step()) {
            const float* elements = x + row * columns;
            float* normalised = out + row * columns;
            if (can_hold(team, length))
                normalisation::held(team, elements, gain, bias, normalised, length, epsilon);
            else
                normalisation::streamed(team, elements, gain, bias, normalised, length, epsilon);
        }
    });
}
