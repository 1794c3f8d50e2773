// sha256_batch: the SHA-256 digest (FIPS 180-4) of each message, one thread for each: the blocks of a message depend
// on one another, so only messages run side by side.
//
// Launch: any one-dimensional grid and block of at most 256 threads; small blocks spread few messages over more of the
// GPU. Message i is lengths[i] bytes at messages + offsets[i]; offsets are multiples of 4, as the arena's ranges are.
// digests holds 32 bytes for each message.
#include "common.cuh"

namespace sha256 {

constexpr u32 BLOCK_WORDS = 16;
constexpr u32 BLOCK_BYTES = 64;
constexpr u32 DIGEST_WORDS = 8;
constexpr u32 ROUNDS = 64;
constexpr u32 LENGTH_BYTES = 8;

__constant__ u32 ROUND_CONSTANTS[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

__device__ __forceinline__ u32 rotate_right(u32 x, u32 by) { return x >> by | x << (32 - by); }

// A big-endian word from a little-endian one, or back.
__device__ __forceinline__ u32 swap_bytes(u32 x) {
    return x << 24 | (x & 0xff00u) << 8 | (x >> 8 & 0xff00u) | x >> 24;
}

// One block into the state (FIPS 180-4, 6.2.2); `words` is used up as the message schedule.
__device__ __forceinline__ void compress(u32 state[DIGEST_WORDS], u32 words[BLOCK_WORDS]) {
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
    for (u32 t = 0; t < ROUNDS; t++) {
        if (t >= BLOCK_WORDS) {
            const u32 w15 = words[(t + 1) % BLOCK_WORDS], w2 = words[(t + 14) % BLOCK_WORDS];
            const u32 sigma0 = rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ w15 >> 3;
            const u32 sigma1 = rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ w2 >> 10;
            words[t % BLOCK_WORDS] += sigma0 + words[(t + 9) % BLOCK_WORDS] + sigma1;
        }
        const u32 sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        const u32 choice = (e & f) ^ (~e & g);
        const u32 temporary1 = h + sum1 + choice + ROUND_CONSTANTS[t] + words[t % BLOCK_WORDS];
        const u32 sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        const u32 majority = (a & b) ^ (a & c) ^ (b & c);
        h = g, g = f, f = e, e = d + temporary1;
        d = c, c = b, b = a, a = temporary1 + sum0 + majority;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

// Byte `index` of the message after padding, but for the length at its end: the message, 0x80, zeros.
__device__ __forceinline__ u32 padded_byte(const unsigned char* message, u64 length, u64 index) {
    return index < length ? message[index] : index == length ? 0x80u : 0u;
}

} // namespace sha256

extern "C" __global__ void __launch_bounds__(WORK_THREADS_MAX) sha256_batch(
    const unsigned char* __restrict__ messages, const u64* __restrict__ offsets, const u64* __restrict__ lengths,
    u32* __restrict__ digests, u64 count) {
    using namespace sha256;
    for (u64 i = grid_thread(); i < count; i += grid_threads()) {
        const unsigned char* message = messages + offsets[i];
        const u64 length = lengths[i];
        const u64 whole_blocks = length / BLOCK_BYTES;
        // What is left of the message, 0x80 and the length take one block or two.
        const u64 blocks = (length + LENGTH_BYTES) / BLOCK_BYTES + 1;
        u32 state[DIGEST_WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
        u32 words[BLOCK_WORDS];

        const u32* message_words = reinterpret_cast<const u32*>(message);
        for (u64 block = 0; block < whole_blocks; block++) {
            for (u32 t = 0; t < BLOCK_WORDS; t++) words[t] = swap_bytes(message_words[block * BLOCK_WORDS + t]);
            compress(state, words);
        }
        for (u64 block = whole_blocks; block < blocks; block++) {
            for (u32 t = 0; t < BLOCK_WORDS; t++) {
                words[t] = 0;
                for (u32 byte = 0; byte < 4; byte++)
                    words[t] = words[t] << 8 | padded_byte(message, length, block * BLOCK_BYTES + t * 4 + byte);
            }
            if (block == blocks - 1) {
                words[BLOCK_WORDS - 2] = static_cast<u32>(length * 8 >> 32);
                words[BLOCK_WORDS - 1] = static_cast<u32>(length * 8);
            }
            compress(state, words);
        }
        for (u32 t = 0; t < DIGEST_WORDS; t++) digests[i * DIGEST_WORDS + t] = swap_bytes(state[t]);
    }
}
