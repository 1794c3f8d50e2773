// reduce: one number for each row. Sums are taken in binary64 and rounded once; extremes as IEEE 754-2019 has them.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 1024. Short rows are taken by a warp, long ones by a
// block, one after another; neighbouring threads take neighbouring elements. Fewer rows than multiprocessors leave some
// of them idle. Memory-bound: the binary64 addition for each element is hidden behind its load, also where the GPU has
// one binary64 unit for 64 others.
#include "common.cuh"

namespace reduction {

template <class Value, class Combine>
__device__ __forceinline__ void reduce_rows(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns, Value identity, Combine combine) {
    __shared__ float floats[BLOCK_WARPS_MAX];
    __shared__ double doubles[BLOCK_WARPS_MAX];
    const u32 length = narrow(columns);
    with_team(length, floats, doubles, [&](const auto& team) {
        for (u64 row = team.first_row(); row < rows; row += team.row_step()) {
            const float* elements = x + row * columns;
            Value value = identity;
            for_each_element(team, elements, length, [&](float x) { value = combine(value, static_cast<Value>(x)); });
            value = team.combine(value, identity, combine);
            if (team.rank == 0) out[row] = static_cast<float>(value);
        }
    });
}

} // namespace reduction

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS_MAX) reduce_sum(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    reduction::reduce_rows(x, out, rows, columns, 0.0, Sum<double>{});
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS_MAX) reduce_max(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    reduction::reduce_rows(x, out, rows, columns, -INFINITY, Maximum{});
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS_MAX) reduce_min(
    const float* __restrict__ x, float* __restrict__ out, u64 rows, u64 columns) {
    reduction::reduce_rows(x, out, rows, columns, INFINITY, Minimum{});
}
