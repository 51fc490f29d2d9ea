/* mgu_tmpl.c - minimal gated unit, gates f, n: h = (1 - f) h' + f n, n over q = f h'. Any activations; a limit of
 * pre-activations (number 0). The tape has the pre-activations. */

FR_POINT(mgu_forward)
{
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 2);
        const V f = FN(gate)(args->activation, vset((T)args->number[0]), vload(s));
        FN(put)(row->q + u, FN(flush)(f * FN(get)(row->rec + u, lanes)), lanes);
        if (row->cached)
            FN(put)(row->cached + u, vload(s), lanes);
    }
}

FR_POINT(mgu_forward_mid)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 2);
        const V f = FN(gate)(args->activation, limit, vload(s)), n = FN(gate)(args->activation + 1, limit, vload(s + W));
        const V h_prev = FN(get)(row->h_prev + u, lanes);
        FN(put_h)(row, u, FN(flush)(vfma(f, n - h_prev, h_prev)), lanes);
        if (row->cached)
            FN(put)(row->cached + args->hidden + u, vload(s + W), lanes);
    }
}

/* The gradient of f stands among the slopes until the rest of it comes. */
FR_POINT(mgu_backward)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V zn = FN(get)(row->cached + H + u, lanes), h_prev = FN(get)(row->h_prev + u, lanes);
        const V f = FN(gate)(args->activation, limit, FN(get)(row->cached + u, lanes));
        const V n = FN(gate)(args->activation + 1, limit, zn), dh = FN(dh_of)(row, u, lanes);
        FN(put)(row->slopes + u, dh * (n - h_prev), lanes);
        FN(put)(row->slopes + H + u, FN(gate_slope)(args->activation + 1, limit, zn, n, dh * f), lanes);
        FN(put)(row->q + u, FN(flush)(f * FN(get)(row->rec + u, lanes)), lanes);
        FN(put)(row->dh + u, vfma(-dh, f, dh), lanes);
    }
}

/* z: dq. */
FR_POINT(mgu_backward_mid)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 1);
        const V zf = FN(get)(row->cached + u, lanes), f = FN(gate)(args->activation, limit, zf), dq = FN(flush)(vload(s));
        const V df = vfma(dq, FN(get)(row->rec + u, lanes), FN(get)(row->slopes + u, lanes));
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, zf, f, df), lanes);
        FN(put)(row->dh + u, vfma(dq, f, FN(get)(row->dh + u, lanes)), lanes);
    }
}

static const FN(cell) FN(cell_mgu)[] = {{
    .gates = 2, .sums = 2, .h_gates = 1, .h_to = {0}, .mid_gates = 1, .mid_to = {1},
    .bias_ih = {0, 1}, .bias_hh = {0, 1},
    .cached = 2, .states = 1, .slopes = 2,
    .forward = FN(mgu_forward), .forward_mid = FN(mgu_forward_mid),
    .backward = FN(mgu_backward), .backward_mid = FN(mgu_backward_mid),
    .direct = 1, .carry = {{1, 0, 0}}, .mid_carry = {1, 1, 1},
    .rules = {{2, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {1, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},
              {1, 1, FR_OF_Q, FR_W_HH, FR_B_HH, 1}},
}};
