// What several kernels share: index types, IEEE 754-2019 extremes, and teams of threads that take one row each.
//
// The numeric definition of each operation is the Rust one (kernels/src/operations); where these kernels add in
// another order or width, the difference stays within the catalogue's tolerance. Compile without --use_fast_math:
// subnormal numbers are kept, and divisions and square roots round to nearest.
//
// All sources of this folder become one translation unit: what is not a kernel stands in a namespace of its file.
//
// Every array that a kernel is given begins at a multiple of ARRAY_ALIGNMENT_BYTES, as device allocations and the
// arena's ranges do; only rows inside of a matrix may begin anywhere.
#pragma once

using u32 = unsigned int;
using u64 = unsigned long long;

constexpr u32 WARP_THREADS = 32;
constexpr u32 BLOCK_WARPS_MAX = 32;

// The largest blocks: smaller where threads need more registers than a GPU has for 1024 of them.
constexpr u32 BLOCK_THREADS_MAX = WARP_THREADS * BLOCK_WARPS_MAX;
constexpr u32 ROW_THREADS_MAX = 512;
constexpr u32 WORK_THREADS_MAX = 256;
constexpr u32 EVERY_LANE = 0xffffffffu;
constexpr u32 ARRAY_ALIGNMENT_BYTES = 16;

// Four numbers moved by one instruction. The address is a multiple of its size.
struct alignas(ARRAY_ALIGNMENT_BYTES) Float4 {
    float values[4];
};

__device__ __forceinline__ Float4 load4(const float* at) { return *reinterpret_cast<const Float4*>(at); }
__device__ __forceinline__ void store4(float* at, const Float4& numbers) { *reinterpret_cast<Float4*>(at) = numbers; }

// This thread's number in the grid, and the grid's number of threads, for loops over elements.
__device__ __forceinline__ u64 grid_thread() { return blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; }
__device__ __forceinline__ u64 grid_threads() { return gridDim.x * static_cast<u64>(blockDim.x); }

// maximum: a NaN wins, and +0 over -0. fmaxf would drop the NaN.
__device__ __forceinline__ float maximum(float a, float b) {
    return a != a || a > b || (a == b && copysignf(1.0f, b) < 0.0f) ? a : b;
}

// minimum: a NaN wins, and -0 over +0.
__device__ __forceinline__ float minimum(float a, float b) { return -maximum(-a, -b); }

template <class Value>
struct Sum {
    __device__ __forceinline__ Value operator()(Value a, Value b) const { return a + b; }
};

struct Maximum {
    __device__ __forceinline__ float operator()(float a, float b) const { return maximum(a, b); }
};

struct Minimum {
    __device__ __forceinline__ float operator()(float a, float b) const { return minimum(a, b); }
};

// The values of all lanes combined, in every lane.
template <class Value, class Combine>
__device__ __forceinline__ Value combine_warp(Value value, Combine combine) {
    for (u32 distance = WARP_THREADS / 2; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(EVERY_LANE, value, distance));
    return value;
}

// The values of all threads combined, in every thread. `partials` is shared memory for BLOCK_WARPS_MAX values, which
// may be used again at once; `identity` changes nothing it is combined with. blockDim.x is a multiple of WARP_THREADS,
// and every thread of the block takes part.
template <class Value, class Combine>
__device__ __forceinline__ Value combine_block(Value value, Value identity, Combine combine, Value* partials) {
    const u32 lane = threadIdx.x % WARP_THREADS;
    value = combine_warp(value, combine);
    __syncthreads(); // A call before this one may still be reading.
    if (lane == 0) partials[threadIdx.x / WARP_THREADS] = value;
    __syncthreads();
    return combine_warp(lane < blockDim.x / WARP_THREADS ? partials[lane] : identity, combine);
}

// Threads that take one row together; the grid's teams take one row after another. Both kinds have the same members:
// `rank` of `size()` threads, the rows from `first_row()` in steps of `row_step()`, and `combine` over the team.

// A warp: for rows so short that a block would wait at its barriers rather than for memory.
struct WarpTeam {
    u32 rank = threadIdx.x % WARP_THREADS;

    __device__ __forceinline__ u32 size() const { return WARP_THREADS; }
    __device__ __forceinline__ u64 first_row() const { return grid_thread() / WARP_THREADS; }
    __device__ __forceinline__ u64 row_step() const { return grid_threads() / WARP_THREADS; }

    template <class Value, class Combine>
    __device__ __forceinline__ Value combine(Value value, Value, Combine combine) const {
        return combine_warp(value, combine);
    }
};

// A block, with shared memory for BLOCK_WARPS_MAX values of either width.
struct BlockTeam {
    float* floats;
    double* doubles;
    u32 rank = threadIdx.x;

    __device__ __forceinline__ BlockTeam(float* floats, double* doubles) : floats(floats), doubles(doubles) {}
    __device__ __forceinline__ u32 size() const { return blockDim.x; }
    __device__ __forceinline__ u64 first_row() const { return blockIdx.x; }
    __device__ __forceinline__ u64 row_step() const { return gridDim.x; }

    template <class Combine>
    __device__ __forceinline__ float combine(float value, float identity, Combine combine) const {
        return combine_block(value, identity, combine, floats);
    }
    template <class Combine>
    __device__ __forceinline__ double combine(double value, double identity, Combine combine) const {
        return combine_block(value, identity, combine, doubles);
    }
};

// A row has fewer than 2^31 columns (the catalogue's arrays are smaller), though counts are 64 bits wide: what counts
// columns within a row may be a u32.
__device__ __forceinline__ u32 narrow(u64 columns) { return static_cast<u32>(columns); }

// Elements that one thread loads before it uses the first, four by each load: so many of each thread in flight keep the
// memory busy. A loop left to the compiler to unroll would wait for each load before it tests for the end again.
constexpr u32 HELD_FOURS = 4;
constexpr u32 HELD_MAX = HELD_FOURS * 4;
using Held = float[HELD_MAX];

// The column at which this thread's group of four begins, in a part of the row that begins at `begin`.
template <class Team>
__device__ __forceinline__ u32 column_of(const Team& team, u32 begin, u32 four) {
    return begin + (team.rank + four * team.size()) * 4;
}

// This thread's share of the columns from `begin` on, `filler` where the row has none; how many the row has. Rows begin
// at a multiple of four.
template <class Team>
__device__ __forceinline__ u32 hold(
    const Team& team, const float* elements, u32 begin, u32 columns, float filler, Held& held) {
    u32 count = 0;
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++) {
        const u32 column = column_of(team, begin, i);
        const bool is_there = column < columns;
        const Float4 four = is_there ? load4(elements + column) : Float4{{filler, filler, filler, filler}};
#pragma unroll
        for (u32 j = 0; j < 4; j++) held[i * 4 + j] = four.values[j];
        count += is_there ? 4 : 0;
    }
    return count;
}

// Stores of(i, column), the four numbers of held[i] and the three behind it, where the row has them.
template <class Team, class Of>
__device__ __forceinline__ void store_held(const Team& team, float* out, u32 begin, u32 columns, Of of) {
#pragma unroll
    for (u32 i = 0; i < HELD_FOURS; i++) {
        const u32 column = column_of(team, begin, i);
        if (column < columns) store4(out + column, of(i * 4, column));
    }
}

// Calls use(element) for this thread's share of a row of any length.
template <class Team, class Use>
__device__ __forceinline__ void for_each_element(const Team& team, const float* elements, u32 columns, Use use) {
    if (columns % 4 != 0) {
#pragma unroll 1 // Rows of any length are rare, and registers are not.
        for (u32 column = team.rank; column < columns; column += team.size()) use(elements[column]);
        return;
    }
    for (u32 begin = 0; begin < columns; begin += team.size() * HELD_MAX) {
        Held held;
        hold(team, elements, begin, columns, 0.0f, held);
#pragma unroll
        for (u32 i = 0; i < HELD_MAX; i++) {
            if (column_of(team, begin, i / 4) >= columns) break;
            use(held[i]);
        }
    }
}

// Calls use(numbers, count) for arrays that together are this thread's share of a row of any length; only the first
// `count` of each are the row's, one or whole fours, the rest are `filler`.
template <class Team, class Use>
__device__ __forceinline__ void for_each_part(
    const Team& team, const float* elements, u32 columns, float filler, Use use) {
    if (columns % 4 != 0) {
#pragma unroll 1
        for (u32 column = team.rank; column < columns; column += team.size()) {
            const float one[1] = {elements[column]};
            use(one, 1u);
        }
        return;
    }
    for (u32 begin = 0; begin < columns; begin += team.size() * HELD_MAX) {
        Held held;
        const u32 count = hold(team, elements, begin, columns, filler, held);
        if (count > 0) use(held, count);
    }
}

// out[column] = of(elements[column], column) for this thread's share of a row of any length; `of` takes one number or four
// in a row. Rows of a multiple of four go backwards: what a pass before it read last may be in the cache still.
template <class Team, class Of>
__device__ __forceinline__ void map_elements(
    const Team& team, const float* elements, float* out, u32 columns, const Of& of) {
    if (columns % 4 != 0) {
#pragma unroll 1
        for (u32 column = team.rank; column < columns; column += team.size())
            out[column] = of(elements[column], column);
        return;
    }
    const u32 part = team.size() * HELD_MAX;
    for (u32 end = (columns + part - 1) / part * part; end > 0; end -= part) {
        Held held;
        hold(team, elements, end - part, columns, 0.0f, held);
        store_held(team, out, end - part, columns, [&](u32 i, u32 column) {
            return of(Float4{{held[i], held[i + 1], held[i + 2], held[i + 3]}}, column);
        });
    }
}

// Whether a team can hold a whole row.
template <class Team>
__device__ __forceinline__ bool can_hold(const Team& team, u32 columns) {
    return columns % 4 == 0 && columns <= team.size() * HELD_MAX;
}

// Calls rows_of(WarpTeam) or rows_of(BlockTeam), whichever suits rows of this length; all threads come to the same
// choice.
template <class Rows>
__device__ __forceinline__ void with_team(u32 columns, float* floats, double* doubles, Rows rows_of) {
    if (columns <= WARP_THREADS * HELD_MAX)
        rows_of(WarpTeam{});
    else
        rows_of(BlockTeam{floats, doubles});
}
