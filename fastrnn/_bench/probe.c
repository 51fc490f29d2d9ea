/* The machine's own limits, for the roofline: compiled when a benchmark starts, not a part of the library.
 * REAL is float or double, BYTES the width of a vector. Every function runs `threads` threads and returns the
 * seconds from the first one's start to the last one's end. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

typedef REAL vector __attribute__((vector_size(BYTES)));
typedef long long words __attribute__((vector_size(BYTES)));

#define CHAINS (BYTES == 64 ? 24 : 12) /* latency 4 on 2 ports needs 8; what the registers hold */
#define MOST 256

typedef struct {
    long rounds;
    const char *buffer;
    size_t bytes;
    int id, threads;
    double start, end;
} job;

static atomic_int arrived, turn;
volatile double probe_sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void barrier(int threads)
{
    int before = atomic_load_explicit(&turn, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&arrived, 1, memory_order_acq_rel) == threads - 1) {
        atomic_store_explicit(&arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&turn, before + 1, memory_order_release);
    } else
        for (long spins = 0; atomic_load_explicit(&turn, memory_order_acquire) == before; spins++)
            if (spins > 10000)
                sched_yield(); /* more threads than CPUs */
}

/* rounds * CHAINS multiplications and additions of vectors, in as many independent chains. */
static void fma_job(job *j)
{
    volatile REAL one = 1;
    vector a, b, sum[CHAINS];
    for (size_t k = 0; k < BYTES / sizeof(REAL); k++) {
        a[k] = one * (REAL)0.5;
        b[k] = one;
    }
#pragma GCC unroll 24
    for (int c = 0; c < CHAINS; c++)
        sum[c] = b * (REAL)c;
    for (long r = 0; r < j->rounds; r++)
#pragma GCC unroll 24
        for (int c = 0; c < CHAINS; c++)
            sum[c] = sum[c] * a + b;
#pragma GCC unroll 24
    for (int c = 1; c < CHAINS; c++)
        sum[0] += sum[c];
    probe_sink = sum[0][0];
}

/* Reads its own part of the buffer `rounds` times. */
static void read_job(job *j)
{
    const words *v = (const words *)(j->buffer + (size_t)j->id * j->bytes);
    size_t n = j->bytes / sizeof(words) / 8 * 8;
    words sum[8] = {0};
    for (long r = 0; r < j->rounds; r++) {
        for (size_t i = 0; i < n; i += 8)
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++)
                sum[k] ^= v[i + (size_t)k];
        __asm__ volatile("" ::: "memory");
    }
    for (int k = 1; k < 8; k++)
        sum[0] ^= sum[k];
    probe_sink = (double)sum[0][0];
}

static void barrier_job(job *j)
{
    for (long r = 0; r < j->rounds; r++)
        barrier(j->threads);
}

/* Two threads that have just started may well share a CPU for some milliseconds. */
static void own_cpu(int id)
{
#ifdef __linux__
    cpu_set_t allowed, own;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && id-- == 0) {
            CPU_ZERO(&own);
            CPU_SET(cpu, &own);
            sched_setaffinity(0, sizeof own, &own);
            return;
        }
#else
    (void)id;
#endif
}

typedef void work(job *);
static work *running;

static void *member(void *argument)
{
    job *j = argument;
    own_cpu(j->id);
    barrier(j->threads);
    j->start = now();
    running(j);
    j->end = now();
    return NULL;
}

static double run(work *what, int threads, long rounds, const void *buffer, size_t bytes)
{
    pthread_t thread[MOST];
    job jobs[MOST];
    if (threads < 1 || threads > MOST)
        return -1;
    running = what;
    for (int t = 0; t < threads; t++)
        jobs[t] = (job){.rounds = rounds, .buffer = buffer, .bytes = bytes, .id = t, .threads = threads};
    for (int t = 0; t < threads; t++)
        if (pthread_create(&thread[t], NULL, member, &jobs[t]) != 0)
            abort(); /* the others would wait for it for ever */
    double start = 1e300, end = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(thread[t], NULL);
        start = jobs[t].start < start ? jobs[t].start : start;
        end = jobs[t].end > end ? jobs[t].end : end;
    }
    return end - start;
}

double probe_fma(int threads, long rounds) { return run(fma_job, threads, rounds, NULL, 0); }

double probe_flops(void) { return 2.0 * CHAINS * BYTES / sizeof(REAL); } /* of a round on one thread */

/* buffer: threads * bytes, aligned to BYTES */
double probe_read(int threads, long rounds, const void *buffer, size_t bytes)
{
    return run(read_job, threads, rounds, buffer, bytes);
}

double probe_barrier(int threads, long rounds) { return run(barrier_job, threads, rounds, NULL, 0); }
