// softmax: each row as probabilities, exp(x - largest) over its sum. A row that contains NaN or +infinity, or nothing
// but -infinity, becomes NaN altogether, because its largest element minus itself, or NaN minus it, is NaN: so fmaxf,
// which drops NaN, may look for the largest.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 512. Rows of at most 512 columns are taken by a warp,
// longer ones by a block, one after another. A row of a multiple of four and at most 16 * blockDim.x columns is read
// once and kept in registers: best is the smallest block that can. Others are read twice, those of a multiple of four
// columns the second time from the end, of which the cache may have a part. Until the largest is known, a thread's sum
// is scaled to the largest that it has seen, in binary64: a row that rises slowly does so with every part, and binary32
// would round each time the same way.
#include "common.cuh"

namespace softmax_rows {

struct Largest {
    __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// What is taken from each element before exp: the largest, or nothing while that is -infinity (-infinity minus -infinity
// would be NaN).
__device__ __forceinline__ float base_of(float largest) { return largest == -INFINITY ? 0.0f : largest; }

struct Probability {
    float largest, scale;

    __device__ __forceinline__ float operator()(float x, u32) const { return expf(x - largest) * scale; }
    __device__ __forceinline__ Float4 operator()(Float4 numbers, u32 column) const {
#pragma unroll
        for (u32 j = 0; j < 4; j++) numbers.values[j] = (*this)(numbers.values[j], column + j);
        return numbers;
    }
};

template <class Team>
__device__ __forceinline__ void held(const Team& team, const float* elements, float* probabilities, u32 columns) {
    Held terms;
    hold(team, elements, 0, columns, -INFINITY, terms); // Adds exp(-infinity) = 0 to the sum.
    float largest = -INFINITY;
#pragma unroll
    for (u32 i = 0; i < HELD_MAX; i++) largest = fmaxf(largest, terms[i]);
    largest = team.combine(largest, -INFINITY, Largest{});

    double sum = 0.0;
#pragma unroll
    for (u32 i = 0; i < HELD_MAX; i++) sum += terms[i] = expf(terms[i] - largest);
    const float scale = 1.0f / static_cast<float>(team.combine(sum, 0.0, Sum<double>{}));
    store_held(team, probabilities, 0, columns, [&](u32 i, u32) {
        return Float4{{terms[i] * scale, terms[i + 1] * scale, terms[i + 2] * scale, terms[i + 3] * scale}};
    });
}

template <class Team>
__device__ __forceinline__ void streamed(const Team& team, const float* elements, float* probabilities, u32 columns) {
    float largest = -INFINITY;
    double sum = 0.0; // Of exp(x - base_of(largest)).
    for_each_part(team, elements, columns, -INFINITY, [&](const auto& numbers, u32) {
        constexpr u32 COUNT = sizeof(numbers) / sizeof(numbers[0]);
        const float before = largest;
#pragma unroll
        for (u32 i = 0; i < COUNT; i++) largest = fmaxf(largest, numbers[i]);
        const float base = base_of(largest);
        if (base != before) sum *= exp(static_cast<double>(before) - base);
#pragma unroll
        for (u32 i = 0; i < COUNT; i++) sum += expf(numbers[i] - base);
    });
    const float own = largest;
    largest = team.combine(largest, -INFINITY, Largest{});
    sum *= exp(static_cast<double>(own) - base_of(largest));
    const float scale = 1.0f / static_cast<float>(team.combine(sum, 0.0, Sum<double>{}));
    map_elements(team, elements, probabilities, columns, Probability{largest, scale});
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
