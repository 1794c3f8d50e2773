// saxpy: out = alpha * x + y, one fused multiply-add for each element, so the bits are those of the CPU definition.
//
// Launch: any one-dimensional grid and block of at most 256 threads; neighbouring threads take neighbouring groups of
// four elements. Enough threads to fill the GPU suffice, whatever `count` is.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(WORK_THREADS_MAX) saxpy(
    float alpha, const float* __restrict__ x, const float* __restrict__ y, float* __restrict__ out, u64 count) {
    const u64 fours = count / 4;
    for (u64 i = grid_thread(); i < fours; i += grid_threads()) {
        const Float4 left = load4(x + i * 4), right = load4(y + i * 4);
        Float4 sums;
#pragma unroll
        for (u32 j = 0; j < 4; j++) sums.values[j] = fmaf(alpha, left.values[j], right.values[j]);
        store4(out + i * 4, sums);
    }
    for (u64 i = fours * 4 + grid_thread(); i < count; i += grid_threads()) out[i] = fmaf(alpha, x[i], y[i]);
}
