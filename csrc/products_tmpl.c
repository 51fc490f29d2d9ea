/* products_tmpl.c - large products shared by the team, a window of time at once. Members take items, a few tiles each, as
 * they come: a core that another one shares, or that was held up, takes fewer. */

/* Items of n tiles: those that go together at most, and as many for each member. */
static inline ptrdiff_t FN(items)(ptrdiff_t n, int members)
{
    return fr_ceil(n, (ptrdiff_t)FN(TOGETHER) * members) * members;
}

typedef struct FN(rows_call) {
    const FN(gemm) *gemm;
    ptrdiff_t r0, r1;
    int64_t taken;
} FN(rows_call);

static void FN(rows_window)(void *argument, int member, int members)
{
    FN(rows_call) *c = argument;
    const ptrdiff_t n = c->r1 - c->r0, panels = fr_ceil(c->gemm->N, W);
    if (n < 2 * members) {
        FN(gemm_part)(c->gemm, c->r0, c->r1, fr_part(panels, member, members), fr_part(panels, member + 1, members));
        return;
    }
    const ptrdiff_t items = FN(items)(fr_ceil(n, FN(max_rows)(1)), members);
    for (ptrdiff_t i; (i = fr_next_item(&c->taken, items)) >= 0;)
        FN(gemm_part)(c->gemm, c->r0 + fr_part(n, i, items), c->r0 + fr_part(n, i + 1, items), 0, panels);
}

/* Rows of a window at least: a few whole tiles. */
enum { FN(FEWEST_ROWS) = 30 };

/* Rows r0 .. r1-1 of a product. */
static fr_status FN(run_gemm)(const FN(gemm) *gemm, int team, fr_window *window, ptrdiff_t r0, ptrdiff_t r1)
{
    const double flops = 2.0 * (double)fr_max(gemm->K, 1) * (double)gemm->N;
    FN(rows_call) c = {gemm, r0, r0, 0};
    fr_status status = FR_OK;
    for (; c.r0 < r1 && status == FR_OK; c.r0 = c.r1) {
        c.r1 = fr_min(r1, c.r0 + FN(FEWEST_ROWS) + fr_window_items(window, flops));
        c.taken = 0;
        fr_parallel(team, FN(rows_window), &c);
        status = fr_window_step(window, flops * (double)(c.r1 - c.r0));
    }
    return status;
}

/* The gradient products of a call, one after the other; memory for them is taken once. */
typedef struct FN(gradient_call) {
    FN(gradient) gradient;
    T *x_panels[2];             /* operands of a pass; used in turn, so that one barrier a pass is enough */
    T *packed;                  /* tiles of slopes that go together, over a pass; member after member */
    ptrdiff_t member;           /* from one member's to the next's */
    ptrdiff_t pass;             /* rows of a pass at most */
    ptrdiff_t r0, r1;
    int fresh;
    fr_barrier barrier;
    int64_t taken[2];           /* items of a pass, in turn */
} FN(gradient_call);

/* For up to `rows` rows at a time and operands of so many panels. */
static void FN(gradient_space)(fr_arena *arena, FN(gradient_call) *c, int team, ptrdiff_t rows, ptrdiff_t panels)
{
    c->pass = fr_min(rows, FN(PASS));
    for (int i = 0; i < 2; i++)
        c->x_panels[i] = fr_take(arena, c->pass * W, panels, sizeof(T));
    c->member = c->pass * FN(LEAD);
    c->packed = fr_take(arena, c->member, team, sizeof(T));
}

/* Passes over rows r0 .. r1-1: the team packs the operands together, then its members take columns of slopes. */
static void FN(gradient_window)(void *argument, int member, int members)
{
    FN(gradient_call) *c = argument;
    const FN(gradient) *g = &c->gradient;
    const ptrdiff_t tiles = fr_ceil(g->M, FR_GRADIENT_ROWS);
    const ptrdiff_t items = fr_min(FN(items)(tiles, members), tiles);
    T *packed = c->packed + member * c->member;
    int turn = 0, fresh = c->fresh;
    for (ptrdiff_t r = c->r0; r < c->r1; r += FN(PASS), fresh = 0, turn ^= 1) {
        ptrdiff_t n = fr_min(c->r1 - r, FN(PASS));
        T *to = c->x_panels[turn];
        for (int i = 0; i < 2; i++) {
            const ptrdiff_t panels = fr_ceil(g->operand[i].N, W);
            FN(gradient_pack_x)(g->operand + i, to, r, n, fr_part(panels, member, members),
                                fr_part(panels, member + 1, members));
            to += panels * n * W;
        }
        fr_barrier_wait(&c->barrier, members);
        if (member == 0)
            __atomic_store_n(&c->taken[turn ^ 1], 0, __ATOMIC_RELAXED);     /* all have left the pass before */
        for (ptrdiff_t i; (i = fr_next_item(&c->taken[turn], items)) >= 0;)
            FN(gradient_part)(g, c->x_panels[turn], packed, r, n, fr_part(tiles, i, items) * FR_GRADIENT_ROWS,
                              fr_min(fr_part(tiles, i + 1, items) * FR_GRADIENT_ROWS, g->M), fresh);
        if (g->db)
            FN(gradient_bias)(g, r, n, fr_part(g->M, member, members), fr_part(g->M, member + 1, members), fresh);
    }
}

/* The gradient over the first `rows` rows: stored if `fresh`, else added, block by block. */
static fr_status FN(run_gradient)(FN(gradient_call) *c, int team, fr_window *window, ptrdiff_t rows, int fresh)
{
    const double flops = 2.0 * (double)c->gradient.M * (double)(c->gradient.operand[0].N + c->gradient.operand[1].N);
    fr_status status = FR_OK;
    for (c->r0 = 0; c->r0 < rows && status == FR_OK; c->r0 = c->r1) {
        const ptrdiff_t items = fr_window_items(window, flops), whole = items < FN(PASS) ? FR_GROUP : FN(PASS);
        c->r1 = fr_min(rows, c->r0 + fr_max(items / whole, 1) * whole);
        c->fresh = fresh && c->r0 == 0;
        c->barrier.count = 0;
        c->taken[0] = c->taken[1] = 0;
        fr_parallel(team, FN(gradient_window), c);
        status = fr_window_step(window, flops * (double)(c->r1 - c->r0));
    }
    return status;
}

/* ---- gradients of what acts on each unit alone ---- */

typedef struct FN(units_call) {
    const FN(gradient) *gradient;
    ptrdiff_t rows;
    int fresh;
} FN(units_call);

static void FN(units_window)(void *argument, int member, int members)
{
    const FN(units_call) *c = argument;
    const FN(gradient) *g = c->gradient;
    const ptrdiff_t panels = fr_ceil(g->M, W);
    const ptrdiff_t j0 = fr_part(panels, member, members) * W, j1 = fr_min(fr_part(panels, member + 1, members) * W, g->M);
    if (g->operand[0].dw)
        FN(diagonal_gradient)(g, c->rows, j0, j1, c->fresh);
    if (g->db)
        FN(gradient_bias)(g, 0, c->rows, j0, j1, c->fresh);
}

/* dw, a product of a and x unit by unit, and db, over the first `rows` rows; either may be NULL. */
static void FN(run_units)(const FN(gradient) *gradient, int team, ptrdiff_t rows, int fresh)
{
    const ptrdiff_t worth_sharing = 1 << 15;
    FN(units_call) c = {gradient, rows, fresh};
    fr_parallel(rows * gradient->M < worth_sharing ? 1 : team, FN(units_window), &c);
}
