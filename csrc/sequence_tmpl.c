/* sequence_tmpl.c - the time loop, forward. backward_tmpl.c is its other half. */

/* Distance of rows of K values in memory of our own. */
static ptrdiff_t FN(lead)(ptrdiff_t K) { return fr_lead(K * (ptrdiff_t)sizeof(T)) / (ptrdiff_t)sizeof(T); }

/* Lays `operand` of n rows out as a matrix: as they stand, where they do at equal distances that suit the caches; else
 * in `gather`. */
static const T *FN(matrix)(const T *const *operand, ptrdiff_t n, ptrdiff_t K, ptrdiff_t *lda, T *gather)
{
    const ptrdiff_t each = sizeof(FN(row)) / sizeof(T *), few = 8;
    int as_they_are = n < few || !fr_collides((operand[each] - operand[0]) * (ptrdiff_t)sizeof(T));
    *lda = n > 1 ? operand[each] - operand[0] : 0;
    for (ptrdiff_t r = 2; r < n && as_they_are; r++)
        as_they_are = operand[r * each] - operand[(r - 1) * each] == *lda;
    if (as_they_are)
        return operand[0];
    *lda = FN(lead)(K);
    for (ptrdiff_t r = 0; r < n; r++)
        memcpy(gather + r * *lda, operand[r * each], (size_t)K * sizeof(T));
    return gather;
}

/* ---- packed weights, forward ----
 * main: a panel of H is [start: sums][x: I][gates] [h: P][h_gates] [r: R][r_gates], each row W wide; mid: [H][mid_gates];
 * and panels of P, [H], where the layer projects. Where products are normalised, the sums are those over x, then over h. */
typedef struct FN(weights) {
    int sums;
    signed char h_to[4], r_to[4];       /* gates over h and r -> their sums */
    ptrdiff_t panels, out_panels;       /* of H, of P */
    ptrdiff_t x, h, r, main, mid;       /* offsets in a main panel; sizes of the panels */
    ptrdiff_t mid_at, project_at, size; /* offsets of the parts; all of it */
} FN(weights);

static int FN(projects)(const fr_args *a) { return a->param[FR_W_HR] != NULL; }

static FN(weights) FN(lay_out)(const fr_args *a)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const int apart = FN(norms)(a) ? cell->gates : 0;
    FN(weights) w;
    w.sums = apart ? cell->gates + cell->h_gates : cell->sums;
    for (int g = 0; g < 4; g++) {
        w.h_to[g] = (signed char)(apart ? apart + g : cell->h_to[g]);
        w.r_to[g] = (signed char)(g < cell->r_gates ? apart + cell->r_to[g] : 0);
    }
    w.panels = fr_ceil(a->hidden, W);
    w.out_panels = fr_ceil(a->outputs, W);
    w.x = w.sums * W;
    w.h = w.x + a->inputs * cell->gates * W;
    w.r = w.h + a->outputs * cell->h_gates * W;
    w.main = w.r + cell->r_gates * a->hidden * cell->r_gates * W;
    w.mid = a->hidden * cell->mid_gates * W;
    w.mid_at = w.panels * w.main;
    w.project_at = w.mid_at + w.panels * w.mid;
    w.size = w.project_at + (FN(projects)(a) ? w.out_panels * a->hidden * W : 0);
    return w;
}

/* dst[k][gate][W] for gates g0 .. g0+G-1 of w (gates*H, K), units from u on. */
static void FN(pack_gates)(T *dst, const T *w, ptrdiff_t K, int g0, int G, ptrdiff_t H, ptrdiff_t u)
{
    for (int g = 0; g < G; g++)
        FN(pack_columns)(dst + g * W, G * W, w + ((g0 + g) * H + u) * K, K, fr_min(H - u, W), K);
}

static void FN(pack_part)(const fr_args *a, T *to, int member, int members)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const FN(weights) w = FN(lay_out)(a);
    const ptrdiff_t H = a->hidden, P = a->outputs;
    const T *w_hh = a->param[FR_W_HH];
    for (ptrdiff_t p = fr_part(w.panels, member, members); p < fr_part(w.panels, member + 1, members); p++) {
        T *panel = to + p * w.main;
        for (int s = 0; s < w.sums; s++)
            vstore(panel + s * W, FN(norms)(a) ? vset(0) : FN(bias)(a, s, p * W));
        FN(pack_gates)(panel + w.x, a->param[FR_W_IH], a->inputs, 0, cell->gates, H, p * W);
        FN(pack_gates)(panel + w.h, w_hh, P, 0, cell->h_gates, H, p * W);
        FN(pack_gates)(panel + w.r, a->param[FR_W_GG], cell->r_gates * H, 0, cell->r_gates, H, p * W);
        FN(pack_gates)(to + w.mid_at + p * w.mid, w_hh, P, cell->h_gates, cell->mid_gates, H, p * W);
    }
    if (FN(projects)(a))
        for (ptrdiff_t p = fr_part(w.out_panels, member, members); p < fr_part(w.out_panels, member + 1, members); p++)
            FN(pack_columns)(to + w.project_at + p * H * W, W, (const T *)a->param[FR_W_HR] + p * W * H, H,
                             fr_min(P - p * W, W), H);
}

static size_t FN(packed_size)(const fr_args *a) { return (size_t)FN(lay_out)(a).size * sizeof(T); }

static void FN(pack)(const fr_args *a, void *to) { FN(pack_part)(a, to, 0, 1); }

/* ---- forward ---- */

typedef struct FN(forward_call) {
    const fr_args *a;
    const FN(cell) *cell;
    int recorded;               /* blocks of H that a step leaves in the tape */
    FN(weights) w;
    const T *packed;
    T *states[FR_MAX_STATES];   /* slots of states: the tape's, or two of our own for h and one for c */
    ptrdiff_t slot[FR_MAX_STATES];      /* from the state of a step to that of the next, */
    ptrdiff_t lead[FR_MAX_STATES];      /* of a row to that of the next, */
    ptrdiff_t width[FR_MAX_STATES];     /* and what of it is used */
    T *q, *m, *o;               /* (B, H): operand of the middle product; of the projection; o where c is normalised */
    T *rec;                     /* two slots of (B, P): multiples of h, or NULL */
    T *z;                       /* sums that outlive a tile: (chunk steps * B, panels, sums, W), or NULL */
    ptrdiff_t chunk;            /* steps whose input product is taken at once, before them; 0: fused */
    ptrdiff_t ahead;            /* from the sums of a chunk to those of the next */
    ptrdiff_t scratch;
    FN(row) *rows, *diverted;   /* `scratch` of them; of every member: its group's rows at up to `chunk` steps */
    T *gather;                  /* of each of these: `gathered` values */
    ptrdiff_t gathered;
    ptrdiff_t s0, s1;           /* the window */
    fr_span span;
    fr_group group[];
} FN(forward_call);

/* Where the state before step s of the loop stands. */
static ptrdiff_t FN(slot)(const fr_args *a, ptrdiff_t s)
{
    return !a->tape_state[0] ? s & 1 : a->reverse ? a->steps - s : s;
}

/* Addresses of the rows b0 .. b1-1 that are there at step s; returns how many. */
static ptrdiff_t FN(rows_at)(const FN(forward_call) *c, ptrdiff_t s, ptrdiff_t b0, ptrdiff_t b1, FN(row) *rows)
{
    const fr_args *a = c->a;
    const int taped = a->tape_state[0] != NULL;
    const ptrdiff_t t = fr_time(a, s), before = FN(slot)(a, s), after = FN(slot)(a, s + 1);
    ptrdiff_t n = 0;
    for (ptrdiff_t b = b0; b < b1; b++) {
        FN(row) *row = rows + n;
        if (t >= fr_length(a, b))
            continue;
        row->x = (const T *)a->x.data + t * a->x.step + b * a->x.row;
        row->h_prev = c->states[0] + before * c->slot[0] + b * c->lead[0];
        row->h = c->states[0] + after * c->slot[0] + b * c->lead[0];
        row->y = a->y.data ? (T *)a->y.data + t * a->y.step + b * a->y.row : NULL;
        row->rec = c->rec ? c->rec + ((s & 1) * a->batch + b) * a->outputs : row->h_prev;
        row->rec_next = c->rec ? c->rec + (((s + 1) & 1) * a->batch + b) * a->outputs : NULL;
        row->scale = c->rec ? (const T *)a->recurrent + b * a->outputs : NULL;
        for (int i = 0; i < c->cell->states; i++)
            row->keep[i] = a->keep[i] ? a->keep[i] + (t * a->batch + b) * c->width[i] : NULL;
        if (c->cell->states > 1) {
            row->c_prev = c->states[1] + before * c->slot[1] + b * c->lead[1];
            row->c = c->states[1] + after * c->slot[1] + b * c->lead[1];
        }
        row->r = NULL;
        if (c->cell->states > 2) {
            row->r_prev = c->states[2] + before * c->slot[2] + b * c->lead[2];
            row->r = c->states[2] + after * c->slot[2] + b * c->lead[2];
        }
        row->cached = taped && c->recorded
                          ? (T *)a->tape_cached + (t * a->batch + b) * c->recorded * a->hidden : NULL;
        row->q = c->q ? c->q + b * a->hidden : NULL;
        row->m = c->m ? c->m + b * a->hidden : NULL;
        row->o = c->o ? c->o + b * a->hidden : NULL;
        n++;
    }
    return n;
}

/* The product over the inputs begins at the start of each panel's sums; what it does not touch of n rows and np panels
 * is put there. */
static void FN(begin)(const FN(forward_call) *c, const T *panel, ptrdiff_t n, int np, ptrdiff_t zrow, T *sums)
{
    const int S = c->w.sums, first = c->a->inputs > 0 ? c->cell->gates : 0;
    for (ptrdiff_t m = 0; m < n && first < S; m++)
        for (int j = 0; j < np; j++)
            for (int i = first; i < S; i++)
                vstore(sums + m * zrow + (j * S + i) * W, vload(panel + j * c->w.main + i * W));
}

/* The input products of n rows, panels p0 .. p1-1: sums, from z on. */
static void FN(hoist)(const FN(forward_call) *c, const FN(row) *rows, ptrdiff_t n, ptrdiff_t p0, ptrdiff_t p1, T *z,
                      T *gather)
{
    const fr_args *a = c->a;
    const int S = c->w.sums, G = c->cell->gates;
    const ptrdiff_t zrow = c->w.panels * S * W;
    FN(product) px = {.K = a->inputs, .panel = c->w.main, .zrow = zrow, .zpanel = S * W, .to = {0, 1, 2, 3},
                      .start = -c->w.x};
    if (n == 0)
        return;
    const T *x = FN(matrix)(&rows->x, n, a->inputs, &px.lda, gather);
    FN(cut) cut = FN(cut_rows)(n, G);
    for (ptrdiff_t panel = p0; panel < p1;) {
        const T *w = c->packed + panel * c->w.main;
        int np = FN(group)(&cut, p1 - panel);
        for (int i = 0, i1; i < cut.tiles; i = i1) {
            i1 = FN(together)(&cut, i);
            ptrdiff_t m0 = FN(tile_start)(&cut, i), m1 = FN(tile_start)(&cut, i1);
            T *sums = z + m0 * zrow + panel * S * W;
            FN(begin)(c, w, m1 - m0, np, zrow, sums);
            FN(multiply)(&px, &cut, i, i1, np, G, x + m0 * px.lda, w + c->w.x, w + np * c->w.main + c->w.x, sums);
        }
        panel += np;
    }
}

/* Panels p0 .. p1-1 of n rows: sums, then gates, unless these wait for all sums; from the last panel down where `back`:
 * what one step touched last the next touches first, while it is still near, if the weights are larger than the caches. z: where the rows' sums stand,
 * or NULL: in the tile; `hoisted` if they hold the input product already. */
static void FN(main_stage)(const FN(forward_call) *c, const FN(row) *rows, ptrdiff_t n, ptrdiff_t p0, ptrdiff_t p1,
                           int back, T *z, int hoisted, T *gather)
{
    _Alignas(FR_LINE) T local[FN(SUMS)];
    const fr_args *a = c->a;
    const FN(cell) *cell = c->cell;
    const int S = c->w.sums, gates_wait = FN(norms)(a);
    const ptrdiff_t zrow = c->w.panels * S * W;
    FN(product) px = {.K = a->inputs, .panel = c->w.main, .zrow = zrow, .zpanel = S * W, .to = {0, 1, 2, 3},
                      .start = -c->w.x};
    FN(product) ph = {.K = a->outputs, .panel = c->w.main, .zrow = zrow, .zpanel = S * W};
    FN(product) pr = {.K = cell->r_gates * a->hidden, .panel = c->w.main, .zrow = zrow, .zpanel = S * W};
    const T *x = hoisted ? NULL : FN(matrix)(&rows->x, n, a->inputs, &px.lda, gather), *h = NULL, *r = NULL;
    FN(cut) cut = FN(cut_rows)(n, cell->gates);
    gather += n * FN(lead)(a->inputs);
    if (cell->h_gates)
        h = FN(matrix)(&rows->rec, n, a->outputs, &ph.lda, gather);
    if (cell->r_gates)
        r = FN(matrix)(&rows->r_prev, n, pr.K, &pr.lda, gather + n * FN(lead)(a->outputs));
    memcpy(ph.to, c->w.h_to, sizeof ph.to);
    memcpy(pr.to, c->w.r_to, sizeof pr.to);
    for (ptrdiff_t done = 0, np; done < p1 - p0; done += np) {
        np = FN(group)(&cut, p1 - p0 - done);
        const ptrdiff_t panel = back ? p1 - done - np : p0 + done;
        const T *w = c->packed + panel * c->w.main;
        const T *next = w + (back ? -np : np) * c->w.main + (hoisted ? c->w.h : c->w.x);
        for (int i = 0, i1; i < cut.tiles; i = i1) {
            i1 = FN(together)(&cut, i);
            ptrdiff_t m0 = FN(tile_start)(&cut, i), m1 = FN(tile_start)(&cut, i1);
            T *sums = z ? z + m0 * zrow + panel * S * W : local;
            if (!z)
                px.zrow = ph.zrow = pr.zrow = np * S * W;
            if (!hoisted) {
                FN(begin)(c, w, m1 - m0, (int)np, px.zrow, sums);
                FN(multiply)(&px, &cut, i, i1, (int)np, cell->gates, x + m0 * px.lda, w + c->w.x, w + c->w.h, sums);
            }
            if (cell->h_gates)
                FN(multiply)(&ph, &cut, i, i1, (int)np, cell->h_gates, h + m0 * ph.lda, w + c->w.h,
                             cell->r_gates ? w + c->w.r : next, sums);
            if (cell->r_gates)
                FN(multiply)(&pr, &cut, i, i1, (int)np, cell->r_gates, r + m0 * pr.lda, w + c->w.r, next, sums);
            if (!gates_wait)
                cell->forward(a, rows + m0, m1 - m0, sums, ph.zrow, panel * W, fr_min((panel + np) * W, a->hidden));
        }
    }
}

/* The product over q, and the second half of the gates. */
static void FN(mid_stage)(const FN(forward_call) *c, const FN(row) *rows, ptrdiff_t n, ptrdiff_t p0, ptrdiff_t p1, T *z,
                          T *gather)
{
    const fr_args *a = c->a;
    const FN(cell) *cell = c->cell;
    const int S = c->w.sums;
    FN(product) pq = {.K = a->hidden, .panel = c->w.mid, .zrow = c->w.panels * S * W, .zpanel = S * W};
    const T *q = FN(matrix)((const T *const *)&rows->q, n, a->hidden, &pq.lda, gather);
    FN(cut) cut = FN(cut_rows)(n, cell->mid_gates);
    memcpy(pq.to, cell->mid_to, sizeof pq.to);
    for (ptrdiff_t panel = p0; panel < p1;) {
        int np = FN(group)(&cut, p1 - panel);
        const T *w = c->packed + c->w.mid_at + panel * c->w.mid;
        for (int i = 0, i1; i < cut.tiles; i = i1) {
            i1 = FN(together)(&cut, i);
            ptrdiff_t m0 = FN(tile_start)(&cut, i), m1 = FN(tile_start)(&cut, i1);
            T *sums = z + m0 * pq.zrow + panel * S * W;
            FN(multiply)(&pq, &cut, i, i1, np, cell->mid_gates, q + m0 * pq.lda, w, w + np * c->w.mid, sums);
            cell->forward_mid(a, rows + m0, m1 - m0, sums, pq.zrow, panel * W, fr_min((panel + np) * W, a->hidden));
        }
        panel += np;
    }
}

/* h = w_hr m. */
static void FN(project_stage)(const FN(forward_call) *c, const FN(row) *rows, ptrdiff_t n, ptrdiff_t p0, ptrdiff_t p1,
                              T *gather)
{
    _Alignas(FR_LINE) T z[FN(SUMS)];
    const fr_args *a = c->a;
    const ptrdiff_t H = a->hidden, P = a->outputs;
    FN(product) pm = {.K = H, .panel = H * W, .zpanel = W, .fresh = 1};
    const T *m = FN(matrix)((const T *const *)&rows->m, n, H, &pm.lda, gather);
    FN(cut) cut = FN(cut_rows)(n, 1);
    for (ptrdiff_t panel = p0; panel < p1;) {
        int np = FN(group)(&cut, p1 - panel);
        const T *w = c->packed + c->w.project_at + panel * H * W;
        pm.zrow = np * W;
        for (int i = 0, i1; i < cut.tiles; i = i1) {
            i1 = FN(together)(&cut, i);
            ptrdiff_t m0 = FN(tile_start)(&cut, i), m1 = FN(tile_start)(&cut, i1);
            FN(multiply)(&pm, &cut, i, i1, np, 1, m + m0 * pm.lda, w, w + np * pm.panel, z);
            for (ptrdiff_t r = m0; r < m1; r++)
                for (ptrdiff_t u = panel * W; u < fr_min((panel + np) * W, P); u += W) {
                    V h = FN(flush)(vload(z + (r - m0) * pm.zrow + u - panel * W));
                    FN(put)(rows[r].h + u, h, P - u);
                    if (rows[r].y)
                        FN(put)(rows[r].y + u, h, P - u);
                }
        }
        panel += np;
    }
}

/* Where the layer projects, the cell writes m instead of h and y. */
static void FN(divert)(FN(row) *rows, ptrdiff_t n, FN(row) *to)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        to[r] = rows[r];
        to[r].h = rows[r].m;
        to[r].y = NULL;
    }
}

/* Rows of a member at most for which the input product is taken out of the time loop, for so many rows of several steps at
 * once: there the way of the weights into the core sets the pace, and those of the inputs go it once for all these rows. */
enum { FN(HOIST_ROWS) = 8, FN(HOIST_CHUNK) = 64 };

static int FN(is_hoisted)(ptrdiff_t rows, int team) { return fr_ceil(rows, team) <= FN(HOIST_ROWS); }

/* Multiply-adds of a unit over what the step before left. */
static ptrdiff_t FN(recurrent_terms)(const fr_args *a)
{
    const FN(cell) *cell = FN(cell_of)(a);
    return cell->h_gates * a->outputs + cell->mid_gates * a->hidden + cell->r_gates * cell->r_gates * a->hidden;
}

static fr_load FN(forward_load)(const fr_args *a, ptrdiff_t rows, int hoisted)
{
    const ptrdiff_t inputs = hoisted ? 0 : FN(cell_of)(a)->gates * a->inputs;
    return (fr_load){rows, fr_ceil(a->hidden, W), FN(recurrent_terms)(a) + inputs, W * sizeof(T)};
}

/* A member of the team in a window. */
typedef struct FN(worker) {
    const FN(forward_call) *c;
    fr_place place;
    fr_grid grid;
    ptrdiff_t p0, p1, o0, o1;   /* its panels of units and of outputs */
    fr_group *group;
    FN(row) *rows, *diverted;   /* its scratch */
    T *gather;
} FN(worker);

/* Whether a step's sums are needed once more when all of them are there. */
static int FN(sums_stay)(const fr_args *a) { return FN(cell_of)(a)->mid_gates || FN(norms)(a); }

/* Whether a state keeps some of what it was. */
static int FN(zones)(const fr_args *a, int state) { return a->keep[state] || a->zoneout[state] > 0; }

/* 1 where a byte is not 0, of up to W bytes. */
FR_INLINE V FN(get_bytes)(const uint8_t *p, ptrdiff_t n)
{
    typedef uint8_t bytes __attribute__((vector_size(W)));
    bytes b = {0};
    memcpy(&b, p, (size_t)fr_min(n, W));
    return __builtin_convertvector(b, V);
}

/* Units u0 .. u1-1 of state i after a step: what it keeps of the state before, and, of h, the next step's operand. */
static void FN(settle)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, int i, ptrdiff_t u0, ptrdiff_t u1)
{
    const int zones = FN(zones)(a, i);
    const V part = vset((T)a->zoneout[i]);
    if (!zones && (i > 0 || !a->recurrent))
        return;
    for (const FN(row) *row = rows; row < rows + n; row++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
            T *to = i == 0 ? row->h : row->c;
            V v = FN(get)(to + u, lanes);
            if (zones) {
                const V was = FN(get)((i == 0 ? row->h_prev : row->c_prev) + u, lanes);
                v = row->keep[i] ? vlt(vset(0), FN(get_bytes)(row->keep[i] + u, lanes), was, v)
                                 : FN(flush)(vfma(part, was - v, v));
                FN(put)(to + u, v, lanes);
                if (i == 0 && row->y)
                    FN(put)(row->y + u, v, lanes);
            }
            if (i == 0 && row->rec_next)
                FN(put)(row->rec_next + u, FN(flush)(v * FN(get)(row->scale + u, lanes)), lanes);
        }
}

/* Steps s0 .. s1-1. z: as main_stage takes it. */
static void FN(run_steps)(const FN(worker) *k, ptrdiff_t s0, ptrdiff_t s1, T *z, int hoisted)
{
    const FN(forward_call) *c = k->c;
    const FN(cell) *cell = c->cell;
    const int projects = FN(projects)(c->a), norms = FN(norms)(c->a), late = FN(norms_c)(c->a);
    const ptrdiff_t u0 = k->p0 * W, u1 = fr_min(k->p1 * W, c->a->hidden), zrow = c->w.panels * c->w.sums * W;
    fr_barrier *barrier = &k->group->barrier;
    for (ptrdiff_t s = s0; s < s1; s++) {
        const ptrdiff_t n = FN(rows_at)(c, s, k->place.b0, k->place.b1, k->rows);
        const FN(row) *rows = projects ? k->diverted : k->rows;
        if (projects)
            FN(divert)(k->rows, n, k->diverted);
        if (n > 0)
            FN(main_stage)(c, rows, n, k->p0, k->p1, s & 1, z, hoisted, k->gather);
        if (norms) {
            fr_barrier_wait(barrier, k->grid.Pu);
            FN(normal_forward)(c->a, rows, n, z, zrow, u0, u1);
        }
        if (late) {
            fr_barrier_wait(barrier, k->grid.Pu);
            FN(normal_forward_late)(c->a, rows, n, u0, u1);
            if (FN(zones)(c->a, 1))             /* it is about to change c, which all look at */
                fr_barrier_wait(barrier, k->grid.Pu);
        }
        if (cell->mid_gates || projects)    /* the step has a product after its gates */
            fr_barrier_wait(barrier, k->grid.Pu);
        if (n > 0 && cell->mid_gates)
            FN(mid_stage)(c, k->rows, n, k->p0, k->p1, z, k->gather);
        if (n > 0 && projects)
            FN(project_stage)(c, k->rows, n, k->o0, k->o1, k->gather);
        FN(settle)(c->a, k->rows, n, 0, k->o0 * W, fr_min(k->o1 * W, c->a->outputs));
        if (cell->states > 1)
            FN(settle)(c->a, k->rows, n, 1, u0, u1);
        fr_barrier_wait(barrier, k->grid.Pu);
        if (hoisted)
            z += n * zrow;
    }
}

/* The group's rows of steps s0 .. s1-1, one step after the other. */
static ptrdiff_t FN(rows_of_steps)(const FN(worker) *k, ptrdiff_t s0, ptrdiff_t s1)
{
    ptrdiff_t n = 0;
    for (ptrdiff_t s = s0; s < s1; s++)
        n += FN(rows_at)(k->c, s, k->place.b0, k->place.b1, k->rows + n);
    return n;
}

/* Takes items of the input products of steps s0 .. s1-1 until none is left: rows that use the weights together. */
static void FN(hoist_items)(const FN(worker) *k, ptrdiff_t s0, ptrdiff_t s1, T *z, int64_t *taken)
{
    const FN(forward_call) *c = k->c;
    const ptrdiff_t n = FN(rows_of_steps)(k, s0, s1);
    const ptrdiff_t items = fr_ceil(n, FN(TOGETHER) * FN(max_rows)(c->cell->gates));
    for (ptrdiff_t i; (i = fr_next_item(taken, items)) >= 0;) {
        const ptrdiff_t r0 = fr_part(n, i, items), r1 = fr_part(n, i + 1, items);
        FN(hoist)(c, k->rows + r0, r1 - r0, 0, c->w.panels, z + r0 * c->w.panels * c->w.sums * W, k->gather);
    }
}

/* One member of the group runs the steps of a chunk; the others take the input products of the next one meanwhile, and
 * it helps them when it is through. */
static void FN(run_ahead)(const FN(worker) *k, T *z)
{
    const FN(forward_call) *c = k->c;
    const int members = k->grid.sharing;
    T *now = z, *next = z + c->ahead;
    int64_t *taken = k->group->taken;
    FN(hoist_items)(k, c->s0, fr_min(c->s1, c->s0 + c->chunk), now, &taken[0]);
    fr_barrier_wait(&k->group->barrier, members);
    for (ptrdiff_t s = c->s0, turn = 1; s < c->s1; s += c->chunk, turn ^= 1) {
        const ptrdiff_t end = fr_min(c->s1, s + c->chunk);
        T *then = now;
        if (k->place.pu == 0) {
            FN(run_steps)(k, s, end, now, 1);
            __atomic_store_n(&taken[turn ^ 1], 0, __ATOMIC_RELAXED);    /* nobody looks at it before the barrier */
        }
        FN(hoist_items)(k, end, fr_min(c->s1, end + c->chunk), next, &taken[turn]);
        fr_barrier_wait(&k->group->barrier, members);
        now = next;
        next = then;
    }
}

static void FN(forward_window)(void *argument, int member, int members)
{
    FN(forward_call) *c = argument;
    const fr_args *a = c->a;
    const ptrdiff_t steps = fr_max(c->chunk, 1);
    const fr_load load = FN(forward_load)(a, c->span.rows, c->chunk > 0);
    const fr_grid grid = fr_plan(members, &load, c->scratch / fr_max(c->span.rows * steps, 1));
    const fr_place place = fr_take_place(a, c->span, grid, member);
    const ptrdiff_t scratch = place.scratch * steps;
    const FN(worker) k = {
        .c = c, .place = place, .grid = grid,
        .p0 = fr_part(c->w.panels, place.pu, grid.Pu), .p1 = fr_part(c->w.panels, place.pu + 1, grid.Pu),
        .o0 = fr_part(c->w.out_panels, place.pu, grid.Pu), .o1 = fr_part(c->w.out_panels, place.pu + 1, grid.Pu),
        .group = c->group + place.pb,
        .rows = c->rows + scratch, .diverted = c->diverted ? c->diverted + scratch : NULL,
        .gather = c->gather + scratch * c->gathered,
    };
    T *z = c->z ? c->z + place.first * steps * c->w.panels * c->w.sums * W : NULL;
    if (place.pb >= grid.Pb)
        return;
    if (c->chunk && grid.Pu == 1 && grid.sharing > 1) {
        FN(run_ahead)(&k, z);
        return;
    }
    if (place.pu >= grid.Pu)
        return;
    if (!c->chunk) {
        FN(run_steps)(&k, c->s0, c->s1, FN(sums_stay)(a) ? z : NULL, 0);
        return;
    }
    for (ptrdiff_t s = c->s0; s < c->s1; s += c->chunk) {
        const ptrdiff_t end = fr_min(c->s1, s + c->chunk);
        FN(hoist)(c, k.rows, FN(rows_of_steps)(&k, s, end), k.p0, k.p1, z, k.gather);
        FN(run_steps)(&k, s, end, z, 1);
    }
}

static void FN(pack_window)(void *argument, int member, int members)
{
    FN(forward_call) *c = argument;
    FN(pack_part)(c->a, (T *)c->packed, member, members);
}

/* What stands beyond a row's length is +0, in y and in the tape. */
static void FN(clear_padding)(const fr_args *a, const FN(cell) *cell, const ptrdiff_t *width)
{
    const ptrdiff_t recorded = FN(recorded)(a) * a->hidden;
    for (ptrdiff_t b = 0; b < a->batch; b++)
        for (ptrdiff_t t = fr_length(a, b); t < a->steps; t++) {
            if (a->y.data)
                memset((T *)a->y.data + t * a->y.step + b * a->y.row, 0, (size_t)a->outputs * sizeof(T));
            if (!a->tape_state[0])
                continue;
            if (recorded)
                memset((T *)a->tape_cached + (t * a->batch + b) * recorded, 0, (size_t)recorded * sizeof(T));
            for (int i = 0; i < cell->states; i++)
                memset((T *)a->tape_state[i] + ((t + 1) * a->batch + b) * width[i], 0, (size_t)width[i] * sizeof(T));
        }
}

/* Everything the call needs in one piece of memory; c is NULL when only the size is asked for. */
static void FN(forward_space)(fr_arena *arena, FN(forward_call) *c, const FN(forward_call) *plan, int team)
{
    const fr_args *a = plan->a;
    const FN(cell) *cell = plan->cell;
    const ptrdiff_t B = a->batch;
    const int hoisted = a->steps > 1 && FN(is_hoisted)(B, team), may_be = hoisted || (a->steps > 1 && a->lengths);
    const ptrdiff_t most = fr_max(fr_min(B, FN(HOIST_ROWS) * team), fr_min(a->steps * B, FN(HOIST_CHUNK)));
    const ptrdiff_t chunk = may_be ? most : 0;                      /* rows whose input products are taken at once */
    const ptrdiff_t sums = fr_max(chunk, FN(sums_stay)(a) ? B : 0);  /* rows whose sums outlive a tile */
    const fr_load load = FN(forward_load)(a, B, hoisted);
    FN(forward_call) got = *plan;
    got.packed = a->packed ? a->packed : fr_take(arena, plan->w.size, 1, sizeof(T));
    for (int i = 0; i < cell->states; i++)
        got.states[i] = a->tape_state[i] ? a->tape_state[i]
                                         : fr_take(arena, plan->slot[i] ? 2 * B : B, plan->lead[i], sizeof(T));
    got.q = cell->mid_gates ? fr_take(arena, B, a->hidden, sizeof(T)) : NULL;
    got.rec = a->recurrent ? fr_take(arena, 2 * B, a->outputs, sizeof(T)) : NULL;
    got.m = FN(projects)(a) ? fr_take(arena, B, a->hidden, sizeof(T)) : NULL;
    got.o = FN(norms_c)(a) ? fr_take(arena, B, a->hidden, sizeof(T)) : NULL;
    got.ahead = sums * plan->w.panels * plan->w.sums * W;
    got.z = sums ? fr_take(arena, got.ahead, may_be && team > 1 ? 2 : 1, sizeof(T)) : NULL;
    got.scratch = fr_max(B * fr_plan(team, &load, team).sharing, chunk * team);
    got.rows = fr_take(arena, got.scratch, 1, sizeof(FN(row)));
    got.diverted = FN(projects)(a) ? fr_take(arena, got.scratch, 1, sizeof(FN(row))) : NULL;
    got.gathered = FN(lead)(a->inputs) + FN(lead)(fr_max(a->outputs, a->hidden)) + FN(lead)(cell->r_gates * a->hidden);
    got.gather = fr_take(arena, got.scratch, got.gathered, sizeof(T));
    if (c)
        memcpy(c, &got, sizeof got);
}

/* Floating-point operations of a row's step: of what waits for the step before, with some 80 a unit for the gates; and
 * of the input product. */
static double FN(flops_a_row)(const fr_args *a)
{
    const ptrdiff_t terms = FN(recurrent_terms)(a) + (FN(projects)(a) ? a->outputs : 0);
    return 2.0 * (double)a->hidden * (double)(terms + 40);
}

static double FN(input_flops_a_row)(const fr_args *a)
{
    return 2.0 * (double)a->hidden * (double)(FN(cell_of)(a)->gates * a->inputs);
}

/* The team for a call. After the loop backward has the gradients of the weights and dx. */
static int FN(team)(const fr_args *a, int back)
{
    const double rows = (double)fr_max(a->batch, 1), flops = FN(flops_a_row)(a), inputs = FN(input_flops_a_row)(a);
    return fr_team_over_steps(&a->run, flops * rows, (back ? flops + 2 * inputs : inputs) * rows, a->steps, a->batch);
}

/* The window from step s0 on: as long as the budget and the number of rows allow. Returns what it costs. */
static double FN(next_window)(FN(forward_call) *c, int team, double flops, double budget)
{
    const fr_args *a = c->a;
    const ptrdiff_t first = fr_active(a, fr_time(a, c->s0), 0, a->batch);
    double cost = 0;
    for (c->s1 = c->s0; c->s1 < a->steps && (cost < budget || c->s1 == c->s0); c->s1++) {
        const ptrdiff_t rows = fr_active(a, fr_time(a, c->s1), 0, a->batch);
        if (!fr_alike(rows, first))
            break;
        cost += flops * (double)rows;
    }
    c->span = fr_times(a, c->s0, c->s1);
    c->chunk = 0;
    if (c->s1 - c->s0 > 1 && FN(is_hoisted)(c->span.rows, team))
        c->chunk = fr_min(c->s1 - c->s0, fr_max(1, FN(HOIST_CHUNK) / fr_max(c->span.rows, 1)));
    return cost;
}

/* All steps; the window is the call's. */
static fr_status FN(forward_steps)(const fr_args *a, int team, fr_window *window)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const int taped = a->tape_state[0] != NULL;
    const ptrdiff_t B = a->batch;
    const double flops = FN(flops_a_row)(a) + FN(input_flops_a_row)(a);
    FN(forward_call) plan = {.a = a, .cell = cell, .recorded = FN(recorded)(a), .w = FN(lay_out)(a)}, *c;
    fr_arena arena = {NULL, 0, 0};
    fr_status status = FR_OK;

    plan.width[0] = a->outputs;
    plan.width[1] = a->hidden;
    plan.width[2] = cell->r_gates * a->hidden;
    for (int i = 0; i < FR_MAX_STATES; i++) {   /* states of our own: rows share no line of the caches */
        plan.lead[i] = taped ? plan.width[i] : FN(lead)(plan.width[i]);
        plan.slot[i] = B * plan.lead[i];        /* h and r alternate between two slots where there is no tape; */
    }
    if (!taped && !FN(zones)(a, 1))
        plan.slot[1] = 0;                       /* c stays in one if it may */

    fr_take(&arena, 1, (ptrdiff_t)(sizeof *c + (size_t)team * sizeof(fr_group)), 1);
    FN(forward_space)(&arena, NULL, &plan, team);
    if (arena.overflow)
        return FR_OVERFLOW;
    arena.base = fr_malloc(arena.used);
    if (!arena.base)
        return FR_NO_MEMORY;
    arena.used = 0;
    c = fr_take(&arena, 1, (ptrdiff_t)(sizeof *c + (size_t)team * sizeof(fr_group)), 1);
    FN(forward_space)(&arena, c, &plan, team);

    for (int i = 0; i < cell->states; i++)
        for (ptrdiff_t b = 0; b < B; b++) {
            ptrdiff_t slot = FN(slot)(a, a->reverse ? a->steps - fr_length(a, b) : 0);
            T *to = c->states[i] + slot * c->slot[i] + b * c->lead[i];
            size_t bytes = (size_t)c->width[i] * sizeof(T);
            if (a->state0[i])
                memcpy(to, (const T *)a->state0[i] + b * c->width[i], bytes);
            else
                memset(to, 0, bytes);
        }
    for (ptrdiff_t b = 0; c->rec && b < B; b++) {
        const ptrdiff_t s = a->reverse ? a->steps - fr_length(a, b) : 0, P = a->outputs;
        const T *h = c->states[0] + FN(slot)(a, s) * c->slot[0] + b * c->lead[0], *scale = (const T *)a->recurrent + b * P;
        for (ptrdiff_t u = 0; u < P; u += W)
            FN(put)(c->rec + ((s & 1) * B + b) * P + u,
                    FN(flush)(FN(get)(h + u, P - u) * FN(get)(scale + u, P - u)), P - u);
    }
    if (!a->packed)
        fr_parallel(team, FN(pack_window), c);
    for (c->s0 = 0; c->s0 < a->steps && status == FR_OK; c->s0 = c->s1) {
        double cost = FN(next_window)(c, team, flops, fr_window_budget(window));
        memset(c->group, 0, (size_t)team * sizeof *c->group);
        fr_parallel(team, FN(forward_window), c);
        status = fr_window_step(window, cost);
    }
    for (int i = 0; i < cell->states && a->state[i]; i++)
        for (ptrdiff_t b = 0; b < B; b++) {
            ptrdiff_t slot = FN(slot)(a, a->reverse ? a->steps : fr_length(a, b));
            memcpy((T *)a->state[i] + b * c->width[i], c->states[i] + slot * c->slot[i] + b * c->lead[i],
                   (size_t)c->width[i] * sizeof(T));
        }
    if (a->lengths)
        FN(clear_padding)(a, cell, c->width);
    fr_free(arena.base);
    return status;
}
