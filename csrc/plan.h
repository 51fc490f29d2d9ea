/* plan.h - which member of the team computes what: rows of the batch and units of the layer. */
#ifndef FASTRNN_PLAN_H
#define FASTRNN_PLAN_H

#include "kernels.h"

/* Pb groups of `sharing` members share the batch by rows, without a barrier; within a group Pu members share the units,
 * with one barrier a product. The other members of a group have no units, but may take part in what need not wait. */
typedef struct fr_grid {
    int Pb, Pu, sharing;
} fr_grid;

/* What is shared at every step: rows of the batch, panels of units, and the vectors of weights in a panel. */
typedef struct fr_load {
    ptrdiff_t batch, panels, vectors, vector_bytes;
} fr_load;

/* Cycles of a step for the member that has most to do: multiply-adds, two vectors a cycle, or the weights' way into the
 * core, whichever is longer; gates; and where units are shared a barrier, with the waiting for the slowest (measured on
 * an AVX-512 Xeon; what matters is the order of the alternatives). */
static inline double fr_step_cycles(const fr_load *load, int Pb, int Pu)
{
    const double from_l2 = 50, from_beyond = 12;        /* bytes a cycle */
    const double stays = 3 << 20;                       /* L2 is 2 MiB, and the shared cache adds to it */
    double rows = (double)fr_ceil(load->batch, Pb), panels = (double)fr_ceil(load->panels, Pu);
    double vectors = panels * (double)load->vectors, bytes = vectors * (double)load->vector_bytes;
    double multiply = rows * vectors / 2, read = bytes / (bytes <= stays ? from_l2 : from_beyond);
    return (multiply > read ? multiply : read) + 80 * rows * panels + (Pu > 1 ? 1500 : 0);
}

/* The best grid for a team; at most `most` members share a group's rows. */
static inline fr_grid fr_plan(int members, const fr_load *load, ptrdiff_t most)
{
    fr_grid grid = {0, 0, 0};
    double least = 0;
    for (int Pb = 1; Pb <= members && (Pb == 1 || Pb <= load->batch); Pb++) {
        const int sharing = (int)fr_max(1, fr_min(members / Pb, most));
        const fr_grid tried[2] = {{Pb, (int)fr_max(1, fr_min(sharing, load->panels)), sharing}, {Pb, 1, sharing}};
        for (int i = 0; i < 2 && members % Pb == 0; i++) {
            const double cycles = fr_step_cycles(load, tried[i].Pb, tried[i].Pu);
            if (grid.Pb == 0 || cycles < least || (cycles == least && Pb > grid.Pb)) {
                grid = tried[i];
                least = cycles;
            }
        }
    }
    return grid;
}

static inline ptrdiff_t fr_length(const fr_args *a, ptrdiff_t b) { return a->lengths ? a->lengths[b] : a->steps; }

/* The time at which step s of the loop stands. In reverse the rows join as the loop comes down to their length. */
static inline ptrdiff_t fr_time(const fr_args *a, ptrdiff_t s) { return a->reverse ? a->steps - 1 - s : s; }

/* Rows of b0 .. b1-1 that are longer than t. */
static inline ptrdiff_t fr_active(const fr_args *a, ptrdiff_t t, ptrdiff_t b0, ptrdiff_t b1)
{
    ptrdiff_t n = 0;
    if (!a->lengths)
        return b1 - b0;
    for (ptrdiff_t b = b0; b < b1; b++)
        n += a->lengths[b] > t;
    return n;
}

/* What a window of the time loop covers: times t0 .. t1-1, and the rows that are there at t0, the most at once. */
typedef struct fr_span {
    ptrdiff_t t0, t1, rows;
} fr_span;

static inline fr_span fr_times(const fr_args *a, ptrdiff_t s0, ptrdiff_t s1)
{
    fr_span span = {a->reverse ? a->steps - s1 : s0, a->reverse ? a->steps - s0 : s1, 0};
    span.rows = fr_active(a, span.t0, 0, a->batch);
    return span;
}

/* Whether steps of so many rows may stand in one window: its shares and its plan are made for the most of them. */
static inline int fr_alike(ptrdiff_t rows, ptrdiff_t others) { return 2 * rows >= others && 2 * others >= rows; }

/* A member's place: its group, and itself among the members of the group. */
typedef struct fr_place {
    int pb, pu;
    ptrdiff_t b0, b1;           /* its group's rows */
    ptrdiff_t first;            /* rows that are there before them */
    ptrdiff_t scratch;          /* where its own scratch begins, in rows: every member has its group's rows once */
} fr_place;

/* Steps of rows b0 .. b1-1 in a window. */
static inline int64_t fr_steps(const fr_args *a, fr_span span, ptrdiff_t b0, ptrdiff_t b1)
{
    int64_t steps = 0;
    for (ptrdiff_t b = b0; b < b1; b++)
        steps += fr_max(0, fr_min(fr_length(a, b), span.t1) - span.t0);
    return steps;
}

/* The first row of group pb: equal shares of the rows, or of their steps. */
static inline ptrdiff_t fr_first_row(const fr_args *a, fr_span span, int pb, int Pb)
{
    int64_t all, some = 0;
    ptrdiff_t b = 0;
    if (!a->lengths || pb == 0 || pb == Pb)
        return fr_part(a->batch, pb, Pb);
    all = fr_steps(a, span, 0, a->batch);
    for (; b < a->batch; b++) {
        const int64_t steps = fr_steps(a, span, b, b + 1);
        if ((some + steps / 2) * Pb > all * pb)
            break;
        some += steps;
    }
    return b;
}

static inline fr_place fr_take_place(const fr_args *a, fr_span span, fr_grid grid, int member)
{
    fr_place place = {.pb = member / grid.sharing, .pu = member % grid.sharing};
    if (place.pb < grid.Pb) {
        place.b0 = fr_first_row(a, span, place.pb, grid.Pb);
        place.b1 = fr_first_row(a, span, place.pb + 1, grid.Pb);
        place.first = fr_active(a, span.t0, 0, place.b0);
        place.scratch = place.first * grid.sharing + place.pu * fr_active(a, span.t0, place.b0, place.b1);
    }
    return place;
}

#endif
