/* plan.h - which member of the team computes what: rows of the batch and units of the layer. */
#ifndef FASTRNN_PLAN_H
#define FASTRNN_PLAN_H

#include "kernels.h"

/* Pb groups share the batch by rows, without a barrier; within a group Pu members share the units, with one barrier
 * a product. */
typedef struct fr_grid {
    int Pb, Pu;
} fr_grid;

/* Weights of this size stay in a core's L2 (2 MiB, and what the shared cache adds), so that every core can read all of
 * them at every step; sharing units instead costs a barrier a step (measured: rows win up to about 3 MB). */
static const ptrdiff_t fr_weights_that_stay = 3 << 20;
/* From this many rows a core on, the product hides the weights' way even from the shared cache. */
static const ptrdiff_t fr_rows_that_hide = 13;

static inline fr_grid fr_plan(int members, ptrdiff_t batch, ptrdiff_t panels, ptrdiff_t weight_bytes)
{
    ptrdiff_t rows = weight_bytes <= fr_weights_that_stay ? 1 : fr_rows_that_hide;
    fr_grid grid = {1, 1};
    for (int d = 1; d <= members; d++)
        if (members % d == 0 && batch / d >= rows)
            grid.Pb = d;
    grid.Pu = (int)fr_max(1, fr_min(members / grid.Pb, panels));
    return grid;
}

/* The most members that share a group's rows, whatever team of at most `team` is given. */
static inline int fr_most_sharing(int team, ptrdiff_t batch, ptrdiff_t panels, ptrdiff_t weight_bytes)
{
    int most = 1;
    for (int members = 1; members <= team; members++)
        most = (int)fr_max(most, fr_plan(members, batch, panels, weight_bytes).Pu);
    return most;
}

/* A member's place in the grid; idle where the grid is smaller than the team. */
typedef struct fr_place {
    int idle, pb, pu;
    ptrdiff_t b0, b1;           /* its group's rows */
    ptrdiff_t scratch;          /* where its own scratch begins, in rows: every member has its group's rows once */
} fr_place;

/* The first row of group pb: equal shares of the rows, or of the sum of lengths. */
static inline ptrdiff_t fr_first_row(const fr_args *a, int pb, int Pb)
{
    int64_t all = 0, some = 0;
    ptrdiff_t b = 0;
    if (!a->lengths || pb == 0 || pb == Pb)
        return fr_part(a->batch, pb, Pb);
    for (ptrdiff_t i = 0; i < a->batch; i++)
        all += a->lengths[i];
    while (b < a->batch && (some + a->lengths[b] / 2) * Pb <= all * pb)
        some += a->lengths[b++];
    return b;
}

static inline fr_place fr_take_place(const fr_args *a, fr_grid grid, int member)
{
    fr_place place = {member >= grid.Pb * grid.Pu, member / grid.Pu, member % grid.Pu, 0, 0, 0};
    if (!place.idle) {
        place.b0 = fr_first_row(a, place.pb, grid.Pb);
        place.b1 = fr_first_row(a, place.pb + 1, grid.Pb);
        place.scratch = place.b0 * grid.Pu + place.pu * (place.b1 - place.b0);
    }
    return place;
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

#endif
