/* threads.c - the team: how many, the barrier, windows, fork, floating-point state; and the allocator.
 *
 * libgomp does not survive a fork: a child that opens a parallel region after its parent did would wait for threads
 * that do not exist. A child of a fork therefore runs alone (the bits are the same). */
#define _GNU_SOURCE
#include "kernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- fork ---- */

static int in_forked_child;
static int cpu_quota;           /* of the control group, in whole CPUs; 0: none */

/* The table of kept memory, below. A fork waits until nobody is changing it. */
static pthread_mutex_t pieces_lock = PTHREAD_MUTEX_INITIALIZER;

/* How much of it is kept at most. */
#if defined(__SANITIZE_ADDRESS__)
static size_t kept_at_most;     /* nothing: what is written into memory that was given back is to be found */
#else
static size_t kept_at_most = (size_t)1 << 30;   /* or an eighth of the machine's memory */
#endif

static void before_fork(void) { pthread_mutex_lock(&pieces_lock); }

static void after_fork_in_parent(void) { pthread_mutex_unlock(&pieces_lock); }

static void after_fork_in_child(void)
{
    in_forked_child = 1;
    pthread_mutex_init(&pieces_lock, NULL);
}

static int read_quota(void)
{
    long quota, period;
    int cpus = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
        cpus = (int)((quota + period - 1) / period);
    fclose(file);
    return cpus;
}

/* When the library is loaded, so that a fork is known of even if the parent never called. */
__attribute__((constructor)) static void learn_surroundings(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    cpu_quota = read_quota();
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && size > 0 && (size_t)pages / 8 * (size_t)size < kept_at_most)
        kept_at_most = (size_t)pages / 8 * (size_t)size;
}

/* ---- time ---- */

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now(void) { return seconds(CLOCK_MONOTONIC); }
static double cpu_time(void) { return seconds(CLOCK_THREAD_CPUTIME_ID); }     /* that this thread has had a CPU */

/* ---- how many ---- */

int fr_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

int fr_default_threads(void)
{
    int n = 1;
#ifdef _OPENMP
    cpu_set_t set;
    if (in_forked_child)
        return 1;
    n = omp_get_max_threads();  /* OMP_NUM_THREADS, threadpoolctl */
    if (omp_get_thread_limit() < n)
        n = omp_get_thread_limit();
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n)
        n = CPU_COUNT(&set);
    if (cpu_quota && cpu_quota < n)
        n = cpu_quota;
#endif
    return n;
}

/* Operations that pay for one more thread: a region starts in some 2 us, and two cores do 2 us * 100 GFLOP/s
 * meanwhile (measured on a two-core AVX-512 Xeon). */
static const double work_worth_a_thread = 4e5;
/* The same for a step whose units are shared, with a barrier at its end. */
static const double step_worth_a_thread = 6e4;

/* Somebody else needs the CPUs: a member of a team had work, but no CPU. That may be an accident once, so it is taken for
 * true for a moment only, and for four times as long whenever it is soon found true again. */
static const double crowded_at_first = 5e-3, crowded_at_most = 1, soon = 0.5;
static double crowded_until, crowded_for;

static int crowded(void)
{
    double until;
    __atomic_load(&crowded_until, &until, __ATOMIC_RELAXED);
    return until > 0 && now() < until;
}

static void crowd(void)
{
    const double time = now();
    double until, moment;
    __atomic_load(&crowded_until, &until, __ATOMIC_RELAXED);
    __atomic_load(&crowded_for, &moment, __ATOMIC_RELAXED);
    if (time < until)
        return;
    moment = time - until < soon && moment > 0 ? 4 * moment : crowded_at_first;
    moment = moment < crowded_at_most ? moment : crowded_at_most;
    until = time + moment;
    __atomic_store(&crowded_for, &moment, __ATOMIC_RELAXED);
    __atomic_store(&crowded_until, &until, __ATOMIC_RELAXED);
}

/* Calls that are longer look again at each piece of their work. */
static const double decided_at_once = 1e9;

int fr_team(const fr_run *run, double flops)
{
    int most;
    if (run->threads > 0)
        return run->threads;
    if (flops < work_worth_a_thread)
        return 1;
    most = fr_default_threads();
    if (most > 1 && flops < decided_at_once && crowded())
        most /= 2;
    return (int)fr_min(most, 1 + (ptrdiff_t)(flops / work_worth_a_thread));
}

int fr_team_over_steps(const fr_run *run, double flops, double beside, ptrdiff_t steps, ptrdiff_t batch)
{
    int team = fr_team(run, (flops + beside) * (double)steps);
    while (run->threads <= 0 && team > 1 && team > batch && (flops + beside) / team < step_worth_a_thread
           && beside * (double)steps < team * work_worth_a_thread)
        team--;
    return team;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- floating-point state ---- */

#if defined(__x86_64__)
enum { DEFAULT_MXCSR = 0x1f80, MXCSR_FLAGS = 0x3f };
uint64_t fr_float_enter(void)
{
    unsigned was = _mm_getcsr();
    if ((was & ~(unsigned)MXCSR_FLAGS) != DEFAULT_MXCSR)
        _mm_setcsr(DEFAULT_MXCSR);
    return was;
}
void fr_float_leave(uint64_t was)
{
    if ((was & ~(uint64_t)MXCSR_FLAGS) != DEFAULT_MXCSR)
        _mm_setcsr((unsigned)was);
}
#elif defined(__aarch64__)
uint64_t fr_float_enter(void)
{
    uint64_t was;
    __asm__ volatile("mrs %0, fpcr" : "=r"(was));
    if (was)
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return was;
}
void fr_float_leave(uint64_t was)
{
    if (was)
        __asm__ volatile("msr fpcr, %0" : : "r"(was));
}
#else
uint64_t fr_float_enter(void) { return 0; }
void fr_float_leave(uint64_t was) { (void)was; }
#endif

/* ---- barrier ---- */

/* A team, which serves a whole call: on which CPU each of its first members was last seen, plus one; how many members
 * there are, and have come; the work at hand, of which the first `working` members take part, since when, and how often
 * there was some; no work is the end. `fixed`: so many threads were asked for. */
enum { SEEN = 64 };
typedef struct team {
    int cpu[SEEN];
    int members, here, fixed;
    fr_work *work;
    void *argument;
    int working;
    double since;
    _Alignas(FR_LINE) int64_t posted;
    fr_barrier done;
} team;

/* The region this thread is in: its team, its place there, when it began, and how long the thread was without a CPU in it
 * because it had nothing to do. */
static _Thread_local team *region_team;
static _Thread_local int region_member;
static _Thread_local double region_began, region_idle;

/* A thread that has slept may wake on the CPU of the one that called it, and both stay there for milliseconds, in turn.
 * Such a thread goes to a CPU of its own, if there is one; not all the time, as somebody else may be there. */
static void leave_shared_cpu(void)
{
    static const double stays = 5e-4;
    static _Thread_local double left;
    const int cpu = sched_getcpu(), member = region_member;
    team *team = region_team;
    cpu_set_t allowed, empty;
    int shared = 0;
    if (member >= SEEN || cpu < 0)
        return;
    __atomic_store_n(&team->cpu[member], cpu + 1, __ATOMIC_RELAXED);
    for (int m = 0; m < member; m++)
        shared |= __atomic_load_n(&team->cpu[m], __ATOMIC_RELAXED) == cpu + 1;
    if (!shared || now() - left < stays || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    left = now();
    empty = allowed;
    for (int m = 0; m < SEEN; m++) {
        const int taken = __atomic_load_n(&team->cpu[m], __ATOMIC_RELAXED);
        if (taken > 0)
            CPU_CLR(taken - 1, &empty);
    }
    if (CPU_COUNT(&empty) > 0 && sched_setaffinity(0, sizeof empty, &empty) == 0) {
        sched_setaffinity(0, sizeof allowed, &allowed);
        __atomic_store_n(&team->cpu[member], sched_getcpu() + 1, __ATOMIC_RELAXED);
    }
}

static const double late = 1e-3;

/* Waits with the CPU given to whoever has use for it, and after a millisecond sleeps for moments, so that a late one that
 * has no CPU can come to this one. */
static void wait_long(const fr_barrier *barrier, int64_t target)
{
    static const struct timespec nap = {0, 20000};
    const double began = now(), had = cpu_time();
    leave_shared_cpu();
    for (int tries = 1; __atomic_load_n(&barrier->count, __ATOMIC_ACQUIRE) < target; tries++) {
        sched_yield();
        if (tries % 32 == 0 && now() - began > late)
            nanosleep(&nap, NULL);
    }
    region_idle += (now() - began) - (cpu_time() - had);
}

void fr_barrier_wait(fr_barrier *barrier, int members)
{
    int64_t mine, target;
    if (members == 1)
        return;
    mine = __atomic_fetch_add(&barrier->count, 1, __ATOMIC_ACQ_REL);
    target = (mine / members + 1) * members;
    for (int spins = 0; __atomic_load_n(&barrier->count, __ATOMIC_ACQUIRE) < target; spins++) {
        relax();
        if (spins == 100) {
            wait_long(barrier, target);
            return;
        }
    }
}

/* ---- team ---- */

static void run_member(fr_work *work, void *argument, int member, int members)
{
    uint64_t was = fr_float_enter();
    work(argument, member, members);
    fr_float_leave(was);
}

#ifdef _OPENMP
/* The calling thread lets members run that have woken on its CPU. Where giving way is not enough, it sleeps for a moment:
 * its share of the work would have to wait for theirs in any case. */
static void await_team(const team *team)
{
    static const struct timespec nap = {0, 1};
    int naps = 0;
    for (int tries = 0; naps < 4 && __atomic_load_n(&team->here, __ATOMIC_ACQUIRE) < team->members - 1; tries++)
        if (tries < 60)
            relax();
        else if (now() - region_began < (naps + 1) * 30e-6)
            sched_yield();
        else if (nanosleep(&nap, NULL) == 0)
            naps++;
        else
            return;
}

/* A member's part of the work at hand, and the end of it for all. Where it was without a CPU for much of the time, though
 * it had work to do, the CPUs are crowded. */
static void take_part(team *team, int member)
{
    const double had = cpu_time(), began = now();
    region_idle = 0;
    if (member < team->working) {
        run_member(team->work, team->argument, member, team->working);
        const double end = now(), without = (end - began) - (cpu_time() - had) - region_idle + (began - team->since);
        if (without > late && without > (end - region_began) / 3)
            crowd();
    }
    fr_barrier_wait(&team->done, team->members);
}

/* Members other than the first: work that is posted, until the end. */
static void serve(team *team, int member)
{
    static const struct timespec nap = {0, 20000};
    for (int64_t seen = 0;; seen++) {
        double began = 0;
        for (int tries = 0; __atomic_load_n(&team->posted, __ATOMIC_ACQUIRE) == seen; tries++) {
            if (tries < 100)
                relax();
            else if (tries % 32 != 0)
                sched_yield();
            else if (began == 0)
                began = now();
            else if (now() - began > late)      /* the caller waits for something else */
                nanosleep(&nap, NULL);
        }
        if (!team->work)
            return;
        leave_shared_cpu();
        take_part(team, member);
    }
}

static void post(team *team, fr_work *work, void *argument, int working)
{
    leave_shared_cpu();         /* and where it is now */
    team->work = work;
    team->argument = argument;
    team->working = team->fixed || !crowded() ? working : (working + 1) / 2;
    team->since = now();
    __atomic_fetch_add(&team->posted, 1, __ATOMIC_RELEASE);
}
#endif

/* The threads of OpenMP sleep soon where a process has more of them than CPUs, and take long to wake: they are woken once
 * a call. */
void fr_with_team(const fr_run *run, int threads, void (*body)(void *), void *argument)
{
#ifdef _OPENMP
    if (threads > 1 && !in_forked_child && !region_team) {
        team team = {.fixed = !run || run->threads > 0};
        team.cpu[0] = sched_getcpu() + 1;
#pragma omp parallel num_threads(threads)
        {
            const int member = omp_get_thread_num();
            region_team = &team;
            region_member = member;
            region_began = now();
            leave_shared_cpu();
            if (member > 0) {
                __atomic_fetch_add(&team.here, 1, __ATOMIC_RELAXED);
                serve(&team, member);
            } else {
                team.members = omp_get_num_threads();
                await_team(&team);
                body(argument);
                post(&team, NULL, NULL, 0);
            }
            region_team = NULL;
        }
        return;
    }
#endif
    (void)run;
    (void)threads;
    body(argument);
}

#ifdef _OPENMP
typedef struct piece_of_work {
    fr_work *work;
    void *argument;
    int threads;
} piece_of_work;

static void run_alone(void *argument)
{
    const piece_of_work *p = argument;
    fr_parallel(p->threads, p->work, p->argument);
}
#endif

void fr_parallel(int threads, fr_work *work, void *argument)
{
#ifdef _OPENMP
    if (threads > 1 && region_team && region_member == 0) {
        post(region_team, work, argument, (int)fr_min(threads, region_team->members));
        take_part(region_team, 0);
        return;
    }
    if (threads > 1 && !region_team && !in_forked_child) {
        fr_with_team(NULL, threads, run_alone, &(piece_of_work){work, argument, threads});
        return;
    }
#endif
    (void)threads;
    run_member(work, argument, 0, 1);
}

/* ---- windows ---- */

static const double window_seconds = 0.03;
static const double seconds_between_polls = 0.05;      /* a look may have to wait for a lock */

void fr_window_open(fr_window *window, const fr_run *run)
{
    window->run = run;
    window->rate = 1e9;         /* a slow machine's; the first window teaches better */
    window->started = window->polled = now();
    window->patience = seconds_between_polls;
}

static _Thread_local double window_limit;

void fr_limit_windows(double flops) { window_limit = flops; }

double fr_window_budget(const fr_window *window)
{
    return window_limit > 0 ? window_limit : window->rate * window_seconds;
}

ptrdiff_t fr_window_items(const fr_window *window, double flops)
{
    return (ptrdiff_t)(fr_window_budget(window) / (flops < 1 ? 1 : flops));
}

fr_status fr_window_step(fr_window *window, double flops)
{
    double end = now(), seconds = end - window->started;
    int interrupted;
    if (seconds > 1e-4 && flops > 0)
        window->rate = flops / seconds;
    window->started = end;
    if (!window->run->poll || end - window->polled < window->patience)
        return FR_OK;
    interrupted = window->run->poll(window->run->poll_argument);
    window->polled = now();
    window->patience = seconds_between_polls + 10 * (window->polled - end);
    return interrupted ? FR_INTERRUPTED : FR_OK;
}

/* ---- memory ----
 *
 * Large pieces are kept when they are given back: a page that is new to a process costs more than what is computed on
 * it takes. The system is told that it may have the pages of a kept piece whenever it is short of memory. */

static _Thread_local long allocations_until_failure;
static const size_t page = 4096, huge_page = FR_KEPT_FROM;

typedef struct piece {
    void *memory;               /* NULL: an empty place */
    size_t size;
    int used;
    uint64_t given_back;        /* when, as a count */
} piece;

enum { PIECES = 64 };
static piece pieces[PIECES];
static uint64_t pieces_clock;

void fr_fail_allocation(long n) { allocations_until_failure = n; }

/* Gives the unused piece that was kept longest to the system; 0: there is none. */
static size_t drop_oldest(void)
{
    piece *oldest = NULL;
    for (piece *p = pieces; p < pieces + PIECES; p++)
        if (p->memory && !p->used && (!oldest || p->given_back < oldest->given_back))
            oldest = p;
    if (!oldest)
        return 0;
    free(oldest->memory);
    oldest->memory = NULL;
    return oldest->size;
}

static void *allocate(size_t alignment, size_t bytes)
{
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) ? NULL : memory;
}

/* A kept piece of at least that size and not much more, or a new one. Its whole huge pages are asked for as such. */
static void *large(size_t bytes)
{
    const size_t size = bytes + (page - bytes % page) % page;
    piece *best = NULL, *place = NULL;
    void *memory;
    if (size < bytes)
        return NULL;
    for (piece *p = pieces; p < pieces + PIECES; p++)
        if (p->memory && !p->used && p->size >= size && p->size <= size + size / 4 && (!best || p->size < best->size))
            best = p;
    if (best) {
        best->used = 1;
        return best->memory;
    }
    while (!(memory = allocate(huge_page, size)))
        if (!drop_oldest())
            return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    for (int tries = 0; !place && (tries == 0 || drop_oldest()); tries++)
        for (piece *p = pieces; p < pieces + PIECES; p++)
            if (!p->memory)
                place = p;
    if (place)                  /* else it is not kept */
        *place = (piece){memory, size, 1, 0};
    return memory;
}

void *fr_malloc(size_t bytes)
{
    void *memory = NULL;
    if (allocations_until_failure > 0 && --allocations_until_failure == 0)
        return NULL;
    if (bytes < FR_KEPT_FROM && (memory = allocate(FR_LINE, bytes ? bytes : 1)))
        return memory;
    pthread_mutex_lock(&pieces_lock);
    if (bytes >= FR_KEPT_FROM)
        memory = large(bytes);
    else
        while (!(memory = allocate(FR_LINE, bytes ? bytes : 1)) && drop_oldest())
            ;
    pthread_mutex_unlock(&pieces_lock);
    return memory;
}

/* Kept pieces, in bytes, after as many were dropped as it takes to hold the limit. */
static size_t keep_within(size_t limit)
{
    size_t kept = 0;
    for (piece *p = pieces; p < pieces + PIECES; p++)
        if (p->memory && !p->used)
            kept += p->size;
    while (kept > limit)
        kept -= drop_oldest();
    return kept;
}

void fr_free(void *memory)
{
    int found = 0;
    if (!memory || (uintptr_t)memory % huge_page != 0) {
        free(memory);
        return;
    }
    pthread_mutex_lock(&pieces_lock);
    for (piece *p = pieces; p < pieces + PIECES; p++)
        if (p->memory == memory) {
            p->used = 0;
            p->given_back = ++pieces_clock;
            found = 1;
#ifdef MADV_FREE
            madvise(memory, p->size, MADV_FREE);
#endif
        }
    keep_within(kept_at_most);
    pthread_mutex_unlock(&pieces_lock);
    if (!found)
        free(memory);
}

void fr_keep_memory(size_t bytes)
{
    pthread_mutex_lock(&pieces_lock);
    kept_at_most = bytes;
    keep_within(bytes);
    pthread_mutex_unlock(&pieces_lock);
}

size_t fr_kept_memory(void)
{
    pthread_mutex_lock(&pieces_lock);
    const size_t kept = keep_within(kept_at_most);
    pthread_mutex_unlock(&pieces_lock);
    return kept;
}
