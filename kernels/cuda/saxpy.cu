// saxpy: out = alpha * x + y, one fused multiply-add for each element, so the bits are those of the CPU definition.
//
// Launch: any one-dimensional grid and block; neighbouring threads take neighbouring elements.
#include "common.cuh"

extern "C" __global__ void saxpy(
    float alpha, const float* __restrict__ x, const float* __restrict__ y, float* __restrict__ out, u64 count) {
    for (u64 i = grid_thread(); i < count; i += grid_threads()) out[i] = fmaf(alpha, x[i], y[i]);
}
