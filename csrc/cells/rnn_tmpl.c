/* rnn_tmpl.c - h = act(w_ih x + w_hh h' + b), act tanh or relu (option 0: 0 or 1); in general act is activation 0, of
 * the pre-activation cut to [-c, c], where c is number 0, infinite for no limit. */

static void FN(rnn_forward)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, T *z, ptrdiff_t zrow, ptrdiff_t u0,
                            ptrdiff_t u1)
{
    const int relu = args->option[0];
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            V v = vload(z + r * zrow + (u - u0));
            V h = FN(flush)(relu ? vlt(v, vset(0), vset(0), v) : FN(tanh)(v));
            FN(put)(rows[r].h + u, h, u1 - u);
            if (rows[r].y)
                FN(put)(rows[r].y + u, h, u1 - u);
        }
}

static void FN(rnn_backward)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, T *z, ptrdiff_t zrow, ptrdiff_t u0,
                             ptrdiff_t u1)
{
    const int relu = args->option[0];
    (void)z, (void)zrow;
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            ptrdiff_t lanes = u1 - u;
            V h = FN(get)(rows[r].h + u, lanes), dh = FN(get)(rows[r].dh + u, lanes);
            dh = (rows[r].dy ? FN(get)(rows[r].dy + u, lanes) : vset(0)) + dh;
            V slope = relu ? vle(h, vset(0), vset(0), dh) : (V)(dh * vfma(-h, h, vset(1)));
            FN(put)(rows[r].slopes + u, FN(flush)(slope), lanes);
        }
}

static const FN(cell) FN(cell_rnn)[] = {{
    .gates = 1, .sums = 1, .h_gates = 1, .h_to = {0},
    .bias_ih = {0}, .bias_hh = {0},
    .cached = 0, .states = 1, .slopes = 1,
    .forward = FN(rnn_forward), .backward = FN(rnn_backward),
    .carry = {{1, 0, 0}},
    .rules = {{1, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {1, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0}},
}};

/* Any activation; a limit of pre-activations (number 0). The tape has the pre-activations. */
FR_POINT(rnn_general_forward)
{
    FR_EACH(row) {
        const V v = vload(FR_SUMS(row, 1));
        FN(put_h)(row, u, FN(flush)(FN(gate)(args->activation, vset((T)args->number[0]), v)), lanes);
        if (row->cached)
            FN(put)(row->cached + u, v, lanes);
    }
}

FR_POINT(rnn_general_backward)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V v = FN(get)(row->cached + u, lanes), h = FN(gate)(args->activation, limit, v);
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, v, h, FN(dh_of)(row, u, lanes)), lanes);
    }
}

static const FN(cell) FN(cell_rnn_general)[] = {{
    .gates = 1, .sums = 1, .h_gates = 1, .h_to = {0},
    .bias_ih = {0}, .bias_hh = {0},
    .cached = 1, .states = 1, .slopes = 1,
    .forward = FN(rnn_general_forward), .backward = FN(rnn_general_backward),
    .carry = {{1, 0, 0}},
    .rules = {{1, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {1, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0}},
}};
