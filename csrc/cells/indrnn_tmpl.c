/* indrnn_tmpl.c - independently recurrent: h = act(w_ih x + w_hh * h' + b), w_hh a weight a unit. Any activation; a limit
 * of pre-activations (number 0). The tape has the pre-activations. Option 0: 1. */

FR_POINT(indrnn_forward)
{
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 1);
        const V w = FN(get)((const T *)args->param[FR_W_HH] + u, lanes);
        const V v = vfma(w, FN(get)(row->rec + u, lanes), vload(s));
        FN(put_h)(row, u, FN(flush)(FN(gate)(args->activation, vset((T)args->number[0]), v)), lanes);
        if (row->cached)
            FN(put)(row->cached + u, v, lanes);
    }
}

FR_POINT(indrnn_backward)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V v = FN(get)(row->cached + u, lanes), h = FN(gate)(args->activation, limit, v);
        const V d = FN(gate_slope)(args->activation, limit, v, h, FN(dh_of)(row, u, lanes));
        FN(put)(row->slopes + u, d, lanes);
        FN(put)(row->dh + u, d * FN(get)((const T *)args->param[FR_W_HH] + u, lanes), lanes);
    }
}

static const FN(cell) FN(cell_indrnn)[] = {{
    .gates = 1, .sums = 1,
    .bias_ih = {0}, .bias_hh = {0},
    .cached = 1, .states = 1, .slopes = 1,
    .forward = FN(indrnn_forward), .backward = FN(indrnn_backward),
    .direct = 2,
    .rules = {{1, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {1, 0, FR_OF_X, -1, FR_B_HH, 0}},
    .diagonals = {{0, FR_OF_H, FR_W_HH, 0}},
}};
