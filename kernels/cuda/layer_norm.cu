// layer_norm: each row shifted to mean 0 and scaled to variance 1, then times gain plus bias. Everything between load
// and store is binary64: with a mean far from zero, binary32 would cancel most digits of x - mean, and the squares of
// large elements are beyond its range. Each number is converted once, because conversions, not additions, are what
// GPUs with full binary64 arithmetic have the fewest units for.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 512. Rows of at most 512 columns are taken by a warp,
// longer ones by a block, one after another. A row of a multiple of four and at most 16 * blockDim.x columns is read
// once and kept in registers: best is the smallest block that can. Others are read twice, those of a multiple of four
// columns the second time from the end, of which the cache may have a part.
#include "common.cuh"

namespace normalisation {

// The factor of a row with this sum of squared deviations.
__device__ __forceinline__ double scale_of(double squares, u32 columns, float epsilon) {
    return 1.0 / sqrt(squares / columns + epsilon);
}

// What becomes of elements, one or four in a row.
struct Normalised {
    double mean, scale;
    const float *gain, *bias;

    __device__ __forceinline__ float operator()(float x, u32 column) const {
        return static_cast<float>((x - mean) * scale * gain[column] + bias[column]);
    }
    __device__ __forceinline__ Float4 operator()(const Float4& x, u32 column) const {
        return four({x.values[0] - mean, x.values[1] - mean, x.values[2] - mean, x.values[3] - mean}, column);
    }
    // By their deviations from the mean.
    __device__ __forceinline__ Float4 four(const double (&deviations)[4], u32 column) const {
        const Float4 gains = load4(gain + column), biases = load4(bias + column);
        Float4 numbers;
#pragma unroll
        for (u32 j = 0; j < 4; j++)
            numbers.values[j] = static_cast<float>(deviations[j] * scale * gains.values[j] + biases.values[j]);
        return numbers;
    }
};

template <class Team>
__device__ __forceinline__ void held(
    const Team& team, const Held& elements, const float* gain, const float* bias, float* normalised, u32 columns,
    float epsilon) {
    double deviations[HELD_MAX];
    double sum = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_MAX; i++) sum += deviations[i] = elements[i];
    const double mean = team.combine(sum, 0.0, Sum<double>{}) / columns;

    double squares = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_MAX; i++) {
        if (column_of(team, 0, i / 4) >= columns) break;
        deviations[i] -= mean;
        squares += deviations[i] * deviations[i];
    }
    const double scale = scale_of(team.combine(squares, 0.0, Sum<double>{}), columns, epsilon);
    const Normalised of{mean, scale, gain, bias};
    store_held(team, normalised, 0, columns, [&](u32 i, u32 column) {
        return of.four({deviations[i], deviations[i + 1], deviations[i + 2], deviations[i + 3]}, column);
    });
}

// All of the team's rows. The next one is on its way while this one is computed: so many registers leave room for few
// threads, and those would else wait for memory and compute in turns.
template <class Team>
__device__ __forceinline__ void held_rows(
    const Team& team, const float* x, const float* gain, const float* bias, float* out, u64 rows, u32 columns,
    float epsilon) {
    u64 row = team.first_row();
    Held next;
    if (row < rows) hold(team, x + row * columns, 0, columns, 0.0f, next);
    while (row < rows) {
        Held elements;
#pragma unroll
        for (u32 i = 0; i < HELD_MAX; i++) elements[i] = next[i];
        float* normalised = out + row * columns;
        row += team.row_step();
        if (row < rows) hold(team, x + row * columns, 0, columns, 0.0f, next);
        held(team, elements, gain, bias, normalised, columns, epsilon);
    }
}

// A thread's mean and sum of squared deviations from it grow by those of each part (Chan, Golub and LeVeque, 1979), so
// that the row is read twice and not three times.
template <class Team>
__device__ __forceinline__ void streamed(
    const Team& team, const float* elements, const float* gain, const float* bias, float* normalised, u32 columns,
    float epsilon) {
    double counted = 0.0, own_mean = 0.0, squares = 0.0;
    for_each_part(team, elements, columns, 0.0f, [&](const auto& numbers, u32 count) {
        constexpr u32 COUNT = sizeof(numbers) / sizeof(numbers[0]);
        double sum = 0.0;
#pragma unroll
        for (u32 i = 0; i < COUNT; i++) sum += numbers[i];
        const double part_mean = sum / count;
#pragma unroll
        for (u32 i = 0; i < COUNT; i++)
            if (i < count) squares += (numbers[i] - part_mean) * (numbers[i] - part_mean);
        const double apart = part_mean - own_mean, share = count / (counted + count);
        squares += apart * apart * counted * share;
        own_mean += apart * share;
        counted += count;
    });
    const double mean = team.combine(own_mean * counted, 0.0, Sum<double>{}) / columns;
    squares += counted * (own_mean - mean) * (own_mean - mean);
    const double scale = scale_of(team.combine(squares, 0.0, Sum<double>{}), columns, epsilon);
    map_elements(team, elements, normalised, columns, Normalised{mean, scale, gain, bias});
}

} // namespace normalisation

extern "C" __global__ void __launch_bounds__(ROW_THREADS_MAX, 1) layer_norm(
    const float* __restrict__ x, const float* __restrict__ gain, const float* __restrict__ bias,
    float* __restrict__ out, u64 rows, u64 columns, float epsilon) {
    __shared__ float floats[BLOCK_WARPS_MAX];
    __shared__ double doubles[BLOCK_WARPS_MAX];
    const u32 length = narrow(columns);
    with_team(length, floats, doubles, [&](const auto& team) {
        if (can_hold(team, length)) {
            normalisation::held_rows(team, x, gain, bias, out, rows, length, epsilon);
            return;
        }
        for (u64 row = team.first_row(); row < rows; row += team.row_step())
            normalisation::streamed(team, x + row * columns, gain, bias, out + row * columns, length, epsilon);
    });
}
