// TEST ONLY. Launches kernels as a host would, on arrays that are exactly as long as the kernel is told.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda_on_cpu.h"

template <auto Function>
struct Launch;
template <class... Parameters, void (*Function)(Parameters...)>
struct Launch<Function> {
    // Stops the program where the kernel does not run to its end.
    static void run(const char* name, dim3 grid, dim3 block, Parameters... arguments) {
        const cuda_on_cpu::Kernel kernel = {name, cuda_on_cpu::Entry<Function>::call, nullptr, 0, 0};
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&arguments))..., nullptr};
        const char* message;
        if (cuda_on_cpu_launch(&kernel, &grid, &block, pointers, &message) != cuda_on_cpu::FINISHED) {
            fprintf(stderr, "cuda_on_cpu: %s\n", message);
            exit(1);
        }
        printf("ran %s\n", name);
    }
};
#define RUN(kernel, ...) Launch<kernel>::run(#kernel, __VA_ARGS__)

// What no kernel writes: no number that it computes from the numbers below is this NaN.
constexpr unsigned char UNWRITTEN = 0xff;

// An array for a kernel to write.
template <class Element>
std::vector<Element> unwritten(size_t count) {
    std::vector<Element> array(count);
    if (count > 0) memset(static_cast<void*>(array.data()), UNWRITTEN, count * sizeof(Element));
    return array;
}

// Stops the program where an element was left as it was.
template <class Element>
void is_written(const std::vector<Element>& array, const char* kernel) {
    const Element nothing = unwritten<Element>(1)[0];
    for (size_t i = 0; i < array.size(); i++)
        if (memcmp(&array[i], &nothing, sizeof(Element)) == 0) {
            fprintf(stderr, "%s left element %zu of %zu unwritten\n", kernel, i, array.size());
            exit(1);
        }
}

// Numbers from -1 to 1, the same in every run.
inline std::vector<float> numbers(size_t count) {
    std::vector<float> array(count);
    uint32_t state = 1;
    for (float& element : array) {
        state = state * 1664525 + 1013904223;
        element = static_cast<float>(state >> 8) / static_cast<float>(1 << 23) - 1.0f;
    }
    return array;
}
