// embed: what lies between the matrix products of all-MiniLM-L6-v2, a BERT encoder (hidden size 384, 12 heads of 32,
// intermediate size 1536, layer norm after each residual sum). The products themselves run in cuBLASLt, binary16
// operands with binary32 sums, and know no bias: it is added here, where the product is read anyway.
//
// The tokens of a batch are packed without padding: activations are [tokens, size], and the tokens of text i are
// starts[i] up to, not including, starts[i + 1], 1 to 256 of them. Where a graph was captured for more texts or tokens
// than a batch has, the rest may be empty texts, which attention passes over and whose vector is NaN, and tokens of no
// text with any valid word and position: neither touches the others. The residual stream, layer norm, softmax and
// pooling are binary32; an operand is the residual stream rounded to binary16. A batch is
//
//   embed_gather_norm; for each layer: product QKV, embed_attention, product, embed_residual_norm, product,
//   embed_bias_gelu, product, embed_residual_norm; then embed_pool.
//
// Sums are taken in an order that depends on the text's length alone, and each kernel says in which: from the same
// products the same text gets the same bits, whatever it is batched with.
#include "common.cuh"

#include <cuda_fp16.h>

namespace embed {

constexpr u32 HIDDEN = 384;
constexpr u32 HEADS = 12;
constexpr u32 HEAD = HIDDEN / HEADS;
constexpr u32 INTERMEDIATE = 1536;

// Eight and four binary16 numbers moved by one instruction. The address is a multiple of the size.
struct alignas(16) Half8 {
    __half values[8];
};
struct alignas(8) Half4 {
    __half values[4];
};

__device__ __forceinline__ Half8 load_half8(const __half* at) { return *reinterpret_cast<const Half8*>(at); }
__device__ __forceinline__ Half4 load_half4(const __half* at) { return *reinterpret_cast<const Half4*>(at); }

// Stored as words: the compiler would take a struct of halves apart.
struct alignas(16) Words4 {
    u32 values[4];
};
struct alignas(8) Words2 {
    u32 values[2];
};

__device__ __forceinline__ void store_half8(__half* at, const Half8& numbers) {
    Words4 words;
    memcpy(&words, &numbers, sizeof words);
    *reinterpret_cast<Words4*>(at) = words;
}
__device__ __forceinline__ void store_half4(__half* at, const Half4& numbers) {
    Words2 words;
    memcpy(&words, &numbers, sizeof words);
    *reinterpret_cast<Words2*>(at) = words;
}

// A token's row as a warp holds it: each lane FOURS groups of four neighbouring numbers, the groups of a warp side by
// side.
constexpr u32 FOURS = HIDDEN / (WARP_THREADS * 4);

struct Row {
    Float4 fours[FOURS];
};

// Where in the row a lane's group of four begins.
__device__ __forceinline__ u32 column_of(u32 four) { return (four * WARP_THREADS + threadIdx.x % WARP_THREADS) * 4; }

__device__ __forceinline__ Row load_row(const float* at) {
    Row row;
#pragma unroll
    for (u32 i = 0; i < FOURS; i++) row.fours[i] = load4(at + column_of(i));
    return row;
}

__device__ __forceinline__ void add(Row& row, const Row& other) {
#pragma unroll
    for (u32 i = 0; i < FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) row.fours[i].values[j] += other.fours[i].values[j];
}

// Means are sums times a reciprocal: a division that rounds to nearest is a subroutine.
constexpr float PER_COLUMN = 1.0f / HIDDEN;

// Layer norm of a row, then both its forms to memory. Order of both sums: a lane's twelve numbers by index from +0,
// then the lanes in a tree. The variance is the mean of the squared deviations, taken after the mean.
__device__ __forceinline__ void normalise_and_store(
    Row row, const float* gain, const float* bias, float epsilon, float* residual, __half* operand) {
    float sum = 0.0f;
#pragma unroll
    for (u32 i = 0; i < FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) sum += row.fours[i].values[j];
    const float mean = combine_warp(sum, Sum<float>{}) * PER_COLUMN;

    float squares = 0.0f;
#pragma unroll
    for (u32 i = 0; i < FOURS; i++)
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            row.fours[i].values[j] -= mean;
            squares = fmaf(row.fours[i].values[j], row.fours[i].values[j], squares);
        }
    const float variance = combine_warp(squares, Sum<float>{}) * PER_COLUMN;
    const float scale = 1.0f / sqrtf(variance + epsilon);

    const Row gains = load_row(gain), biases = load_row(bias);
#pragma unroll
    for (u32 i = 0; i < FOURS; i++) {
        Float4 normalised;
        Half4 rounded;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            const float unit = row.fours[i].values[j] * scale;
            normalised.values[j] = fmaf(unit, gains.fours[i].values[j], biases.fours[i].values[j]);
            rounded.values[j] = __float2half_rn(normalised.values[j]);
        }
        store4(residual + column_of(i), normalised);
        store_half4(operand + column_of(i), rounded);
    }
}

// Attention: a warp answers for QUERIES_MAX neighbouring queries of one text and head, and holds TILE_KEYS of its keys
// and values in shared memory at a time, in binary32 so that they are converted once and not by every lane.
constexpr u32 QUERIES_MAX = 2 * WARP_THREADS;
constexpr u32 TILE_KEYS = 32;
constexpr u32 STEP_KEYS = 4;

// 1/sqrt(HEAD) * log2(e): scores are in units of log2, because exp2f is what the hardware has.
constexpr float SCORE_SCALE = 0.25503486f;

struct Tile {
    Float4 keys[TILE_KEYS][HEAD / 4];
    Float4 values[TILE_KEYS][HEAD / 4];
};

// Eight numbers of a product plus their bias, as two groups of four.
__device__ __forceinline__ void load_biased(const __half* product, const float* bias, Float4& low, Float4& high) {
    const Half8 packed = load_half8(product);
    Float4 first = load4(bias), second = load4(bias + 4);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        first.values[i] += __half2float(packed.values[i]);
        second.values[i] += __half2float(packed.values[i + 4]);
    }
    low = first, high = second;
}

// One head of one text. Positions count numbers in 32 bits, as a batch has far fewer than 2^21 tokens: the pointers
// stay in constant memory, and registers are what this kernel is short of.
struct Text {
    const __half* qkv;
    const float* bias;
    u32 start;
    u32 tokens;
    u32 head_column;

    // Eight neighbouring numbers of a token.
    __device__ __forceinline__ void load(u32 token, u32 column, Float4& low, Float4& high) const {
        load_biased(qkv + ((start + token) * (3 * HIDDEN) + column), bias + column, low, high);
    }
};

// Keys and values of a head from `first` on into the tile; four lanes share a row. Behind the text's end the tile
// holds the last token's, which no score lets count.
__device__ __forceinline__ void fill(Tile& tile, const Text& text, u32 first) {
    const u32 part = threadIdx.x % 4, column = text.head_column + HIDDEN + part * 8;
#pragma unroll 2 // All four at once would take more registers than there are.
    for (u32 i = 0; i < TILE_KEYS; i += WARP_THREADS / 4) {
        const u32 row = i + threadIdx.x / 4;
        const u32 token = first + row < text.tokens ? first + row : text.tokens - 1;
        text.load(token, column, tile.keys[row][part * 2], tile.keys[row][part * 2 + 1]);
        text.load(token, column + HIDDEN, tile.values[row][part * 2], tile.values[row][part * 2 + 1]);
    }
}

// One query of a lane while its text's keys pass by: with the largest score so far, the weights' sum and the weighted
// sum of values, both relative to that score.
struct Query {
    Float4 query[HEAD / 4];
    Float4 output[HEAD / 4];
    float largest;
    float weights;

    __device__ __forceinline__ void begin(const Text& text, u32 token) {
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i += 2) text.load(token, text.head_column + i * 4, query[i], query[i + 1]);
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                query[i].values[j] *= SCORE_SCALE;
                output[i].values[j] = 0.0f;
            }
        largest = -INFINITY, weights = 0.0f;
    }

    __device__ __forceinline__ float score(const Float4* key) const {
        float score = 0.0f;
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) score = fmaf(query[i].values[j], key[i].values[j], score);
        return score;
    }

    // What was added so far is relative to `largest`; from here on to what may be larger.
    __device__ __forceinline__ void raise(float next) {
        if (next <= largest) return; // The factor would be 1.
        const float factor = exp2f(largest - next);
        largest = next, weights *= factor;
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) output[i].values[j] *= factor;
    }

    __device__ __forceinline__ void add(float weight, const Float4* value) {
        weights += weight;
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i++)
#pragma unroll
            for (u32 j = 0; j < 4; j++) output[i].values[j] = fmaf(weight, value[i].values[j], output[i].values[j]);
    }

    __device__ __forceinline__ void store(__half* at) const {
        const float scale = 1.0f / weights;
#pragma unroll
        for (u32 i = 0; i < HEAD / 4; i += 2) {
            Half8 packed;
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                packed.values[j] = __float2half_rn(output[i].values[j] * scale);
                packed.values[j + 4] = __float2half_rn(output[i + 1].values[j] * scale);
            }
            store_half8(at + i * 4, packed);
        }
    }
};

// One pass over a text's keys, STEP_KEYS at a time: scores, their largest, weights, sums. Order of every sum: by key,
// a score's by dimension, from +0. Scores are binary32 throughout; a NaN among them reaches the output, whatever the
// largest is.
template <u32 QUERIES>
__device__ __forceinline__ void attend(
    Tile& tile, const Text& text, __half* output, u32 first_query) {
    Query queries[QUERIES];
#pragma unroll
    for (u32 q = 0; q < QUERIES; q++) {
        // A lane behind the text's end answers the last query once more, and stores nothing.
        const u32 token = first_query + q * WARP_THREADS + threadIdx.x;
        queries[q].begin(text, token < text.tokens ? token : text.tokens - 1);
    }
    for (u32 first = 0; first < text.tokens; first += TILE_KEYS) {
        __syncwarp(); // The tile before this one has been read.
        fill(tile, text, first);
        __syncwarp();
        for (u32 step = 0; step < TILE_KEYS && first + step < text.tokens; step += STEP_KEYS) {
            float weights[QUERIES][STEP_KEYS];
#pragma unroll
            for (u32 k = 0; k < STEP_KEYS; k++)
#pragma unroll
                for (u32 q = 0; q < QUERIES; q++) weights[q][k] = queries[q].score(tile.keys[step + k]);
            // Once for a text, and apart from the products, which would otherwise wait for one another's conditions.
            const u32 left = text.tokens - first - step;
            if (left < STEP_KEYS) {
#pragma unroll
                for (u32 k = 1; k < STEP_KEYS; k++)
#pragma unroll
                    for (u32 q = 0; q < QUERIES; q++)
                        if (k >= left) weights[q][k] = -INFINITY;
            }
#pragma unroll
            for (u32 q = 0; q < QUERIES; q++) {
                float largest = weights[q][0];
#pragma unroll
                for (u32 k = 1; k < STEP_KEYS; k++) largest = fmaxf(largest, weights[q][k]);
                queries[q].raise(largest);
#pragma unroll
                for (u32 k = 0; k < STEP_KEYS; k++) weights[q][k] = exp2f(weights[q][k] - queries[q].largest);
            }
#pragma unroll
            for (u32 k = 0; k < STEP_KEYS; k++)
#pragma unroll
                for (u32 q = 0; q < QUERIES; q++) queries[q].add(weights[q][k], tile.values[step + k]);
        }
    }
#pragma unroll
    for (u32 q = 0; q < QUERIES; q++) {
        const u32 token = first_query + q * WARP_THREADS + threadIdx.x;
        if (token < text.tokens) queries[q].store(output + (text.start + token) * HIDDEN + text.head_column);
    }
}

// GELU with the error function, as BERT has it; the tanh form is another function.
__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

// Pooling: a thread adds one group of four columns of every PARTS-th token.
constexpr u32 POOL_FOURS = HIDDEN / 4;
constexpr u32 POOL_PARTS = 4;
constexpr u32 POOL_THREADS = POOL_FOURS * POOL_PARTS;
constexpr u32 POOL_LOADS = 8; // In flight together for each thread.

// A vector of zeros stays one: the smallest length that is divided by.
constexpr float LENGTH_MIN = 1e-12f;

} // namespace embed

// (word + type) + position embedding of each token, then layer norm: the first residual stream and operand. words[i]
// and positions[i] are rows of their tables, positions counted within the text; all tokens are of type 0, whose row is
// `type`.
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 256; a warp takes one token after another.
extern "C" __global__ void __launch_bounds__(WORK_THREADS_MAX) embed_gather_norm(
    const u32* __restrict__ words, const u32* __restrict__ positions, const float* __restrict__ word_rows,
    const float* __restrict__ position_rows, const float* __restrict__ type, const float* __restrict__ gain,
    const float* __restrict__ bias, float* __restrict__ residual, __half* __restrict__ operand, u32 tokens,
    float epsilon) {
    using namespace embed;
    const WarpTeam team;
    for (u64 token = team.first_row(); token < tokens; token += team.row_step()) {
        Row row = load_row(word_rows + static_cast<u64>(words[token]) * HIDDEN);
        add(row, load_row(type));
        add(row, load_row(position_rows + static_cast<u64>(positions[token]) * HIDDEN));
        normalise_and_store(row, gain, bias, epsilon, residual + token * HIDDEN, operand + token * HIDDEN);
    }
}

// softmax(Q K^T / sqrt(32)) V for each text and head. `qkv` is the product of operand and the three weights side by
// side, [tokens, 3 * 384], `bias` its 1152 biases; `output` is [tokens, 384], the heads side by side.
//
// Launch: grid (texts, 12, groups) with at least ceil(longest text / 64) groups (4 always suffice: blocks behind a
// text's end return at once), block of exactly 32 threads. A block is one warp and answers for 64 neighbouring queries
// of a text and head, two a lane, so that each key and value that it reads from shared memory serves two; for the last
// 32 or fewer it is one a lane.
extern "C" __global__ void __launch_bounds__(WARP_THREADS, 12) embed_attention(
    const __half* __restrict__ qkv, const float* __restrict__ bias, const u32* __restrict__ starts,
    __half* __restrict__ output) {
    using namespace embed;
    __shared__ Tile tile;
    const u32 start = starts[blockIdx.x], first_query = blockIdx.z * QUERIES_MAX;
    const Text text = {qkv, bias, start, starts[blockIdx.x + 1] - start, blockIdx.y * HEAD};
    if (first_query >= text.tokens) return;
    if (text.tokens - first_query <= WARP_THREADS)
        attend<1>(tile, text, output, first_query);
    else
        attend<2>(tile, text, output, first_query);
}

// GELU of product plus bias, in place: `activations` is [tokens, 1536], `bias` 1536 numbers.
//
// Launch: any one-dimensional grid and block of at most 256 threads; a thread takes eight neighbouring numbers at a
// time.
extern "C" __global__ void __launch_bounds__(WORK_THREADS_MAX) embed_bias_gelu(
    __half* __restrict__ activations, const float* __restrict__ bias, u32 tokens) {
    using namespace embed;
    constexpr u32 EIGHTS = INTERMEDIATE / 8;
    for (u64 i = grid_thread(); i < static_cast<u64>(tokens) * EIGHTS; i += grid_threads()) {
        const u32 column = static_cast<u32>(i % EIGHTS) * 8;
        Float4 low, high;
        load_biased(activations + i * 8, bias + column, low, high);
        Half8 packed;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            packed.values[j] = __float2half_rn(gelu(low.values[j]));
            packed.values[j + 4] = __float2half_rn(gelu(high.values[j]));
        }
        store_half8(activations + i * 8, packed);
    }
}

// Layer norm of (product + bias) + residual: the next residual stream, in place, and operand. `product` is [tokens,
// 384].
//
// Launch: one-dimensional, blockDim.x a multiple of 32, at most 256; a warp takes one token after another.
extern "C" __global__ void __launch_bounds__(WORK_THREADS_MAX) embed_residual_norm(
    const __half* __restrict__ product, const float* __restrict__ product_bias, float* __restrict__ residual,
    const float* __restrict__ gain, const float* __restrict__ bias, __half* __restrict__ operand, u32 tokens,
    float epsilon) {
    using namespace embed;
    const WarpTeam team;
    for (u64 token = team.first_row(); token < tokens; token += team.row_step()) {
        Row row = load_row(product_bias);
#pragma unroll
        for (u32 i = 0; i < FOURS; i++) {
            const Half4 packed = load_half4(product + token * HIDDEN + column_of(i));
#pragma unroll
            for (u32 j = 0; j < 4; j++) row.fours[i].values[j] += __half2float(packed.values[j]);
        }
        add(row, load_row(residual + token * HIDDEN));
        normalise_and_store(row, gain, bias, epsilon, residual + token * HIDDEN, operand + token * HIDDEN);
    }
}

// The mean over a text's tokens, scaled to length 1: `out` is [texts, 384]. Order of the mean's sum: every fourth
// token by index from +0, then the four parts by index; of the squares': four neighbouring columns by index, then in a
// tree.
//
// Launch: one-dimensional grid, block of exactly 384 threads; a block takes one text after another.
extern "C" __global__ void __launch_bounds__(embed::POOL_THREADS) embed_pool(
    const float* __restrict__ residual, const u32* __restrict__ starts, float* __restrict__ out, u32 texts) {
    using namespace embed;
    __shared__ Float4 parts[POOL_PARTS][POOL_FOURS];
    __shared__ float partials[BLOCK_WARPS_MAX];
    const u32 part = threadIdx.x / POOL_FOURS, four = threadIdx.x % POOL_FOURS;
    for (u32 text = blockIdx.x; text < texts; text += gridDim.x) {
        const u32 start = starts[text], end = starts[text + 1];
        Float4 sum = {};
        for (u32 first = start + part; first < end; first += POOL_PARTS * POOL_LOADS) {
            Float4 numbers[POOL_LOADS];
#pragma unroll
            for (u32 i = 0; i < POOL_LOADS; i++) {
                const u32 token = first + i * POOL_PARTS;
                numbers[i] = token < end ? load4(residual + static_cast<u64>(token) * HIDDEN + four * 4) : Float4{};
            }
#pragma unroll
            for (u32 i = 0; i < POOL_LOADS; i++)
#pragma unroll
                for (u32 j = 0; j < 4; j++) sum.values[j] += numbers[i].values[j];
        }
        parts[part][four] = sum;
        __syncthreads();

        // Every part's threads add the same four sums; the first part's alone count and store.
        Float4 mean = parts[0][four];
        const float per_token = 1.0f / static_cast<float>(end - start);
        float squares = 0.0f;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
#pragma unroll
            for (u32 i = 1; i < POOL_PARTS; i++) mean.values[j] += parts[i][four].values[j];
            mean.values[j] *= per_token;
            squares = fmaf(mean.values[j], mean.values[j], squares);
        }
        // Also the barrier behind which `parts` may be written again.
        const float length = sqrtf(combine_block(part == 0 ? squares : 0.0f, 0.0f, Sum<float>{}, partials));
        const float scale = 1.0f / fmaxf(length, LENGTH_MIN);
#pragma unroll
        for (u32 j = 0; j < 4; j++) mean.values[j] *= scale;
        if (part == 0) store4(out + static_cast<u64>(text) * HIDDEN + four * 4, mean);
    }
}
