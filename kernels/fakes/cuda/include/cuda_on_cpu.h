// TEST ONLY. The subset of CUDA C++ that kernels/cuda uses, as C++17, so that the very files that ship run on a CPU.
//
// A block's threads are fibers of one thread of the operating system; a barrier or a shuffle switches to the next.
// Outside the subset: tensor cores, inline PTX, TMA, clusters, dynamic shared memory, textures, warps whose lanes meet
// under different masks, and the device's own rounding of transcendental functions.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

// Shared memory is one object for all fibers. AddressSanitizer surrounds a plain static with redzones. Under
// ThreadSanitizer each block is a thread of the operating system, so it has its own. Else all of it lies in one section
// that is poisoned before each block.
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_CPU_LOCAL
#define __shared__ static
#elif defined(__SANITIZE_THREAD__) || defined(CUDA_ON_CPU_THREADS)
#define CUDA_ON_CPU_LOCAL thread_local
#define __shared__ static thread_local
#else
#define CUDA_ON_CPU_LOCAL
#define __shared__ static __attribute__((section("cuda_shared")))
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The vector types, aligned as a device demands it of one load or store.
#define CUDA_ON_CPU_VECTORS(element, name) \
    struct alignas(2 * sizeof(element)) name##2 { element x, y; }; \
    struct alignas(16) name##4 { element x, y, z, w; }; \
    inline name##2 make_##name##2(element x, element y) { return {x, y}; } \
    inline name##4 make_##name##4(element x, element y, element z, element w) { return {x, y, z, w}; }
CUDA_ON_CPU_VECTORS(float, float)
CUDA_ON_CPU_VECTORS(unsigned, uint)

namespace cuda_on_cpu {

struct Thread {
    uint3 index, block;
    dim3 block_size, grid_size;
    unsigned warp, lane;
};

// The fiber that runs.
extern CUDA_ON_CPU_LOCAL Thread* current;

void synchronise_block(unsigned line);
// Every lane of `mask` gives `bytes` of `given` and gets those of lane `source`.
void exchange(unsigned mask, unsigned source, const void* given, void* taken, unsigned bytes);

template <class Value>
Value shuffle(unsigned mask, Value value, unsigned source) {
    static_assert(sizeof(Value) <= 8, "a shuffle moves at most 8 bytes");
    Value taken;
    exchange(mask, source, &value, &taken, sizeof(Value));
    return taken;
}

// The lane that is meant, or the own one where it lies outside this lane's part of `width` lanes.
inline unsigned within(unsigned source, unsigned width) {
    const unsigned lane = current->lane;
    return (source & ~(width - 1)) == (lane & ~(width - 1)) ? source : lane;
}

// A kernel as a host launches it: by name, with a pointer to each argument.
struct Kernel {
    const char* name;
    void (*call)(void** arguments);
    const unsigned* argument_bytes;
    size_t argument_count;
    unsigned block_threads_max;
};

enum Outcome { FINISHED = 0, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719 };

template <auto Function>
struct Entry;
template <class... Arguments, void (*Function)(Arguments...)>
struct Entry<Function> {
    static constexpr unsigned BYTES[] = {sizeof(Arguments)..., 0};
    static constexpr size_t COUNT = sizeof...(Arguments);
    // Whether the arguments have these sizes.
    static constexpr bool takes(std::initializer_list<unsigned> sizes) {
        bool same = sizes.size() == COUNT;
        for (size_t i = 0; same && i < COUNT; i++) same = sizes.begin()[i] == BYTES[i];
        return same;
    }
    static void call(void** arguments) { spread(arguments, std::index_sequence_for<Arguments...>{}); }
    template <size_t... Index>
    static void spread(void** arguments, std::index_sequence<Index...>) {
        Function(*static_cast<std::remove_cv_t<Arguments>*>(arguments[Index])...);
    }
};

}  // namespace cuda_on_cpu

// Runs a grid to its end, or to the first mistake, which `message` then names until the next call. One at a time.
extern "C" cuda_on_cpu::Outcome cuda_on_cpu_launch(
    const cuda_on_cpu::Kernel* kernel, const dim3* grid, const dim3* block, void** arguments, const char** message);

// An entry of a table of kernels.
#define CUDA_ON_CPU_KERNEL(function, block_threads_max) \
    { #function, cuda_on_cpu::Entry<function>::call, cuda_on_cpu::Entry<function>::BYTES, \
      cuda_on_cpu::Entry<function>::COUNT, block_threads_max }

#define threadIdx (cuda_on_cpu::current->index)
#define blockIdx (cuda_on_cpu::current->block)
#define blockDim (cuda_on_cpu::current->block_size)
#define gridDim (cuda_on_cpu::current->grid_size)
#define warpSize 32
#define __syncthreads() cuda_on_cpu::synchronise_block(__LINE__)

inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_on_cpu::shuffle(mask, 0u, cuda_on_cpu::current->lane); }

template <class Value>
Value __shfl_sync(unsigned mask, Value value, int source, int width = warpSize) {
    const unsigned first = cuda_on_cpu::current->lane & ~(width - 1u);
    return cuda_on_cpu::shuffle(mask, value, first | (static_cast<unsigned>(source) & (width - 1u)));
}
template <class Value>
Value __shfl_down_sync(unsigned mask, Value value, unsigned distance, int width = warpSize) {
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::within(cuda_on_cpu::current->lane + distance, width));
}
template <class Value>
Value __shfl_up_sync(unsigned mask, Value value, unsigned distance, int width = warpSize) {
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::within(cuda_on_cpu::current->lane - distance, width));
}
template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, int distance, int width = warpSize) {
    return cuda_on_cpu::shuffle(mask, value, cuda_on_cpu::within(cuda_on_cpu::current->lane ^ distance, width));
}

// Atomics are relaxed, as on a device.
template <class Value>
bool cuda_on_cpu_replace(Value* at, Value& old, Value by) {
    return __atomic_compare_exchange(at, &old, &by, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
template <class Value, class Change>
Value cuda_on_cpu_update(Value* at, Change change) {
    Value old;
    __atomic_load(at, &old, __ATOMIC_RELAXED);
    while (!cuda_on_cpu_replace(at, old, static_cast<Value>(change(old)))) {}
    return old;
}
template <class Value>
Value atomicAdd(Value* at, Value by) { return cuda_on_cpu_update(at, [&](Value old) { return old + by; }); }
template <class Value>
Value atomicMax(Value* at, Value by) { return cuda_on_cpu_update(at, [&](Value old) { return std::max(old, by); }); }
template <class Value>
Value atomicMin(Value* at, Value by) { return cuda_on_cpu_update(at, [&](Value old) { return std::min(old, by); }); }
template <class Value>
Value atomicExch(Value* at, Value by) { return cuda_on_cpu_update(at, [&](Value) { return by; }); }
template <class Value>
Value atomicCAS(Value* at, Value expected, Value by) {
    cuda_on_cpu_replace(at, expected, by);
    return expected;
}
