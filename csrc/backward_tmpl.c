/* backward_tmpl.c - the time loop, backward, and the large products it leaves for afterwards.
 *
 * The loop does what the next step needs: gate gradients, the carry. The gate gradients of the rows it visits pile up
 * in visiting order; when a chunk is full, dx and the gradients of the parameters are taken from it as large products,
 * whole groups of rows at a time, and the rows that do not fill one go on into the next chunk. So memory stays
 * bounded, and the bits do not know of chunks. */

typedef struct FN(backward_call) {
    const fr_args *a;
    const FN(cell) *cell;
    ptrdiff_t panels, out_panels, in_panels, r_panels;  /* of H, P, I, R */
    T *w_hh, *w_ih, *w_hr, *w_gg;   /* row panels: [P][G*H], [I][G*H], [H][P], [R][R]; NULL: not there */
    T *carry[FR_MAX_STATES];    /* of each state: (B, width) */
    ptrdiff_t width[FR_MAX_STATES];
    T *dm;                      /* (B, H) */
    T *kept[2], *past;          /* of h and c: (B, width); of h; or NULL */
    FN(tape) tape;
    ptrdiff_t capacity;         /* rows of a chunk */
    ptrdiff_t ld;               /* from a row of slopes to the next */
    FN(columns) columns;        /* of slopes, in H */
    T *slopes, *q, *m, *dh, *c_new;     /* of a chunk's rows, in visiting order: q, m, c_new (H), dh (P) */
    T *seen;                    /* (B, H): what h sees of c, where c is normalised, or NULL */
    T *before[FR_MAX_STATES];   /* so are the states before their steps, where the tape is that of a segment, and rec in
                                   place of h, where it is a multiple; or NULL */
    ptrdiff_t *t, *b;           /* where they belong */
    ptrdiff_t *at[2];           /* offsets of the rows of two operands */
    FN(gradient_call) products;
    ptrdiff_t scratch;
    FN(row) *rows;              /* `scratch` of them; of every member: its group's */
    ptrdiff_t s0, s1, base;     /* the window: steps s1-1 down to s0; base: the chunk's rows before it */
    fr_barrier barrier[];       /* a group */
} FN(backward_call);

static void FN(pack_backward)(void *argument, int member, int members)
{
    const FN(backward_call) *c = argument;
    const fr_args *a = c->a;
    const ptrdiff_t GH = c->cell->gates * a->hidden;
    if (c->tape.segments.packed)
        FN(pack_segments)((void *)&c->tape.segments, member, members);
    if (c->w_hh)
        FN(pack_row_panels)(c->w_hh, a->param[FR_W_HH], GH, a->outputs, fr_part(c->out_panels, member, members),
                            fr_part(c->out_panels, member + 1, members));
    if (c->w_ih)
        FN(pack_row_panels)(c->w_ih, a->param[FR_W_IH], GH, a->inputs, fr_part(c->in_panels, member, members),
                            fr_part(c->in_panels, member + 1, members));
    if (c->w_hr)
        FN(pack_row_panels)(c->w_hr, a->param[FR_W_HR], a->outputs, a->hidden, fr_part(c->panels, member, members),
                            fr_part(c->panels, member + 1, members));
    if (c->w_gg)
        FN(pack_row_panels)(c->w_gg, a->param[FR_W_GG], c->width[2], c->width[2], fr_part(c->r_panels, member, members),
                            fr_part(c->r_panels, member + 1, members));
}

/* Addresses of a group's rows at time t; `place` is the first one's place in the chunk. */
static ptrdiff_t FN(rows_back_at)(const FN(backward_call) *c, ptrdiff_t t, ptrdiff_t b0, ptrdiff_t b1, ptrdiff_t place,
                                  FN(row) *rows)
{
    const fr_args *a = c->a;
    const ptrdiff_t H = a->hidden, P = a->outputs, B = a->batch, at = t - c->tape.from, recorded = FN(recorded)(a) * H;
    ptrdiff_t n = 0;
    for (ptrdiff_t b = b0; b < b1; b++) {
        ptrdiff_t before = (at + (a->reverse != 0)) * B + b, after = (at + !a->reverse) * B + b, i = place + n;
        FN(row) *row = rows + n;
        if (t >= fr_length(a, b))
            continue;
        row->h_prev = c->tape.state[0] + before * P;
        row->h = c->tape.state[0] + after * P;
        if (c->cell->states > 1) {
            row->c_prev = c->tape.state[1] + before * H;
            row->c = c->tape.state[1] + after * H;
            row->dc = c->carry[1] + b * H;
        }
        row->dr = NULL;
        if (c->cell->states > 2) {
            row->r_prev = c->tape.state[2] + before * c->width[2];
            row->dr = c->carry[2] + b * c->width[2];
        }
        row->cached = recorded ? c->tape.cached + (at * B + b) * recorded : NULL;
        row->dy = a->dy.data ? (const T *)a->dy.data + t * a->dy.step + b * a->dy.row : NULL;
        row->dh = c->carry[0] + b * P;
        row->slopes = c->slopes + i * c->ld;
        row->q = c->q ? c->q + i * H : NULL;
        row->m = c->m ? c->m + i * H : NULL;
        row->c_new = c->c_new ? c->c_new + i * H : NULL;
        row->seen = c->seen ? c->seen + b * H : NULL;
        row->rec = a->recurrent ? c->before[0] + i * P : row->h_prev;
        row->scale = a->recurrent ? (const T *)a->recurrent + b * P : NULL;
        row->past = c->past ? c->past + b * P : NULL;
        for (int k = 0; k < 2; k++) {
            row->keep[k] = a->keep[k] ? a->keep[k] + (t * B + b) * c->width[k] : NULL;
            row->kept[k] = c->kept[k] ? c->kept[k] + b * c->width[k] : NULL;
        }
        n++;
    }
    return n;
}

/* A product of the loop: for each of n rows, and panels p0 .. p1-1 of N units, the sum of up to two spans of terms. It
 * begins at what `to` holds where `direct`, else fresh; it is handed to the cell (`mid`), or flushed into `to`. */
typedef struct FN(span) {
    ptrdiff_t terms, from, weight;      /* how many; first column of a; first row of the weights */
} FN(span);

typedef struct FN(loop_product) {
    const T *a;
    ptrdiff_t lda;
    const T *weights;           /* panels of `depth` rows */
    ptrdiff_t depth;
    FN(span) spans[2];
    ptrdiff_t p0, p1, N;
    int back;                   /* from the last panel down */
    int direct;
    T *const *to;               /* of the first row; the others' follow at the distance of an FN(row) */
    FN(point_fn) *mid;
} FN(loop_product);


static void FN(run_loop_product)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, const FN(loop_product) *l)
{
    _Alignas(FR_LINE) T z[FN(SUMS)];
    const ptrdiff_t each = sizeof(FN(row)) / sizeof(T *);
    FN(cut) cut = FN(cut_rows)(n, 1);
    for (ptrdiff_t done = 0, np; n > 0 && done < l->p1 - l->p0; done += np) {
        np = FN(group)(&cut, l->p1 - l->p0 - done);
        const ptrdiff_t panel = l->back ? l->p1 - done - np : l->p0 + done;
        ptrdiff_t u0 = panel * W, u1 = fr_min((panel + np) * W, l->N), zrow = np * W;
        const T *weights = l->weights + panel * l->depth * W;
        for (int i = 0, i1; i < cut.tiles; i = i1) {
            i1 = FN(together)(&cut, i);
            ptrdiff_t m0 = FN(tile_start)(&cut, i), m1 = FN(tile_start)(&cut, i1);
            for (ptrdiff_t r = m0; l->direct && r < m1; r++)
                for (ptrdiff_t u = u0; u < u1; u += W)
                    vstore(z + (r - m0) * zrow + u - u0, FN(get)(l->to[r * each] + u, u1 - u));
            for (int k = 0; k < 2 && l->spans[k].terms; k++) {
                const FN(span) *span = l->spans + k;
                const FN(product) p = {.K = span->terms, .lda = l->lda, .panel = l->depth * W, .zrow = zrow, .zpanel = W,
                                       .fresh = !l->direct && k == 0};
                FN(multiply)(&p, &cut, i, i1, (int)np, 1, l->a + m0 * l->lda + span->from, weights + span->weight * W,
                             weights + (l->back ? -np : np) * p.panel, z);
            }
            if (l->mid)
                l->mid(args, rows + m0, m1 - m0, z, zrow, u0, u1);
            for (ptrdiff_t r = m0; !l->mid && r < m1; r++)
                for (ptrdiff_t u = u0; u < u1; u += W)
                    FN(put)(l->to[r * each] + u, FN(flush)(vload(z + (r - m0) * zrow + u - u0)), u1 - u);
        }
    }
}

/* The part of a gradient d of state i that is the cell's; the other goes to `kept`, if anything is kept. */
FR_INLINE V FN(divide)(const fr_args *a, const FN(row) *row, int i, V d, ptrdiff_t u, ptrdiff_t lanes)
{
    if (!row->kept[i])
        return d;
    const V part = vset((T)a->zoneout[i]), keep = row->keep[i] ? FN(get_bytes)(row->keep[i] + u, lanes) : vset(0);
    FN(put)(row->kept[i] + u, row->keep[i] ? vlt(vset(0), keep, d, vset(0)) : (V)(part * d), lanes);
    return row->keep[i] ? vlt(vset(0), keep, vset(0), d) : (V)vfma(-part, d, d);
}

/* Before the cell's own backward, for units u0 .. u1-1: what the state before keeps of dh, with dy, and of dc; and the
 * operand of the recurrent products. Where the layer projects, dh was divided already. */
static void FN(divide_rows)(const fr_args *a, FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    for (FN(row) *row = rows; row < rows + n; row++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
            if (row->kept[0] && !row->m) {
                const V dy = row->dy ? FN(get)(row->dy + u, lanes) : vset(0);
                FN(put)(row->dh + u, FN(divide)(a, row, 0, dy + FN(get)(row->dh + u, lanes), u, lanes), lanes);
            }
            if (row->kept[1])
                FN(put)(row->dc + u, FN(divide)(a, row, 1, FN(get)(row->dc + u, lanes), u, lanes), lanes);
        }
    for (FN(row) *row = rows; row < rows + n; row++)
        if (row->kept[0] && !row->m)
            row->dy = NULL;
}

/* rec of rows, units u0 .. u1-1. */
static void FN(operands)(const FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    for (const FN(row) *row = rows; row < rows + n; row++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; row->scale && u < u1; u += W, lanes -= W)
            FN(put)((T *)row->rec + u, FN(flush)(FN(get)(row->h_prev + u, lanes) * FN(get)(row->scale + u, lanes)), lanes);
}

/* After it: c takes back what it kept; what a direct cell left in dh is put past the products. */
static void FN(unite_cells)(const FN(row) *rows, ptrdiff_t n, int direct, ptrdiff_t u0, ptrdiff_t u1)
{
    for (const FN(row) *row = rows; row < rows + n; row++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
            if (row->kept[1])
                FN(put)(row->dc + u, FN(flush)(FN(get)(row->dc + u, lanes) + FN(get)(row->kept[1] + u, lanes)), lanes);
            if (row->past && direct == 1) {
                FN(put)(row->past + u, FN(get)(row->dh + u, lanes), lanes);
                FN(put)(row->dh + u, vset(0), lanes);
            }
        }
}

/* After the products, outputs u0 .. u1-1: their sum is the gradient of rec. */
static void FN(unite)(const FN(row) *rows, ptrdiff_t n, int direct, ptrdiff_t u0, ptrdiff_t u1)
{
    for (const FN(row) *row = rows; row < rows + n; row++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; (row->past || row->kept[0]) && u < u1; u += W, lanes -= W) {
            V d = FN(get)(row->dh + u, lanes);
            if (row->past)
                d = FN(flush)(vfma(FN(get)(row->scale + u, lanes), d, direct == 1 ? FN(get)(row->past + u, lanes) : vset(0)));
            if (row->kept[0])
                d = FN(flush)(d + FN(get)(row->kept[0] + u, lanes));
            FN(put)(row->dh + u, d, lanes);
        }
}

/* The block of slopes with the gradients of a product, where that of its sum is block `from`; over_x or over a state. */
static int FN(product_column)(const FN(backward_call) *c, int over_x, int from)
{
    int gate = 0;
    if (!FN(norms)(c->a))
        return from;
    if (over_x)
        return c->columns.x + from;
    while (c->cell->h_to[gate] != from)
        gate++;
    return c->columns.h + gate;
}

static FN(span) FN(span_of)(const FN(backward_call) *c, FN(part) part)
{
    const ptrdiff_t H = c->a->hidden;
    if (!part.count)
        return (FN(span)){0, 0, 0};
    return (FN(span)){part.count * H, FN(product_column)(c, 0, part.from) * H, part.weight * H};
}

/* One step of a group's member. */
static void FN(step_back)(const FN(backward_call) *c, FN(row) *rows, ptrdiff_t n, ptrdiff_t place, int back, int pu,
                          int Pu, fr_barrier *barrier)
{
    const fr_args *a = c->a;
    const FN(cell) *cell = c->cell;
    const ptrdiff_t H = a->hidden, P = a->outputs, GH = cell->gates * H;
    const ptrdiff_t p0 = fr_part(c->panels, pu, Pu), p1 = fr_part(c->panels, pu + 1, Pu);
    const ptrdiff_t o0 = fr_part(c->out_panels, pu, Pu), o1 = fr_part(c->out_panels, pu + 1, Pu);
    const T *slopes = c->slopes + place * c->ld;

    if (c->w_hr) {              /* dh = dy + carry, and dm = dh w_hr, which the cell then takes for dh */
        T *dh = c->dh + place * P;
        for (ptrdiff_t r = 0; r < n; r++)
            for (ptrdiff_t u = o0 * W; u < fr_min(o1 * W, P); u += W) {
                V dy = rows[r].dy ? FN(get)(rows[r].dy + u, P - u) : vset(0), d = dy + FN(get)(rows[r].dh + u, P - u);
                FN(put)(dh + r * P + u, FN(divide)(a, rows + r, 0, d, u, P - u), P - u);
            }
        fr_barrier_wait(barrier, Pu);
        for (ptrdiff_t r = 0; r < n; r++)
            rows[r].dh = c->dm + (rows[r].dh - c->carry[0]) / P * H;
        FN(run_loop_product)(a, rows, n, &(FN(loop_product)){.a = dh, .lda = P, .weights = c->w_hr, .depth = P,
                                                            .spans = {{P, 0, 0}}, .p0 = p0, .p1 = p1, .N = H,
                                                            .to = &rows->dh});
    }
    FN(divide_rows)(a, rows, n, p0 * W, fr_min(p1 * W, H));
    FN(operands)(rows, n, o0 * W, fr_min(o1 * W, P));
    if (FN(norms_c)(a)) {
        if (p0 < p1)
            cell->recall(a, rows, n, NULL, 0, p0 * W, fr_min(p1 * W, H));
        fr_barrier_wait(barrier, Pu);
        FN(normal_backward_late)(a, rows, n, p0 * W, fr_min(p1 * W, H));
        fr_barrier_wait(barrier, Pu);
        FN(normal_carry)(a, rows, n, p0 * W, fr_min(p1 * W, H));
    }
    if (p0 < p1)
        cell->backward(a, rows, n, NULL, 0, p0 * W, fr_min(p1 * W, H));
    FN(unite_cells)(rows, n, cell->direct, p0 * W, fr_min(p1 * W, H));
    if (c->w_hr)
        for (ptrdiff_t r = 0; r < n; r++)
            rows[r].dh = c->carry[0] + (rows[r].dh - c->dm) / H * P;
    fr_barrier_wait(barrier, Pu);
    if (FN(norms)(a)) {
        FN(normal_backward)(a, rows, n, p0 * W, fr_min(p1 * W, H));
        fr_barrier_wait(barrier, Pu);
    }
    FN(loop_product) l = {.a = slopes, .lda = c->ld, .weights = c->w_hh, .depth = GH, .back = back};
    if (cell->backward_mid) {
        l.spans[0] = FN(span_of)(c, cell->mid_carry);
        l.p0 = p0, l.p1 = p1, l.N = H, l.mid = cell->backward_mid;
        FN(run_loop_product)(a, rows, n, &l);
        l.mid = NULL;
        fr_barrier_wait(barrier, Pu);
    }
    for (int k = 0; k < 2; k++)
        l.spans[k] = FN(span_of)(c, cell->carry[k]);
    l.p0 = o0, l.p1 = o1, l.N = P, l.direct = cell->direct, l.to = &rows->dh;
    FN(run_loop_product)(a, rows, n, &l);
    FN(unite)(rows, n, cell->direct, o0 * W, fr_min(o1 * W, P));
    if (c->w_gg) {
        FN(loop_product) g = {.a = slopes, .lda = c->ld, .weights = c->w_gg, .depth = c->width[2], .back = back,
                              .p0 = fr_part(c->r_panels, pu, Pu), .p1 = fr_part(c->r_panels, pu + 1, Pu),
                              .N = c->width[2], .to = &rows->dr};
        for (int k = 0; k < 2; k++)
            g.spans[k] = FN(span_of)(c, cell->r_carry[k]);
        FN(run_loop_product)(a, rows, n, &g);
        fr_barrier_wait(barrier, Pu);       /* a unit's gates stand in several panels of r */
    }
}

/* ---- gradients of the states at every step, where they are wanted ---- */

/* Slots that no step leaves a gradient in: of the final state, and past a row's length. */
static void FN(begin_each_step)(const FN(backward_call) *c)
{
    const fr_args *a = c->a;
    for (int i = 0; i < c->cell->states && a->step_dstate[i]; i++)
        for (ptrdiff_t b = 0; b < a->batch; b++) {
            const ptrdiff_t width = c->width[i], length = fr_length(a, b), final = a->reverse ? 0 : length;
            T *slots = (T *)a->step_dstate[i] + b * width;
            memcpy(slots + final * a->batch * width, c->carry[i] + b * width, (size_t)width * sizeof(T));
            for (ptrdiff_t slot = length + 1; slot <= a->steps; slot++)
                memset(slots + slot * a->batch * width, 0, (size_t)width * sizeof(T));
        }
}

/* What time t leaves: a member's own units of its group's rows. */
static void FN(keep_each_step)(const FN(backward_call) *c, ptrdiff_t t, const fr_place *place, int Pu)
{
    const fr_args *a = c->a;
    for (int i = 0; i < c->cell->states && a->step_dstate[i]; i++) {
        const ptrdiff_t width = c->width[i], panels = fr_ceil(width, W);
        const ptrdiff_t u0 = fr_part(panels, place->pu, Pu) * W;
        const ptrdiff_t u1 = fr_min(fr_part(panels, place->pu + 1, Pu) * W, width);
        T *slot = (T *)a->step_dstate[i] + (t + (a->reverse != 0)) * a->batch * width;
        for (ptrdiff_t b = place->b0; b < place->b1; b++)
            if (t < fr_length(a, b) && u0 < u1)
                memcpy(slot + b * width + u0, c->carry[i] + b * width + u0, (size_t)(u1 - u0) * sizeof(T));
    }
}

/* ---- operands of the gradients of parameters, where the tape will not hold them by then ---- */

enum { FN(DIAGONALS) = sizeof((FN(cell) *)0)->diagonals / sizeof(FN(diagonal)) };

static int FN(has_diagonal)(const fr_args *a, const FN(diagonal) *d)
{
    return d->weight > 0 && a->option[0] >> d->to & 1;
}

/* Whether state i before a step is one. */
static int FN(takes_state)(const fr_args *a, int i)
{
    static const signed char operand[FR_MAX_STATES] = {FR_OF_H, FR_OF_C, FR_OF_R};
    const FN(cell) *cell = FN(cell_of)(a);
    for (const FN(rule) *rule = cell->rules; rule->count; rule++)
        if (rule->operand == operand[i])
            return 1;
    for (int k = 0; k < FN(DIAGONALS); k++)
        if (FN(has_diagonal)(a, cell->diagonals + k) && cell->diagonals[k].operand == operand[i])
            return 1;
    return 0;
}

/* Copies the states before time t, as the tape will be that of another segment: a member's own units of its group's rows,
 * the first of which stands at `place` in the chunk. rec is there already. */
static void FN(keep_operands)(const FN(backward_call) *c, ptrdiff_t t, const fr_place *p, ptrdiff_t place, int Pu)
{
    const fr_args *a = c->a;
    for (int i = 0; i < c->cell->states; i++) {
        const ptrdiff_t width = c->width[i], panels = fr_ceil(width, W);
        const ptrdiff_t u0 = fr_part(panels, p->pu, Pu) * W, u1 = fr_min(fr_part(panels, p->pu + 1, Pu) * W, width);
        const T *slot = c->tape.state[i] + (t - c->tape.from + (a->reverse != 0)) * a->batch * width;
        ptrdiff_t at = place * width + u0;
        if (!c->before[i] || (i == 0 && a->recurrent))
            continue;
        for (ptrdiff_t b = p->b0; u0 < u1 && b < p->b1; b++)
            if (t < fr_length(a, b)) {
                memcpy(c->before[i] + at, slot + b * width + u0, (size_t)(u1 - u0) * sizeof(T));
                at += width;
            }
    }
}

static fr_load FN(backward_load)(const fr_args *a, ptrdiff_t rows)
{
    return (fr_load){rows, fr_ceil(fr_min(a->hidden, a->outputs), W),
                     FN(recurrent_terms)(a) * a->hidden / fr_max(a->outputs, 1), W * sizeof(T)};
}

static void FN(backward_window)(void *argument, int member, int members)
{
    FN(backward_call) *c = argument;
    const fr_args *a = c->a;
    const fr_span span = fr_times(a, c->s0, c->s1);
    const fr_load load = FN(backward_load)(a, span.rows);
    const fr_grid grid = fr_plan(members, &load, c->scratch / fr_max(span.rows, 1));
    const fr_place place = fr_take_place(a, span, grid, member);
    FN(row) *rows = c->rows + place.scratch;
    ptrdiff_t base = c->base;
    if (place.pb >= grid.Pb || place.pu >= grid.Pu)
        return;
    for (ptrdiff_t s = c->s1 - 1; s >= c->s0; s--) {
        ptrdiff_t t = fr_time(a, s), first = base + fr_active(a, t, 0, place.b0);
        ptrdiff_t n = FN(rows_back_at)(c, t, place.b0, place.b1, first, rows);
        FN(step_back)(c, rows, n, first, s & 1, place.pu, grid.Pu, c->barrier + place.pb);
        FN(keep_each_step)(c, t, &place, grid.Pu);
        FN(keep_operands)(c, t, &place, first, grid.Pu);
        base += fr_active(a, t, 0, a->batch);
    }
}

/* ---- after the loop ---- */

/* Offsets of the rows of an operand. */
static void FN(locate)(const FN(backward_call) *c, const fr_view *view, ptrdiff_t slot, ptrdiff_t r0, ptrdiff_t r1,
                       ptrdiff_t *at)
{
    for (ptrdiff_t r = r0; r < r1; r++)
        at[r] = (c->t[r] + slot) * view->step + c->b[r] * view->row;
}

/* Of one that was kept in the chunk. */
static void FN(locate_kept)(ptrdiff_t width, ptrdiff_t rows, ptrdiff_t *at)
{
    for (ptrdiff_t r = 0; r < rows; r++)
        at[r] = r * width;
}

/* Of state i before the steps, and where it stands. */
static const T *FN(locate_state)(const FN(backward_call) *c, int i, ptrdiff_t rows, ptrdiff_t *at)
{
    const fr_view view = {NULL, c->a->batch * c->width[i], c->width[i]};
    if (c->before[i])
        FN(locate_kept)(c->width[i], rows, at);
    else
        FN(locate)(c, &view, c->a->reverse != 0, 0, rows, at);
    return c->before[i] ? c->before[i] : c->tape.state[i];
}

/* dx of rows r0 .. r1-1 of the chunk. */
static fr_status FN(inputs_of_chunk)(FN(backward_call) *c, int team, fr_window *window, ptrdiff_t r0, ptrdiff_t r1)
{
    const fr_args *a = c->a;
    const ptrdiff_t GH = c->cell->gates * a->hidden;
    if (!a->dx.data)
        return FR_OK;
    FN(locate)(c, &a->dx, 0, r0, r1, c->at[0]);
    const T *slopes = c->slopes + FN(product_column)(c, 1, 0) * a->hidden;
    const FN(gemm) gemm = {slopes, c->ld, GH, c->w_ih, a->inputs, NULL, a->dx.data, 0, c->at[0]};
    return FN(run_gemm)(&gemm, team, window, r0, r1);
}

/* Whether a rule's bias has the gradient of the first rule's, which is taken already. */
static int FN(same_bias)(const FN(cell) *cell, const FN(rule) *rule)
{
    const FN(rule) *first = cell->rules;
    return rule > first && rule->from == first->from && rule->count == first->count && rule->to == first->to;
}

/* The gradients of the parameters of layer normalisation over the chunk's first `rows` rows. */
static void FN(gains_of_chunk)(const FN(backward_call) *c, int team, ptrdiff_t rows, int fresh)
{
    const fr_args *a = c->a;
    const FN(cell) *cell = c->cell;
    const FN(columns) k = c->columns;
    const ptrdiff_t H = a->hidden;
    if (!FN(norms)(a))
        return;
    FN(locate_kept)(c->ld, rows, c->at[0]);
    FN(gradient) g = {.a = c->slopes, .lda = c->ld, .M = cell->gates * H,
                      .operand = {{c->slopes + k.normal_x * H, c->at[0], 0, a->dparam[FR_W_LN_IH]}}};
    FN(run_units)(&g, team, rows, fresh);
    g.M = H;
    for (int gate = 0; gate < cell->h_gates; gate++) {
        g.a = c->slopes + cell->h_to[gate] * H;
        g.operand[0].x = c->slopes + (k.normal_h + gate) * H;
        g.operand[0].dw = (T *)a->dparam[FR_W_LN_HH] + gate * H;
        FN(run_units)(&g, team, rows, fresh);
    }
    if (!FN(norms_c)(a))
        return;
    g.a = c->slopes + k.y * H;
    g.operand[0].x = c->slopes + k.normal_c * H;
    g.operand[0].dw = a->dparam[FR_W_LN_C];
    g.db = a->dparam[FR_B_LN_C];
    FN(run_units)(&g, team, rows, fresh);
}

/* What a rule multiplies the slopes with, over the chunk's first `rows` rows. */
static FN(operand) FN(operand_of)(const FN(backward_call) *c, const FN(rule) *rule, ptrdiff_t rows, ptrdiff_t *at)
{
    const fr_args *a = c->a;
    const ptrdiff_t H = a->hidden;
    FN(operand) operand = {.row = at};
    switch (rule->operand) {
    case FR_OF_X:
        FN(locate)(c, &a->x, 0, 0, rows, at);
        operand.x = a->x.data;
        operand.N = a->inputs;
        break;
    case FR_OF_H:
        operand.x = FN(locate_state)(c, 0, rows, at);
        operand.N = a->outputs;
        break;
    case FR_OF_R:
        operand.x = FN(locate_state)(c, 2, rows, at);
        operand.N = c->width[2];
        break;
    default:
        FN(locate_kept)(H, rows, at);
        operand.x = c->q;
        operand.N = H;
    }
    operand.dw = (T *)a->dparam[rule->weight] + rule->to * H * operand.N;
    return operand;
}

/* The block of slopes that a rule multiplies. */
static int FN(rule_column)(const FN(backward_call) *c, const FN(rule) *rule)
{
    return FN(product_column)(c, rule->operand == FR_OF_X, rule->from);
}

/* Whether a rule over x and the next, over h, take the same slopes, and no bias of the latter's own: then both are taken at
 * once. */
static int FN(with_next)(const FN(backward_call) *c, const FN(rule) *rule)
{
    const FN(rule) *next = rule + 1;
    return rule->operand == FR_OF_X && next->operand == FR_OF_H && next->count == rule->count && next->weight >= 0
           && FN(rule_column)(c, next) == FN(rule_column)(c, rule) && (next->bias < 0 || FN(same_bias)(c->cell, next));
}

/* The gradients of the parameters over the chunk's first `rows` rows. */
static fr_status FN(gradients_of_chunk)(FN(backward_call) *c, int team, fr_window *window, ptrdiff_t rows, int fresh)
{
    const fr_args *a = c->a;
    const FN(cell) *cell = c->cell;
    const ptrdiff_t H = a->hidden, P = a->outputs;
    fr_status status = FR_OK;
    for (const FN(rule) *rule = cell->rules; rule->count && status == FR_OK; rule++) {
        FN(gradient) *g = &c->products.gradient;
        T *db = rule->bias < 0 || FN(same_bias)(cell, rule) ? NULL : a->dparam[rule->bias];
        if (rule->weight < 0)
            continue;
        const int from = FN(rule_column)(c, rule);
        if (db && from != rule->from) {         /* biases are added to what the products are made into */
            const FN(gradient) bias = {.a = c->slopes + rule->from * H, .lda = c->ld, .M = rule->count * H,
                                       .db = db + rule->to * H};
            FN(run_units)(&bias, team, rows, fresh);
            db = NULL;
        }
        *g = (FN(gradient)){.a = c->slopes + from * H, .lda = c->ld, .M = rule->count * H,
                            .operand = {FN(operand_of)(c, rule, rows, c->at[0])}, .db = db ? db + rule->to * H : NULL};
        if (FN(with_next)(c, rule))
            g->operand[1] = FN(operand_of)(c, ++rule, rows, c->at[1]);
        status = FN(run_gradient)(&c->products, team, window, rows, fresh);
    }
    for (int k = 0; k < FN(DIAGONALS) && status == FR_OK; k++) {
        const FN(diagonal) *d = cell->diagonals + k;
        const T *operand = c->c_new;
        if (!FN(has_diagonal)(a, d))
            continue;
        if (d->operand == FR_OF_C_NEW)
            FN(locate_kept)(H, rows, c->at[0]);
        else
            operand = FN(locate_state)(c, d->operand == FR_OF_C ? 1 : 0, rows, c->at[0]);
        const FN(operand) one = {operand, c->at[0], 0, (T *)a->dparam[d->weight] + d->to * H};
        FN(run_units)(&(FN(gradient)){c->slopes + d->from * H, c->ld, H, {one}, NULL}, team, rows, fresh);
    }
    if (status == FR_OK)
        FN(gains_of_chunk)(c, team, rows, fresh);
    if (c->w_hr && status == FR_OK) {
        FN(locate_kept)(H, rows, c->at[0]);
        c->products.gradient = (FN(gradient)){c->dh, P, P, {{c->m, c->at[0], H, a->dparam[FR_W_HR]}}, NULL};
        status = FN(run_gradient)(&c->products, team, window, rows, fresh);
    }
    return status;
}

static void FN(move_rows)(T *rows, ptrdiff_t from, ptrdiff_t n, ptrdiff_t ld)
{
    if (rows)
        memmove(rows, rows + from * ld, (size_t)(n * ld) * sizeof(T));
}

/* Whether a diagonal that the layer has needs c as the step computed it, or c is normalised. */
static int FN(keeps_c_new)(const fr_args *a)
{
    for (int k = 0; k < FN(DIAGONALS); k++) {
        const FN(diagonal) *d = FN(cell_of)(a)->diagonals + k;
        if (FN(has_diagonal)(a, d) && d->operand == FR_OF_C_NEW)
            return 1;
    }
    return FN(norms_c)(a);
}

/* Values of a parameter. */
static ptrdiff_t FN(param_size)(const fr_args *a, int param)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const ptrdiff_t H = a->hidden, GH = cell->gates * H, RH = cell->r_gates * H;
    switch (param) {
    case FR_W_IH:
        return GH * a->inputs;
    case FR_W_HH:
        return cell->h_gates + cell->mid_gates ? (cell->h_gates + cell->mid_gates) * H * a->outputs : H;
    case FR_W_HR:
        return a->outputs * H;
    case FR_W_PEEPHOLE:
        return 3 * H;
    case FR_W_GG:
        return RH * RH;
    case FR_W_LN_C:
    case FR_B_LN_C:
        return H;
    default:
        return GH;
    }
}

static void FN(backward_space)(fr_arena *arena, FN(backward_call) *c, const FN(backward_call) *plan, int team)
{
    const fr_args *a = plan->a;
    const FN(cell) *cell = plan->cell;
    const ptrdiff_t B = a->batch, H = a->hidden, P = a->outputs, GH = cell->gates * H;
    const ptrdiff_t widest = fr_max(fr_max(a->inputs, P), fr_max(H, plan->width[2])), CR = plan->capacity;
    const int projects = FN(projects)(a);
    FN(backward_call) got = *plan;
    got.w_hh = cell->carry[0].count ? fr_take(arena, plan->out_panels * W, GH, sizeof(T)) : NULL;
    got.w_ih = a->dx.data ? fr_take(arena, plan->in_panels * W, GH, sizeof(T)) : NULL;
    got.w_hr = projects ? fr_take(arena, plan->panels * W, P, sizeof(T)) : NULL;
    got.w_gg = cell->r_gates ? fr_take(arena, plan->r_panels * W, plan->width[2], sizeof(T)) : NULL;
    for (int i = 0; i < cell->states; i++) {
        got.carry[i] = fr_take(arena, B, plan->width[i], sizeof(T));
        const int kept = (i == 0 && a->recurrent) || (a->every && FN(takes_state)(a, i));
        got.before[i] = kept ? fr_take(arena, CR, plan->width[i], sizeof(T)) : NULL;
    }
    got.tape = FN(tape_space)(arena, a);
    got.dm = projects ? fr_take(arena, B, H, sizeof(T)) : NULL;
    got.slopes = fr_take(arena, CR, plan->ld, sizeof(T));
    got.q = cell->mid_gates ? fr_take(arena, CR, H, sizeof(T)) : NULL;
    got.m = projects ? fr_take(arena, CR, H, sizeof(T)) : NULL;
    got.dh = projects ? fr_take(arena, CR, P, sizeof(T)) : NULL;
    for (int i = 0; i < 2; i++)
        got.kept[i] = FN(zones)(a, i) ? fr_take(arena, B, plan->width[i], sizeof(T)) : NULL;
    got.past = a->recurrent ? fr_take(arena, B, P, sizeof(T)) : NULL;
    got.c_new = FN(keeps_c_new)(a) ? fr_take(arena, CR, H, sizeof(T)) : NULL;
    got.seen = FN(norms_c)(a) ? fr_take(arena, B, H, sizeof(T)) : NULL;
    got.t = fr_take(arena, CR, 1, sizeof(ptrdiff_t));
    got.b = fr_take(arena, CR, 1, sizeof(ptrdiff_t));
    for (int i = 0; i < 2; i++)
        got.at[i] = fr_take(arena, CR, 1, sizeof(ptrdiff_t));
    FN(gradient_space)(arena, &got.products, team, CR, fr_max(plan->in_panels + plan->out_panels, fr_ceil(widest, W)));
    const fr_load load = FN(backward_load)(a, B);
    got.scratch = fr_max(B * fr_plan(team, &load, team).sharing, a->lengths ? team : 0);
    got.rows = fr_take(arena, got.scratch, 1, sizeof(FN(row)));
    if (c)
        memcpy(c, &got, sizeof got);
}

/* Rows of a chunk: enough for the products to run at their best, few enough to stay in the caches; where memory is to be
 * saved, as few as there can be, and nearly so with layer normalisation, whose rows are five times as wide. */
enum { FN(CHUNK_ROWS) = 1024 };

static fr_status FN(backward)(const fr_args *a)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const ptrdiff_t B = a->batch, H = a->hidden, P = a->outputs;
    const double flops = FN(flops_a_row)(a);
    const int team = FN(team)(a, 1);
    FN(backward_call) plan = {.a = a, .cell = cell}, *c;
    fr_arena arena = {NULL, 0, 0};
    fr_window window;
    fr_status status = FR_OK;
    ptrdiff_t used = 0, left = 0, rows = 0, s;     /* rows: at the window's first step */
    int fresh = 1;

    plan.panels = fr_ceil(H, W);
    plan.out_panels = fr_ceil(P, W);
    plan.in_panels = fr_ceil(a->inputs, W);
    plan.width[0] = P;
    plan.width[1] = H;
    plan.width[2] = cell->r_gates * H;
    plan.r_panels = fr_ceil(plan.width[2], W);
    plan.capacity = a->every ? FR_GROUP + B : fr_max(FN(norms)(a) ? 0 : FN(CHUNK_ROWS), 2 * FR_GROUP + B);
    plan.capacity = fr_min(a->steps * B, plan.capacity);
    plan.columns = FN(columns_of)(a);
    plan.ld = FN(lead)(plan.columns.all * H);
    fr_take(&arena, 1, (ptrdiff_t)(sizeof *c + (size_t)team * sizeof(fr_barrier)), 1);
    FN(backward_space)(&arena, NULL, &plan, team);
    if (arena.overflow)
        return FR_OVERFLOW;
    arena.base = fr_malloc(arena.used);
    if (!arena.base)
        return FR_NO_MEMORY;
    arena.used = 0;
    c = fr_take(&arena, 1, (ptrdiff_t)(sizeof *c + (size_t)team * sizeof(fr_barrier)), 1);
    FN(backward_space)(&arena, c, &plan, team);

    for (int i = 0; i < cell->states; i++) {
        size_t bytes = (size_t)(B * c->width[i]) * sizeof(T);
        if (a->dstate[i])
            memcpy(c->carry[i], a->dstate[i], bytes);
        else
            memset(c->carry[i], 0, bytes);
    }
    if (a->dparam[FR_W_PEEPHOLE])       /* some of its rows may have no gate */
        memset(a->dparam[FR_W_PEEPHOLE], 0, (size_t)(3 * H) * sizeof(T));
    FN(begin_each_step)(c);
    fr_window_open(&window, &a->run);
    fr_parallel(team, FN(pack_backward), c);

    for (s = a->steps; s > 0 && status == FR_OK;) {
        /* fill the chunk, a window at a time */
        while (s > 0 && status == FR_OK
               && (status = FN(reach)(&c->tape, fr_time(a, s - 1), team, &window)) == FR_OK) {
            double budget = fr_window_budget(&window), cost = 0;
            c->s1 = s;
            c->base = used;
            for (; s > 0 && (cost < budget || c->s1 == s); s--) {
                ptrdiff_t t = fr_time(a, s - 1), first = used, n = fr_active(a, t, 0, B);
                if (used + n > c->capacity || !FN(covers)(&c->tape, t) || (c->s1 > s && !fr_alike(n, rows)))
                    break;
                if (c->s1 == s)
                    rows = n;
                for (ptrdiff_t b = 0; b < B; b++)
                    if (fr_length(a, b) > t) {
                        c->t[used] = t;
                        c->b[used++] = b;
                    }
                cost += flops * (double)(used - first);
            }
            c->s0 = s;
            if (c->s0 == c->s1)
                break;
            for (int i = 0; i < team; i++)
                c->barrier[i].count = 0;
            fr_parallel(team, FN(backward_window), c);
            status = fr_window_step(&window, cost);
        }
        if (status == FR_OK)
            status = FN(inputs_of_chunk)(c, team, &window, left, used);
        ptrdiff_t whole = s > 0 ? used / FR_GROUP * FR_GROUP : used;
        if (status == FR_OK && whole > 0) {
            status = FN(gradients_of_chunk)(c, team, &window, whole, fresh);
            fresh = 0;
        }
        left = used - whole;
        FN(move_rows)(c->slopes, whole, left, c->ld);
        FN(move_rows)(c->q, whole, left, H);
        FN(move_rows)(c->m, whole, left, H);
        FN(move_rows)(c->dh, whole, left, P);
        for (int i = 0; i < cell->states; i++)
            FN(move_rows)(c->before[i], whole, left, c->width[i]);
        FN(move_rows)(c->c_new, whole, left, H);
        memmove(c->t, c->t + whole, (size_t)left * sizeof *c->t);
        memmove(c->b, c->b + whole, (size_t)left * sizeof *c->b);
        used = left;
    }
    if (fresh)                  /* no valid row at all */
        for (int i = 0; i < FR_PARAMS; i++)
            if (a->dparam[i])
                memset(a->dparam[i], 0, (size_t)FN(param_size)(a, i) * sizeof(T));
    for (const FN(rule) *rule = cell->rules; rule->count; rule++)
        if (rule->bias >= 0 && a->dparam[rule->bias] && FN(same_bias)(cell, rule))
            memcpy(a->dparam[rule->bias], a->dparam[cell->rules->bias], (size_t)(rule->count * H) * sizeof(T));
    if (a->lengths && a->dx.data)
        for (ptrdiff_t b = 0; b < B; b++)
            for (ptrdiff_t t = fr_length(a, b); t < a->steps; t++)
                memset((T *)a->dx.data + t * a->dx.step + b * a->dx.row, 0, (size_t)a->inputs * sizeof(T));
    for (int i = 0; i < cell->states && status == FR_OK; i++)
        memcpy(a->dstate0[i], c->carry[i], (size_t)(B * c->width[i]) * sizeof(T));
    fr_free(arena.base);
    return status;
}
