/* kernels.h - what the instruction sets offer to dispatch.c, and what they share. Private to csrc/. */
#ifndef FASTRNN_KERNELS_H
#define FASTRNN_KERNELS_H

#include "fastrnn.h"

/* One table an instruction set; each row for float32 and float64. */
typedef struct fr_kernels {
    const char *name;
    int (*team[FR_DTYPES])(const fr_args *, int back);
    fr_status (*forward[FR_DTYPES])(const fr_args *);
    fr_status (*backward[FR_DTYPES])(const fr_args *);
    size_t (*packed_size[FR_DTYPES])(const fr_args *);
    void (*pack[FR_DTYPES])(const fr_args *, void *);
    fr_status (*linear[FR_DTYPES])(const fr_linear_args *);
    fr_status (*linear_backward[FR_DTYPES])(const fr_linear_args *);
    void (*map[FR_DTYPES])(fr_function, const void *, void *, ptrdiff_t);
} fr_kernels;

#define FR_ISA_ROW(name, supported) extern const fr_kernels fr_kernels_##name;
#include "isas.def"
#undef FR_ISA_ROW

/* Operands of the gradients of parameters. */
enum { FR_OF_X, FR_OF_H, FR_OF_Q, FR_OF_R, FR_OF_C, FR_OF_C_NEW };

/* ---- threads.c ---- */

enum { FR_LINE = 64 };          /* bytes of a cache line: alignment of every buffer */

/* A barrier for the members of one group; count goes up for ever within a region and is set to 0 before it. */
typedef struct fr_barrier {
    _Alignas(FR_LINE) int64_t count;
} fr_barrier;

void fr_barrier_wait(fr_barrier *barrier, int members);

/* What the members of a group have in common: a barrier, and how many items of a piece of work are taken, for two pieces
 * in turn. All of it is set to 0 before a region. */
typedef struct fr_group {
    fr_barrier barrier;
    _Alignas(FR_LINE) int64_t taken[2];
} fr_group;

/* The next of `items` that members take as they come, or -1. */
static inline ptrdiff_t fr_next_item(int64_t *taken, ptrdiff_t items)
{
    const ptrdiff_t i = (ptrdiff_t)__atomic_fetch_add(taken, 1, __ATOMIC_RELAXED);
    return i < items ? i : -1;
}

/* Runs work(argument, i, n) for i = 0 .. n-1 at once, n being the team that was really given, at most `threads`.
 * Each member runs with the default floating-point state. */
typedef void fr_work(void *argument, int member, int members);
void fr_parallel(int threads, fr_work *work, void *argument);

/* Runs body(argument), whose fr_parallel then find their threads awake. Where `run`, if any, leaves their number open,
 * pieces of the work may get fewer. */
void fr_with_team(const fr_run *run, int threads, void (*body)(void *), void *argument);

/* The default floating-point state, and back to what fr_float_enter found. */
uint64_t fr_float_enter(void);
void fr_float_leave(uint64_t was);

/* The team for a call of that many floating-point operations. */
int fr_team(const fr_run *run, double flops);

/* The team for that many steps of so many operations each, whose units may have to be shared; `beside`: operations that
 * go with a step but wait for no other. */
int fr_team_over_steps(const fr_run *run, double flops, double beside, ptrdiff_t steps, ptrdiff_t batch);

static inline double fr_linear_flops(const fr_linear_args *a, int back)
{
    return (back ? 4.0 : 2.0) * (double)a->rows * (double)a->inputs * (double)a->outputs;
}

/* Cuts long calls into windows of some 30 ms, with a look for signals between them. */
typedef struct fr_window {
    const fr_run *run;
    double rate;                /* floating-point operations a second, as measured so far */
    double started, polled;     /* the window; the last look for signals */
    double patience;            /* seconds to the next look */
} fr_window;

void fr_window_open(fr_window *window, const fr_run *run);
double fr_window_budget(const fr_window *window);               /* operations for the next window */
ptrdiff_t fr_window_items(const fr_window *window, double flops);   /* items of that many operations for it */
fr_status fr_window_step(fr_window *window, double flops);      /* after a window: learn, poll */

/* ---- sizes ---- */

/* A bump allocator over one block: first with base NULL to learn the size, then for real. */
typedef struct fr_arena {
    char *base;
    size_t used;
    int overflow;
} fr_arena;

static inline void *fr_take(fr_arena *arena, ptrdiff_t count, ptrdiff_t each, size_t element)
{
    size_t bytes;
    void *here = arena->base ? arena->base + arena->used : NULL;
    if (__builtin_mul_overflow((size_t)count, (size_t)each, &bytes) || __builtin_mul_overflow(bytes, element, &bytes)
        || __builtin_add_overflow(bytes, (size_t)(2 * FR_LINE - 1), &bytes)
        || __builtin_add_overflow(arena->used, bytes / FR_LINE * FR_LINE, &arena->used))
        arena->overflow = 1;
    return here;
}

static inline ptrdiff_t fr_min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t fr_max(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
static inline ptrdiff_t fr_ceil(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/* Bytes from one row of a matrix to the next, such that the rows of a tile do not fall on the same lines of L1: an odd
 * number of cache lines. */
static inline ptrdiff_t fr_lead(ptrdiff_t bytes) { return (fr_ceil(bytes, FR_LINE) | 1) * FR_LINE; }

/* Whether rows at that distance fall on few lines of L1: a multiple of a quarter of 4 KiB. */
static inline int fr_collides(ptrdiff_t bytes) { return bytes % 1024 == 0; }

/* Part i of n of a range of `count`, the parts differing by at most one. */
static inline ptrdiff_t fr_part(ptrdiff_t count, ptrdiff_t i, ptrdiff_t n) { return count * i / n; }

#endif
