/* dispatch.c - from a call to the kernels of its instruction set. */
#include "kernels.h"

#include <string.h>

static const fr_kernels *const tables[] = {
#define FR_ISA_ROW(name, supported) &fr_kernels_##name,
#include "isas.def"
#undef FR_ISA_ROW
};

static int find(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

int fr_cell_index(const char *name)
{
    static const char *const names[] = {
#define FR_CELL(name, gates, cached, states, params) #name,
#include "cells.def"
#undef FR_CELL
    };
    return find(name, names, FR_CELLS);
}

int fr_param_index(const char *name)
{
    static const char *const names[] = {
#define FR_PARAM(place, name) #name,
#include "params.def"
#undef FR_PARAM
    };
    return find(name, names, FR_PARAMS);
}

int fr_isa_count(void) { return (int)(sizeof tables / sizeof *tables); }

const char *fr_isa_name(int isa) { return tables[isa]->name; }

int fr_isa_supported(int isa)
{
    int row = 0;
#define FR_ISA_ROW(name, supported)  \
    if (isa == row++)                \
        return (supported) != 0;
#include "isas.def"
#undef FR_ISA_ROW
    return 0;
}

const char *fr_compiler(void)
{
#ifdef __VERSION__
#ifdef __clang__
    return __VERSION__;
#else
    return "GCC " __VERSION__;
#endif
#else
    return "unknown";
#endif
}

static const fr_kernels *kernels(const fr_run *run) { return tables[run->isa]; }

typedef fr_status pass(const fr_args *);
typedef fr_status linear_pass(const fr_linear_args *);

typedef struct call {
    pass *pass;
    const fr_args *args;
    linear_pass *linear;        /* or this */
    const fr_linear_args *linear_args;
    fr_status status;
} call;

static void run_call(void *argument)
{
    call *c = argument;
    c->status = c->pass ? c->pass(c->args) : c->linear(c->linear_args);
}

static fr_status run_pass(pass *pass, const fr_args *a, int back)
{
    call c = {.pass = pass, .args = a};
    fr_with_team(&a->run, kernels(&a->run)->team[a->run.dtype](a, back), run_call, &c);
    return c.status;
}

static fr_status run_linear(linear_pass *pass, const fr_linear_args *a, int back)
{
    call c = {.linear = pass, .linear_args = a};
    fr_with_team(&a->run, fr_team(&a->run, fr_linear_flops(a, back)), run_call, &c);
    return c.status;
}

fr_status fr_forward(const fr_args *a) { return run_pass(kernels(&a->run)->forward[a->run.dtype], a, 0); }
fr_status fr_backward(const fr_args *a) { return run_pass(kernels(&a->run)->backward[a->run.dtype], a, 1); }
size_t fr_packed_size(const fr_args *a) { return kernels(&a->run)->packed_size[a->run.dtype](a); }
fr_status fr_linear(const fr_linear_args *a) { return run_linear(kernels(&a->run)->linear[a->run.dtype], a, 0); }
fr_status fr_linear_backward(const fr_linear_args *a)
{
    return run_linear(kernels(&a->run)->linear_backward[a->run.dtype], a, 1);
}

/* ---- two calls at once ---- */

typedef struct pair {
    pass *pass;
    const fr_args *args[2];
    fr_status status[2];
    int stop;                   /* a signal came: the other thread, which cannot look for signals, looks here */
} pair;

static int stopped(void *stop) { return __atomic_load_n((int *)stop, __ATOMIC_RELAXED); }

static void run_pair(void *argument, int member, int members)
{
    pair *p = argument;
    for (int i = member; i < 2; i += members) {
        fr_args a = *p->args[i];
        if (stopped(&p->stop)) {
            p->status[i] = FR_INTERRUPTED;
            continue;
        }
        a.run.threads = 1;
        if (member > 0) {
            a.run.poll = stopped;
            a.run.poll_argument = &p->stop;
        }
        p->status[i] = p->pass(&a);
        if (p->status[i] != FR_OK)
            __atomic_store_n(&p->stop, 1, __ATOMIC_RELAXED);
    }
}

/* A thread each where there are two, or may be three: then nobody waits for anybody. Else, and where the work is too
 * small, one after the other with all threads. */
static fr_status run_both(pass *pass, const fr_args *a, const fr_args *b)
{
    static const int gates[] = {
#define FR_CELL(name, gates, cached, states, params) gates,
#include "cells.def"
#undef FR_CELL
    };
    const double products = (double)(gates[a->cell] * a->hidden) * (double)(a->inputs + a->outputs);
    const int team = fr_team(&a->run, 4.0 * (double)(a->steps * a->batch) * products);
    if (team == 2 || (team == 3 && a->run.threads <= 0)) {
        pair p = {.pass = pass, .args = {a, b}};
        fr_parallel(2, run_pair, &p);
        for (int i = 0; i < 2; i++)     /* what went wrong, rather than what was stopped because of it */
            if (p.status[i] != FR_OK && (p.status[i] != FR_INTERRUPTED || p.status[1 - i] == FR_OK
                                         || p.status[1 - i] == FR_INTERRUPTED))
                return p.status[i];
        return FR_OK;
    }
    fr_status status = pass(a);
    return status == FR_OK ? pass(b) : status;
}

fr_status fr_forward_both(const fr_args *a, const fr_args *b) { return run_both(fr_forward, a, b); }
fr_status fr_backward_both(const fr_args *a, const fr_args *b) { return run_both(fr_backward, a, b); }

/* These two run in the calling thread, not in a team, and see to the floating-point state themselves. */

void fr_pack(const fr_args *a, void *dst)
{
    uint64_t was = fr_float_enter();
    kernels(&a->run)->pack[a->run.dtype](a, dst);
    fr_float_leave(was);
}

void fr_map(const fr_run *run, fr_function f, const void *in, void *out, ptrdiff_t n)
{
    uint64_t was = fr_float_enter();
    kernels(run)->map[run->dtype](f, in, out, n);
    fr_float_leave(was);
}
