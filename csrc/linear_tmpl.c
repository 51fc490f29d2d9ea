/* linear_tmpl.c - y = x w^T + b and its gradients, by the products of gemm_tmpl.c. */

typedef struct FN(linear_call) {
    const fr_linear_args *a;
    T *panels;                  /* of w: columns forward, rows backward */
    T *start;                   /* b in whole panels, or NULL */
    FN(gradient_call) products;
    ptrdiff_t *at;              /* offsets of up to LINEAR_ROWS rows of x */
} FN(linear_call);

static void FN(linear_pack)(void *argument, int member, int members)
{
    const FN(linear_call) *c = argument;
    const fr_linear_args *a = c->a;
    const ptrdiff_t panels = fr_ceil(a->outputs, W), K = a->inputs;
    for (ptrdiff_t p = fr_part(panels, member, members); p < fr_part(panels, member + 1, members); p++) {
        FN(pack_columns)(c->panels + p * K * W, W, (const T *)a->w + p * W * K, K, fr_min(a->outputs - p * W, W), K);
        if (c->start)
            vstore(c->start + p * W, FN(get)((const T *)a->b + p * W, a->outputs - p * W));
    }
}

static void FN(linear_pack_back)(void *argument, int member, int members)
{
    const FN(linear_call) *c = argument;
    const ptrdiff_t panels = fr_ceil(c->a->inputs, W);
    FN(pack_row_panels)(c->panels, c->a->w, c->a->outputs, c->a->inputs, fr_part(panels, member, members),
                        fr_part(panels, member + 1, members));
}


/* Rows taken at a time by the gradient. Whole groups. */
enum { FN(LINEAR_ROWS) = 4 * FN(PASS) };

static void FN(linear_space)(fr_arena *arena, FN(linear_call) *c, int back, int team)
{
    const fr_linear_args *a = c->a;
    const ptrdiff_t rows = fr_min(a->rows, FN(LINEAR_ROWS));
    const ptrdiff_t K = back ? a->outputs : a->inputs, N = back ? a->inputs : a->outputs;
    c->panels = fr_take(arena, fr_ceil(N, W) * W, K, sizeof(T));
    c->start = a->b && !back ? fr_take(arena, fr_ceil(a->outputs, W), W, sizeof(T)) : NULL;
    if (!back)
        return;
    FN(gradient_space)(arena, &c->products, team, rows, fr_ceil(a->inputs, W));
    c->at = fr_take(arena, rows, 1, sizeof(ptrdiff_t));
}

/* One piece of memory for the call; the caller frees arena->base. */
static fr_status FN(linear_open)(fr_arena *arena, FN(linear_call) *c, int back, int team)
{
    FN(linear_space)(arena, c, back, team);
    if (arena->overflow)
        return FR_OVERFLOW;
    arena->base = fr_malloc(arena->used);
    if (!arena->base)
        return FR_NO_MEMORY;
    arena->used = 0;
    FN(linear_space)(arena, c, back, team);
    return FR_OK;
}

static fr_status FN(linear)(const fr_linear_args *a)
{
    const int team = fr_team(&a->run, fr_linear_flops(a, 0));
    FN(linear_call) c = {.a = a};
    fr_arena arena = {NULL, 0, 0};
    fr_window window;
    fr_status status = FN(linear_open)(&arena, &c, 0, team);
    if (status != FR_OK)
        return status;
    const FN(gemm) gemm = {a->x, a->inputs, a->inputs, c.panels, a->outputs, c.start, a->y, a->outputs, NULL};
    fr_window_open(&window, &a->run);
    fr_parallel(team, FN(linear_pack), &c);
    status = FN(run_gemm)(&gemm, team, &window, 0, a->rows);
    fr_free(arena.base);
    return status;
}

static fr_status FN(linear_backward)(const fr_linear_args *a)
{
    const int team = fr_team(&a->run, fr_linear_flops(a, 1));
    const ptrdiff_t I = a->inputs, O = a->outputs;
    FN(linear_call) c = {.a = a};
    fr_arena arena = {NULL, 0, 0};
    fr_window window;
    fr_status status = FN(linear_open)(&arena, &c, 1, team);
    if (status != FR_OK)
        return status;
    const FN(gemm) gemm = {a->dy, O, O, c.panels, I, NULL, a->dx, I, NULL};
    fr_window_open(&window, &a->run);
    if (a->dx) {
        fr_parallel(team, FN(linear_pack_back), &c);
        status = FN(run_gemm)(&gemm, team, &window, 0, a->rows);
    }
    for (ptrdiff_t r = 0; r < a->rows && status == FR_OK; r += FN(LINEAR_ROWS)) {
        ptrdiff_t n = fr_min(a->rows - r, FN(LINEAR_ROWS));
        const T *x = (const T *)a->x + r * I, *dy = (const T *)a->dy + r * O;
        for (ptrdiff_t i = 0; i < n; i++)
            c.at[i] = i * I;
        c.products.gradient = (FN(gradient)){dy, O, O, {{x, c.at, I, a->dw}}, a->db};
        status = FN(run_gradient)(&c.products, team, &window, n, r == 0);
    }
    if (a->rows == 0) {
        memset(a->dw, 0, (size_t)(O * I) * sizeof(T));
        if (a->db)
            memset(a->db, 0, (size_t)O * sizeof(T));
    }
    fr_free(arena.base);
    return status;
}
