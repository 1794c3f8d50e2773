// transpose: rows become columns. Elements are moved as 32-bit words, so no NaN changes.
//
// Launch: one-dimensional grid, block of exactly 32 x 8 threads (x, y); a block takes one tile of 64 x 64 after
// another. A tile goes through shared memory so that both the loads and the stores of a warp are contiguous runs; the
// odd row length keeps a column of the tile in 32 different banks.
#include "common.cuh"

namespace transposition {

constexpr u32 TILE = 64;
constexpr u32 BLOCK_COLUMNS = 32;
constexpr u32 BLOCK_ROWS = 8;
constexpr u32 PER_THREAD = TILE / BLOCK_ROWS * (TILE / BLOCK_COLUMNS);

// Where in the tile this thread's i-th word is: in neighbouring columns for the threads of a warp.
__device__ __forceinline__ u32 row_of(u32 i) { return threadIdx.y + i / 2 * BLOCK_ROWS; }
__device__ __forceinline__ u32 column_of(u32 i) { return threadIdx.x + i % 2 * BLOCK_COLUMNS; }

} // namespace transposition

extern "C" __global__ void __launch_bounds__(transposition::BLOCK_COLUMNS * transposition::BLOCK_ROWS) transpose(
    const u32* __restrict__ x, u32* __restrict__ out, u64 rows, u64 columns) {
    using namespace transposition;
    __shared__ u32 tile[TILE][TILE + 1];
    // 32 bits hold the number of tiles of any array of the catalogue, and divide faster.
    const u32 tiles_across = static_cast<u32>((columns + TILE - 1) / TILE);
    const u32 tiles = tiles_across * static_cast<u32>((rows + TILE - 1) / TILE);
    for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
        const u64 first_row = static_cast<u64>(number / tiles_across) * TILE;
        const u64 first_column = static_cast<u64>(number % tiles_across) * TILE;

        // All loads before the first store, so that they are in flight together.
        u32 moved[PER_THREAD];
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) {
            const u64 row = first_row + row_of(i), column = first_column + column_of(i);
            moved[i] = row < rows && column < columns ? x[row * columns + column] : 0;
        }
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) tile[row_of(i)][column_of(i)] = moved[i];
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < PER_THREAD; i++) {
            const u64 row = first_row + column_of(i), column = first_column + row_of(i);
            if (row < rows && column < columns) out[column * rows + row] = tile[column_of(i)][row_of(i)];
        }
        __syncthreads(); // The tile is overwritten next.
    }
}
