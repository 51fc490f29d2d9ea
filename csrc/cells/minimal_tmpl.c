/* minimal_tmpl.c - minGRU and minLSTM: gates of the input alone. Any activations; a limit of pre-activations (number 0).
 * The tape has the pre-activations. */

/* minGRU, gates z, n: h = (1 - z) h' + z n. */
FR_POINT(mingru_forward)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 2);
        const V h_prev = FN(get)(row->h_prev + u, lanes), update = FN(gate)(args->activation, limit, vload(s));
        const V n = FN(gate)(args->activation + 1, limit, vload(s + W));
        FN(put_h)(row, u, FN(flush)(vfma(update, n - h_prev, h_prev)), lanes);
        if (row->cached) {
            FN(put)(row->cached + u, vload(s), lanes);
            FN(put)(row->cached + args->hidden + u, vload(s + W), lanes);
        }
    }
}

FR_POINT(mingru_backward)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V zz = FN(get)(row->cached + u, lanes), zn = FN(get)(row->cached + H + u, lanes);
        const V update = FN(gate)(args->activation, limit, zz), n = FN(gate)(args->activation + 1, limit, zn);
        const V dh = FN(dh_of)(row, u, lanes), h_prev = FN(get)(row->h_prev + u, lanes);
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, zz, update, dh * (n - h_prev)), lanes);
        FN(put)(row->slopes + H + u, FN(gate_slope)(args->activation + 1, limit, zn, n, dh * update), lanes);
        FN(put)(row->dh + u, vfma(-dh, update, dh), lanes);
    }
}

static const FN(cell) FN(cell_mingru)[] = {{
    .gates = 2, .sums = 2,
    .bias_ih = {0, 1}, .bias_hh = {-1, -1},
    .cached = 2, .states = 1, .slopes = 2,
    .forward = FN(mingru_forward), .backward = FN(mingru_backward),
    .direct = 1,
    .rules = {{2, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}},
}};

/* minLSTM, gates f, i, n: h = a h' + b n with a = f / (f + i), b = i / (f + i), a half each where f + i = 0. */
typedef struct FN(minlstm_unit) {
    V f, i, n, sum, a, b;
} FN(minlstm_unit);

FR_INLINE FN(minlstm_unit) FN(minlstm_open)(const fr_args *args, V zf, V zi, V zn)
{
    const V limit = vset((T)args->number[0]);
    FN(minlstm_unit) v = {.f = FN(gate)(args->activation, limit, zf), .i = FN(gate)(args->activation + 1, limit, zi),
                          .n = FN(gate)(args->activation + 2, limit, zn)};
    v.sum = v.f + v.i;
    v.a = vle(vabs(v.sum), vset(0), vset((T)0.5), v.f / v.sum);
    v.b = vle(vabs(v.sum), vset(0), vset((T)0.5), v.i / v.sum);
    return v;
}

FR_POINT(minlstm_forward)
{
    const ptrdiff_t H = args->hidden;
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 3);
        const FN(minlstm_unit) v = FN(minlstm_open)(args, vload(s), vload(s + W), vload(s + 2 * W));
        FN(put_h)(row, u, FN(flush)(vfma(v.a, FN(get)(row->h_prev + u, lanes), v.b * v.n)), lanes);
        for (int k = 0; row->cached && k < 3; k++)
            FN(put)(row->cached + k * H + u, vload(s + k * W), lanes);
    }
}

FR_POINT(minlstm_backward)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V zf = FN(get)(row->cached + u, lanes), zi = FN(get)(row->cached + H + u, lanes);
        const V zn = FN(get)(row->cached + 2 * H + u, lanes);
        const FN(minlstm_unit) v = FN(minlstm_open)(args, zf, zi, zn);
        const V dh = FN(dh_of)(row, u, lanes);
        const V da = vle(vabs(v.sum), vset(0), vset(0), (dh * (FN(get)(row->h_prev + u, lanes) - v.n)) / v.sum);
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, zf, v.f, da * v.b), lanes);
        FN(put)(row->slopes + H + u, FN(gate_slope)(args->activation + 1, limit, zi, v.i, -da * v.a), lanes);
        FN(put)(row->slopes + 2 * H + u, FN(gate_slope)(args->activation + 2, limit, zn, v.n, dh * v.b), lanes);
        FN(put)(row->dh + u, dh * v.a, lanes);
    }
}

static const FN(cell) FN(cell_minlstm)[] = {{
    .gates = 3, .sums = 3,
    .bias_ih = {0, 1, 2}, .bias_hh = {-1, -1, -1},
    .cached = 3, .states = 1, .slopes = 3,
    .forward = FN(minlstm_forward), .backward = FN(minlstm_backward),
    .direct = 1,
    .rules = {{3, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}},
}};
