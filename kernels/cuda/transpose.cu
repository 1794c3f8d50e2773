// transpose: rows become columns. Elements are moved as 32-bit words, so no NaN changes.
//
// Launch: one-dimensional grid, block of exactly 32 x 8 threads (x, y); a block takes one tile after another. A tile goes
// through shared memory so that both the loads and the stores of a warp are one contiguous run; the odd row length keeps
// a column of the tile in 32 different banks.
#include "common.cuh"

namespace transposition {

constexpr u32 TILE = 32;
constexpr u32 BLOCK_ROWS = 8;
constexpr u32 PER_THREAD = TILE / BLOCK_ROWS;

} // namespace transposition

extern "C" __global__ void __launch_bounds__(transposition::TILE * transposition::BLOCK_ROWS) transpose(
    const u32* __restrict__ x, u32* __restrict__ out, u64 rows, u64 columns) {
    using namespace transposition;
    __shared__ u32 tile[TILE][TILE + 1];
    const u64 tiles_across = (columns + TILE - 1) / TILE;
    const u64 tiles = tiles_across * ((rows + TILE - 1) / TILE);
    for (u64 number = blockIdx.x; number < tiles; number += gridDim.x) {
        const u64 first_row = number / tiles_across * TILE;
        const u64 first_column = number % tiles_across * TILE;

        // All loads before the first store, so that they are in flight together.
        u32 moved[PER_THREAD];
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) {
            const u64 row = first_row + threadIdx.y + i * BLOCK_ROWS, column = first_column + threadIdx.x;
            moved[i] = row < rows && column < columns ? x[row * columns + column] : 0;
        }
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) tile[threadIdx.y + i * BLOCK_ROWS][threadIdx.x] = moved[i];
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) {
            const u32 j = threadIdx.y + i * BLOCK_ROWS;
            const u64 column = first_column + j, row = first_row + threadIdx.x;
            if (row < rows && column < columns) out[column * rows + row] = tile[threadIdx.x][j];
        }
        __syncthreads(); // The tile is overwritten next.
    }
}
