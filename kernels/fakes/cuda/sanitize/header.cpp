// TEST ONLY. What cuda_on_cpu.h and cuda_fp16.h promise: shuffles, atomics, conversions.
#include <cuda_fp16.h>

#include "harness.h"

extern "C" {

__global__ void shuffles(int* out) {
    const int lane = static_cast<int>(threadIdx.x % warpSize);
    int* own = out + threadIdx.x * 5;
    own[0] = __shfl_sync(0xffffffffu, lane, 5);
    own[1] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
    own[2] = __shfl_up_sync(0xffffffffu, lane, 3, 8);
    own[3] = __shfl_xor_sync(0xffffffffu, lane, 17);
    // Lanes that a mask leaves out take no part.
    own[4] = lane < 8 ? __shfl_sync(0xffu, lane, lane + 1, 8) : -1;
}

__global__ void atomics(unsigned* counts, float* sum) {
    atomicAdd(&counts[0], 1u);
    atomicMax(&counts[1], threadIdx.x);
    atomicMin(&counts[2], threadIdx.x + 1);
    // One thread alone finds the zero.
    if (atomicCAS(&counts[3], 0u, threadIdx.x + 1) == 0) atomicAdd(&counts[5], 1u);
    if (threadIdx.x == 0) atomicExch(&counts[4], 7u);
    atomicAdd(sum, 0.5f);
}
}

namespace {

bool shuffled() {
    std::vector<int> out(64 * 5);
    RUN(shuffles, 1, 64, out.data());
    bool is_right = true;
    for (int thread = 0; thread < 64; thread++) {
        const int lane = thread % 32, *own = &out[thread * 5];
        is_right &= own[0] == 5 && own[3] == (lane ^ 17);
        is_right &= own[1] == (lane % 8 < 5 ? lane + 3 : lane) && own[2] == (lane % 8 >= 3 ? lane - 3 : lane);
        is_right &= own[4] == (lane < 8 ? (lane + 1) % 8 : -1);
    }
    return is_right;
}

bool counted() {
    std::vector<unsigned> counts = {0, 0, 1000, 0, 0, 0};
    float sum = 0.0f;
    RUN(atomics, 3, 64, counts.data(), &sum);
    return counts[0] == 192 && counts[1] == 63 && counts[2] == 1 && counts[3] > 0 && counts[4] == 7 &&
           counts[5] == 1 && sum == 96.0f;
}

// Binary16 survives the way through binary32, and what lies between two goes to the even one.
bool conversions() {
    bool is_right = true;
    for (unsigned bits = 0; bits < 0x7c00; bits++) {
        const float here = __half2float({static_cast<uint16_t>(bits)});
        const float next = bits == 0x7bff ? 65536.0f : __half2float({static_cast<uint16_t>(bits + 1)});
        const float between = here + (next - here) / 2.0f;
        is_right &= __float2half(here).bits == bits && __float2half(-here).bits == (bits | 0x8000) &&
                    __float2half(between).bits == bits + bits % 2 &&
                    __float2half(nextafterf(between, 0.0f)).bits == bits &&
                    __float2half(nextafterf(between, next)).bits == bits + 1;
    }
    const float infinite = __half2float({0x7c00}), nothing = __half2float({0x7e00});
    return is_right && infinite == INFINITY && nothing != nothing && __float2half(NAN).bits == 0x7fff;
}

}  // namespace

int main() {
    if (!shuffled() || !counted() || !conversions()) {
        fprintf(stderr, "shuffles: %d, atomics: %d, conversions: %d\n", shuffled(), counted(), conversions());
        return 1;
    }
}
