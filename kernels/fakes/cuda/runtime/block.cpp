// TEST ONLY. Runs a grid: each block's threads as fibers that take turns, from barrier to barrier.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "cuda_on_cpu.h"
#include "stack.h"

// All static shared memory of this library; the linker defines both for a section of this name.
extern "C" char __start_cuda_shared[] __attribute__((weak));
extern "C" char __stop_cuda_shared[] __attribute__((weak));

namespace cuda_on_cpu {

CUDA_ON_CPU_LOCAL Thread* current = nullptr;

namespace {

constexpr unsigned WARP_LANES = 32;
// As floating point it is NaN: nobody computes with shared memory that no thread wrote.
constexpr int POISON = 0xff;

enum class State { RUNS, WAITS_FOR_BLOCK, WAITS_FOR_WARP, ENDED };

struct Fiber {
    Thread identity;
    Context context;
    State state = State::RUNS;
};

// One exchange of a warp. Values of two exchanges are kept, because a lane may enter the next before all have read.
struct Warp {
    unsigned living = 0, arrived = 0, mask = 0, round = 0;
    unsigned took_part[2];
    unsigned char values[2][WARP_LANES][8];
    char order;
};

struct Block {
    const Kernel& kernel;
    void** arguments;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    Context scheduler;
    Fiber* running = nullptr;
    unsigned living = 0, waiting = 0, barrier_line = 0, barriers = 0;
    char barrier_order[2], end_order;
    Outcome outcome = FINISHED;
    std::string message;

    Block(const Kernel& kernel, void** arguments, dim3 grid, dim3 size, uint3 index);
    ~Block();
    void run();
    void resume(Fiber& fiber);
    void yield(bool ends) { switch_context(running->context, scheduler, ends); }
    void end_fiber();
    void open_barrier();
    void finish_exchange(unsigned warp);
    void fail(Outcome outcome, const std::string& message);
};
CUDA_ON_CPU_LOCAL Block* block = nullptr;

void enter_fiber() {
    arrive(block->scheduler);
    block->kernel.call(block->arguments);
    block->end_fiber();
}

Block::Block(const Kernel& kernel, void** arguments, dim3 grid, dim3 size, uint3 index)
    : kernel(kernel), arguments(arguments), fibers(size.x * size.y * size.z), scheduler(this_thread()) {
    living = fibers.size();
    warps.resize((living + WARP_LANES - 1) / WARP_LANES);
    for (unsigned i = 0; i < living; i++) {
        const uint3 thread = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
        fibers[i].identity = {thread, index, size, grid, i / WARP_LANES, i % WARP_LANES};
        fibers[i].context = new_fiber(i, enter_fiber);
        warps[i / WARP_LANES].living |= 1u << i % WARP_LANES;
    }
}

Block::~Block() {
    happens_after(&end_order);
    for (Fiber& fiber : fibers) discard(fiber.context);
}

void Block::run() {
    while (living > 0) {
        bool went_on = false;
        for (Fiber& fiber : fibers)
            while (fiber.state == State::RUNS) {
                resume(fiber);
                went_on = true;
                if (outcome != FINISHED) return;
            }
        if (living > 0 && waiting == living)
            open_barrier();
        else if (!went_on)
            fail(LAUNCH_FAILED, "threads wait at a barrier or a shuffle that others never reach");
        if (outcome != FINISHED) return;
    }
}

void Block::resume(Fiber& fiber) {
    running = &fiber;
    current = &fiber.identity;
    switch_context(scheduler, fiber.context, false);
    current = nullptr;
}

void Block::end_fiber() {
    const Thread& thread = running->identity;
    running->state = State::ENDED;
    living--;
    Warp& warp = warps[thread.warp];
    warp.living &= ~(1u << thread.lane);
    if (warp.arrived != 0) finish_exchange(thread.warp);
    happens_before(&end_order);
    yield(true);
}

void Block::open_barrier() {
    if (living != fibers.size()) fail(LAUNCH_FAILED, "a barrier after some threads of the block have ended");
    for (Fiber& fiber : fibers)
        if (fiber.state == State::WAITS_FOR_BLOCK) fiber.state = State::RUNS;
    waiting = 0;
    barriers++;
}

// If every living lane of the mask is there, all go on.
void Block::finish_exchange(unsigned number) {
    Warp& warp = warps[number];
    if (warp.arrived != (warp.mask & warp.living)) return;
    warp.took_part[warp.round % 2] = warp.arrived;
    warp.arrived = 0;
    warp.round++;
    for (size_t i = number * WARP_LANES; i < fibers.size() && i < (number + 1) * WARP_LANES; i++)
        if (fibers[i].state == State::WAITS_FOR_WARP) fibers[i].state = State::RUNS;
}

void Block::fail(Outcome with, const std::string& what) {
    if (outcome != FINISHED) return;
    outcome = with;
    message = std::string(kernel.name) + ": " + what;
}

// An instruction on a fiber touched memory that is not there. Where a device would stop the grid, so does this: the
// scheduler goes on and the fiber never does. Anybody else's fault goes to whoever handled it before.
struct sigaction previous[2];
pthread_t launching;
void on_fault(int signal, siginfo_t* information, void*) {
    if (current == nullptr || !pthread_equal(pthread_self(), launching)) {
        sigaction(signal, &previous[signal == SIGBUS], nullptr);
        return;
    }
    char address[32];
    snprintf(address, sizeof(address), "%p", information->si_addr);
    block->fail(ILLEGAL_ADDRESS, std::string("illegal address ") + address);
    block->yield(true);
}

// Only without a sanitizer: theirs says more.
void catch_faults() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(CUDA_ON_CPU_THREADS)
    launching = pthread_self();
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &previous[0]);
    sigaction(SIGBUS, &action, &previous[1]);
#endif
}

void release_faults() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(CUDA_ON_CPU_THREADS)
    sigaction(SIGSEGV, &previous[0], nullptr);
    sigaction(SIGBUS, &previous[1], nullptr);
#endif
}

struct Result {
    Outcome outcome = FINISHED;
    std::string message;
};

Result run_block(const Kernel& kernel, void** arguments, dim3 grid, dim3 size, uint3 index) {
    if (__start_cuda_shared != nullptr)
        memset(__start_cuda_shared, POISON, __stop_cuda_shared - __start_cuda_shared);
    Block own(kernel, arguments, grid, size, index);
    block = &own;
    own.run();
    block = nullptr;
    return {own.outcome, own.message};
}

Result run_grid(const Kernel& kernel, dim3 grid, dim3 size, void** arguments) {
    const size_t count = size_t{grid.x} * grid.y * grid.z;
    const auto run_one = [&](size_t i) {
        const uint3 index = {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)};
        return run_block(kernel, arguments, grid, size, index);
    };
    Result result;
#if defined(CUDA_ON_CPU_THREADS)
    // All at once, since only what is not ordered by a join can be seen to race.
    std::vector<Result> results(count);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; i++) threads.emplace_back([&, i] { results[i] = run_one(i); });
    for (std::thread& thread : threads) thread.join();
    for (const Result& each : results)
        if (result.outcome == FINISHED) result = each;
#else
    for (size_t i = 0; i < count && result.outcome == FINISHED; i++) result = run_one(i);
#endif
    return result;
}

}  // namespace

void synchronise_block(unsigned line) {
    Block& own = *block;
    if (own.waiting == 0)
        own.barrier_line = line;
    else if (own.barrier_line != line)
        own.fail(LAUNCH_FAILED, "threads of a block wait at different barriers");
    void* order = &own.barrier_order[own.barriers % 2];
    own.waiting++;
    own.running->state = State::WAITS_FOR_BLOCK;
    happens_before(order);
    own.yield(false);
    happens_after(order);
}

void exchange(unsigned mask, unsigned source, const void* given, void* taken, unsigned bytes) {
    Block& own = *block;
    const Thread& thread = own.running->identity;
    Warp& warp = own.warps[thread.warp];
    if ((mask >> thread.lane & 1) == 0) own.fail(LAUNCH_FAILED, "a lane is not in its own mask");
    if (warp.arrived != 0 && warp.mask != mask) own.fail(LAUNCH_FAILED, "lanes of a warp meet under different masks");
    const unsigned half = warp.round % 2;
    auto& values = warp.values[half];
    memcpy(values[thread.lane], given, bytes);
    warp.mask = mask;
    warp.arrived |= 1u << thread.lane;
    happens_before(&warp.order);
    own.running->state = State::WAITS_FOR_WARP;
    own.finish_exchange(thread.warp);
    if (own.running->state == State::WAITS_FOR_WARP) own.yield(false);
    happens_after(&warp.order);
    if ((warp.took_part[half] >> source & 1) == 0) own.fail(LAUNCH_FAILED, "a lane takes the value of one that takes no part");
    memcpy(taken, values[source], bytes);
}

}  // namespace cuda_on_cpu

cuda_on_cpu::Outcome cuda_on_cpu_launch(
    const cuda_on_cpu::Kernel* kernel, const dim3* grid, const dim3* size, void** arguments, const char** message) {
    using namespace cuda_on_cpu;
    static std::string last;
    catch_faults();
    const Result result = run_grid(*kernel, *grid, *size, arguments);
    release_faults();
    last = result.message;
    *message = last.c_str();
    return result.outcome;
}
