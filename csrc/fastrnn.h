/* fastrnn.h - the one public header of the kernels.
 *
 * The kernels know nothing of Python. They compute what fastrnn/reference computes, with the same bits
 * (docs/numerics.md), and report through fr_status; they never print or exit, and keep no
 * state between calls but what threads.c knows of the process.
 *
 * Letters: T steps, B rows of the batch, I inputs, H hidden units, P outputs (H, or the projection's width),
 * G weight gates, C cached gates, W lanes of a vector. Sizes and strides are counted in elements.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

enum { FR_MAX_STATES = 3, FR_MAX_OPTIONS = 4, FR_MAX_NUMBERS = 4, FR_MAX_ACTIVATIONS = 5 };

typedef enum fr_status { FR_OK = 0, FR_NO_MEMORY = 1, FR_INTERRUPTED = 2, FR_OVERFLOW = 3 } fr_status;

typedef enum fr_dtype { FR_FLOAT32 = 0, FR_FLOAT64 = 1, FR_DTYPES = 2 } fr_dtype;

/* The rows of cells.def, in order. */
typedef enum fr_cell_id {
#define FR_CELL(name, gates, cached, states, params) FR_CELL_##name,
#include "cells.def"
#undef FR_CELL
    FR_CELLS
} fr_cell_id;

/* The rows of params.def: places in fr_args.param. */
typedef enum fr_param {
#define FR_PARAM(place, name) FR_##place,
#include "params.def"
#undef FR_PARAM
    FR_PARAMS
} fr_param;

/* The rows of activations.def. */
typedef enum fr_activation_kind {
#define FR_ACTIVATION(name) FR_ACTIVATION_##name,
#include "activations.def"
#undef FR_ACTIVATION
    FR_ACTIVATIONS
} fr_activation_kind;

typedef struct fr_activation {
    int32_t kind;
    double alpha, beta;         /* rounded to the call's dtype by the kernels */
} fr_activation;

typedef enum fr_function { FR_EXP, FR_SIGMOID, FR_TANH, FR_ELU, FR_SOFTPLUS, FR_FUNCTIONS } fr_function;

/* An array over steps and rows: element (t, b, k) is data[t * step + b * row + k]. */
typedef struct fr_view {
    void *data;
    ptrdiff_t step, row;
} fr_view;

/* How a call runs: which kernels, how many threads, and how it hears of signals. */
typedef struct fr_run {
    int32_t dtype;              /* fr_dtype */
    int32_t isa;                /* index into the rows of isas.def; must be supported here */
    int32_t threads;            /* at least 1: used exactly; 0: as many as pay */
    int (*poll)(void *);        /* called between windows of a long call by the calling thread; not 0 stops it */
    void *poll_argument;
} fr_run;

/* One layer in one direction over one sequence, forward or backward.
 *
 * Arrays without strides are contiguous. Slots of tape_state: the state before time t stands in slot t and the one
 * after it in slot t+1; in reverse the other way round. Nothing aliases anything else, except where said. */
typedef struct fr_args {
    fr_run run;
    int32_t cell, form;                     /* fr_cell_id; which of the cell's forms */
    int32_t option[FR_MAX_OPTIONS];         /* the meaning of forms and of these three is the */
    double number[FR_MAX_NUMBERS];          /* cell's own (cells.py: native_form, native_options, ...) */
    fr_activation activation[FR_MAX_ACTIVATIONS];
    int32_t reverse;
    ptrdiff_t every;                        /* 1 to T: the tape keeps every so many-th state; 0: all of the tape */
    ptrdiff_t steps, batch, inputs, hidden, outputs;
    const int64_t *lengths;                 /* (B), 0 <= length <= T; NULL: all T */
    const void *param[FR_PARAMS];           /* in the order of params.def; NULL where the layer has none */
    const void *recurrent;                  /* (B, P): what h is multiplied with on its way into the products; NULL: 1 */
    double epsilon;                         /* of layer normalisation; done where the layer has param[FR_W_LN_IH] */
    double zoneout[FR_MAX_STATES];          /* the part of the state before that each state keeps, */
    const uint8_t *keep[FR_MAX_STATES];     /* or (T, B, width): what it keeps whole, 0 or 1; NULL: that part */
    const void *packed;                     /* what fr_pack wrote for these parameters, or NULL; forward only */
    fr_view x;                              /* (T, B, I) in */

    /* forward */
    const void *state0[FR_MAX_STATES];      /* (B, width) in; NULL: zeros */
    fr_view y;                              /* (T, B, P) out; +0 past a row's length; data NULL: not wanted */
    void *state[FR_MAX_STATES];             /* (B, width) out; NULL: not wanted */
    void *tape_state[FR_MAX_STATES];        /* (T+1, B, width): forward out, backward in; NULL: no tape. Where `every`:
                                               (S+1, B, width), S = T / every rounded up; slot j is that of time
                                               min(j * every, length) */
    void *tape_cached;                      /* (T, B, C*H): forward out, backward in; not used where `every`. With layer
                                               normalisation C is larger by the products over h and over x */

    /* backward */
    fr_view dy;                             /* (T, B, P) in; data NULL: zeros */
    const void *dstate[FR_MAX_STATES];      /* (B, width) in; NULL: zeros */
    fr_view dx;                             /* (T, B, I) out; data NULL: not wanted */
    void *dstate0[FR_MAX_STATES];           /* (B, width) out */
    void *step_dstate[FR_MAX_STATES];       /* (T+1, B, width) out, slots as of tape_state: the gradient of each state
                                               as it is carried back, without the dy of its step; NULL: not wanted */
    void *dparam[FR_PARAMS];                /* out, overwritten; NULL where param is NULL */
} fr_args;

/* y (R, O) = x (R, I) w^T + b, and its gradients. */
typedef struct fr_linear_args {
    fr_run run;
    ptrdiff_t rows, inputs, outputs;
    const void *x, *w, *b;                  /* (R, I), (O, I), (O) or NULL */
    void *y;                                /* (R, O) out */
    const void *dy;                         /* (R, O) in */
    void *dx, *dw, *db;                     /* out; db NULL where b is NULL */
} fr_linear_args;

fr_status fr_forward(const fr_args *args);
fr_status fr_backward(const fr_args *args);

/* Two calls that have nothing to do with each other, such as the directions of a layer, at once if that is faster. */
fr_status fr_forward_both(const fr_args *a, const fr_args *b);
fr_status fr_backward_both(const fr_args *a, const fr_args *b);

/* The forward weights laid out for the kernels of args->run (bytes needed; write them to dst, 64-byte aligned). */
size_t fr_packed_size(const fr_args *args);
void fr_pack(const fr_args *args, void *dst);

fr_status fr_linear(const fr_linear_args *args);
fr_status fr_linear_backward(const fr_linear_args *args);

/* out[i] = f(in[i]), i < n; in and out may be the same array. */
void fr_map(const fr_run *run, fr_function f, const void *in, void *out, ptrdiff_t n);

/* Memory as the kernels like it: aligned to a cache line; pieces of FR_KEPT_FROM bytes and more stand in huge pages and
 * are kept for the next call when they are given back. NULL when memory runs out. */
enum { FR_KEPT_FROM = 2 << 20 };
void *fr_malloc(size_t bytes);
void fr_free(void *memory);
void fr_keep_memory(size_t bytes);          /* how much is kept at most, from now on; 0: nothing */
size_t fr_kept_memory(void);                /* how much is kept now */

/* The rows of cells.def and of params.def by name: the index, or -1. */
int fr_cell_index(const char *name);
int fr_param_index(const char *name);

/* The instruction sets built in, best first, and whether this CPU and operating system run them. */
int fr_isa_count(void);
const char *fr_isa_name(int isa);
int fr_isa_supported(int isa);

int fr_default_threads(void);               /* what threads = 0 may use at most, here and now */
int fr_has_openmp(void);
const char *fr_compiler(void);

/* For tests. The n-th allocation from now fails (once), 0 switches it off; each thread has its own count. Calls are cut
 * into windows of so many operations, 0: as the clock says; in calls of this thread. */
void fr_fail_allocation(long n);
void fr_limit_windows(double flops);

#endif
