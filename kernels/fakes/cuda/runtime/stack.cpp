// TEST ONLY. See stack.h.
#include "stack.h"

#include <sys/mman.h>

#include <cstdlib>
#include <vector>

#include "cuda_on_cpu.h"

#if !defined(__x86_64__)
#error "the switch between fibers is written for x86-64"
#endif

// Keeps what a callee must keep (System V ABI), changes stacks, and returns on the new one.
extern "C" void cuda_on_cpu_switch(void** save, void* to);
asm(R"(
.text
.type cuda_on_cpu_switch,@function
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuda_on_cpu_switch, .-cuda_on_cpu_switch
)");

namespace cuda_on_cpu {
namespace {

constexpr size_t SAVED_REGISTERS = 6;
constexpr size_t PAGE_BYTES = 4096;
// A kernel of the module uses some hundred bytes; a sanitizer's frames and a signal's are larger.
constexpr size_t STACK_BYTES = 128 * 1024;

// The stacks of one thread, kept from block to block. Under each lies a page that nobody may touch.
struct Pool {
    std::vector<char*> stacks;
    ~Pool() {
        for (char* stack : stacks) munmap(stack - PAGE_BYTES, STACK_BYTES + PAGE_BYTES);
    }
    char* stack(size_t number) {
        while (stacks.size() <= number) {
            const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            void* mapped = mmap(nullptr, STACK_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
            if (mapped == MAP_FAILED || mprotect(mapped, PAGE_BYTES, PROT_NONE) != 0) abort();
            stacks.push_back(static_cast<char*>(mapped) + PAGE_BYTES);
        }
        return stacks[number];
    }
};
CUDA_ON_CPU_LOCAL Pool pool;

}  // namespace

Context new_fiber(size_t number, void (*entry)()) {
    Context fiber;
    fiber.bottom = pool.stack(number);
    fiber.bytes = STACK_BYTES;
    // What the switch pops: the registers, then where it returns to; a word more aligns the stack as a call would.
    void** top = reinterpret_cast<void**>(pool.stack(number) + STACK_BYTES) - SAVED_REGISTERS - 2;
    for (size_t i = 0; i < SAVED_REGISTERS; i++) top[i] = nullptr;
    top[SAVED_REGISTERS] = reinterpret_cast<void*>(entry);
    top[SAVED_REGISTERS + 1] = nullptr;
    fiber.stack_pointer = top;
#if defined(CUDA_ON_CPU_THREADS)
    fiber.thread_state = __tsan_create_fiber(0);
#endif
    return fiber;
}

Context this_thread() {
    Context thread;
#if defined(CUDA_ON_CPU_THREADS)
    thread.thread_state = __tsan_get_current_fiber();
#endif
    return thread;
}

void discard([[maybe_unused]] Context& fiber) {
#if defined(CUDA_ON_CPU_THREADS)
    __tsan_destroy_fiber(fiber.thread_state);
#endif
}

void switch_context(Context& from, Context& to, [[maybe_unused]] bool ends) {
#if defined(CUDA_ON_CPU_THREADS)
    constexpr unsigned NO_ORDER = 1;  // __tsan_switch_to_fiber_no_sync
    __tsan_switch_to_fiber(to.thread_state, NO_ORDER);
#elif defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to.bottom, to.bytes);
#endif
    cuda_on_cpu_switch(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void arrive([[maybe_unused]] Context& came_from) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &came_from.bottom, &came_from.bytes);
#endif
}

}  // namespace cuda_on_cpu
