// TEST ONLY. Stacks and the switch between them, with the notes that each sanitizer needs of it.
#pragma once
#include <cstddef>

// AddressSanitizer's and ThreadSanitizer's interface to fibers, from <sanitizer/common_interface_defs.h> and
// <sanitizer/tsan_interface.h>.
#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old, size_t* size_old);
#elif defined(CUDA_ON_CPU_THREADS)
extern "C" void* __tsan_get_current_fiber();
extern "C" void* __tsan_create_fiber(unsigned flags);
extern "C" void __tsan_destroy_fiber(void* fiber);
extern "C" void __tsan_switch_to_fiber(void* fiber, unsigned flags);
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace cuda_on_cpu {

// ThreadSanitizer learns of an order from these alone: a switch between fibers is none.
inline void happens_before([[maybe_unused]] void* tag) {
#if defined(CUDA_ON_CPU_THREADS)
    __tsan_release(tag);
#endif
}
inline void happens_after([[maybe_unused]] void* tag) {
#if defined(CUDA_ON_CPU_THREADS)
    __tsan_acquire(tag);
#endif
}

// Where something runs: the scheduler, on a thread's own stack, or a fiber.
struct Context {
    void* stack_pointer = nullptr;
    const void* bottom = nullptr;
    size_t bytes = 0;
    void* fake_stack = nullptr;   // AddressSanitizer's.
    void* thread_state = nullptr; // ThreadSanitizer's.
};

// A fiber that will run `entry`, which never returns, on a stack of this thread's pool.
Context new_fiber(size_t number, void (*entry)());
// The scheduler, from where it calls this.
Context this_thread();
void discard(Context& fiber);
// Goes on in `to`; comes back when something switches to `from`. A fiber that `ends` never comes back.
void switch_context(Context& from, Context& to, bool ends);
// The first thing that a fiber does.
void arrive(Context& came_from);

}  // namespace cuda_on_cpu
