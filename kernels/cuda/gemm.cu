// gemm: the product of an m x k and a k x n matrix, row by row, on the CUDA cores. The executor prefers cuBLASLt where it
// is at hand; this kernel is the module's own answer, and what a parity test compares both with.
//
// Launch: one-dimensional grid, BLOCK_THREADS threads; a block takes one TILE x TILE part of the output after another,
// each thread 4 x 4 elements of it in registers, TILE_DEPTH products at a time from shared memory.
//
// Products of one depth step are summed in binary32 by fused multiply-add, the steps with Kahan's compensation: the error
// stays near 32 roundings of the magnitudes added, however large k is.
#include "common.cuh"

constexpr u32 TILE = 64;
constexpr u32 TILE_DEPTH = 32;
constexpr u32 SIDE_THREADS = 16;
constexpr u32 BLOCK_THREADS = SIDE_THREADS * SIDE_THREADS;
constexpr u32 PER_THREAD = TILE / SIDE_THREADS;

struct CompensatedSum {
    float sum = 0.0f;
    float excess = 0.0f; // What the last addition rounded away, with opposite sign.

    __device__ __forceinline__ void add(float x) {
        const float corrected = x - excess;
        const float next = sum + corrected;
        // Infinities and NaN have no rounding error; the difference of two infinities would make one up.
        excess = fabsf(next) <= LARGEST_FINITE ? (next - sum) - corrected : 0.0f;
        sum = next;
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS) gemm(
    const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ out, u64 m, u64 n, u64 k) {
    // a is stored transposed, so that a depth step reads one row of each; the odd length spreads its stores over banks.
    __shared__ float a_tile[TILE_DEPTH][TILE + 1];
    __shared__ float b_tile[TILE_DEPTH][TILE];
    const u32 thread_row = threadIdx.x / SIDE_THREADS, thread_column = threadIdx.x % SIDE_THREADS;
    const u64 tiles_across = (n + TILE - 1) / TILE;
    const u64 tiles = tiles_across * ((m + TILE - 1) / TILE);
    for (u64 number = blockIdx.x; number < tiles; number += gridDim.x) {
        const u64 first_row = number / tiles_across * TILE;
        const u64 first_column = number % tiles_across * TILE;
        CompensatedSum totals[PER_THREAD][PER_THREAD];

        for (u64 first_depth = 0; first_depth < k; first_depth += TILE_DEPTH) {
            // Beyond the matrices' edges the tiles hold zeros, whose products change no sum that is stored.
            for (u32 i = threadIdx.x; i < TILE * TILE_DEPTH; i += BLOCK_THREADS) {
                const u64 row = first_row + i / TILE_DEPTH, depth = first_depth + i % TILE_DEPTH;
                a_tile[i % TILE_DEPTH][i / TILE_DEPTH] = row < m && depth < k ? a[row * k + depth] : 0.0f;
            }
            for (u32 i = threadIdx.x; i < TILE * TILE_DEPTH; i += BLOCK_THREADS) {
                const u64 depth = first_depth + i / TILE, column = first_column + i % TILE;
                b_tile[i / TILE][i % TILE] = depth < k && column < n ? b[depth * n + column] : 0.0f;
            }
            __syncthreads();

            float sums[PER_THREAD][PER_THREAD] = {};
            for (u32 depth = 0; depth < TILE_DEPTH; depth++) {
                float a_part[PER_THREAD], b_part[PER_THREAD];
                for (u32 i = 0; i < PER_THREAD; i++) a_part[i] = a_tile[depth][thread_row + SIDE_THREADS * i];
                for (u32 j = 0; j < PER_THREAD; j++) b_part[j] = b_tile[depth][thread_column + SIDE_THREADS * j];
                for (u32 i = 0; i < PER_THREAD; i++)
                    for (u32 j = 0; j < PER_THREAD; j++) sums[i][j] = fmaf(a_part[i], b_part[j], sums[i][j]);
            }
            for (u32 i = 0; i < PER_THREAD; i++)
                for (u32 j = 0; j < PER_THREAD; j++) totals[i][j].add(sums[i][j]);
            __syncthreads(); // The tiles are overwritten next.
        }

        for (u32 i = 0; i < PER_THREAD; i++)
            for (u32 j = 0; j < PER_THREAD; j++) {
                const u64 row = first_row + thread_row + SIDE_THREADS * i;
                const u64 column = first_column + thread_column + SIDE_THREADS * j;
                if (row < m && column < n) out[row * n + column] = totals[i][j].sum;
            }
    }
}
