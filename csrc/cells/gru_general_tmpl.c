/* gru_general_tmpl.c - GRU with any activations of r, z, n, and a limit of pre-activations (number 0). The tape has the
 * pre-activations; form 0, where the reset acts after the product, also nh. */

FR_INLINE void FN(gru_general_store)(const fr_args *args, const FN(row) *row, ptrdiff_t u, ptrdiff_t lanes, V zz, V zn)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]);
    const V z = FN(gate)(args->activation + 1, limit, zz), n = FN(gate)(args->activation + 2, limit, zn);
    FN(put_h)(row, u, FN(flush)(vfma(z, FN(get)(row->h_prev + u, lanes) - n, n)), lanes);
    if (row->cached) {
        FN(put)(row->cached + H + u, zz, lanes);
        FN(put)(row->cached + 2 * H + u, zn, lanes);
    }
}

/* The gradients of zz and of zn, which is returned; dh z is the carry's start. */
FR_INLINE V FN(gru_general_slopes)(const fr_args *args, const FN(row) *row, ptrdiff_t u, ptrdiff_t lanes)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]), dh = FN(dh_of)(row, u, lanes);
    const V zz = FN(get)(row->cached + H + u, lanes), zn = FN(get)(row->cached + 2 * H + u, lanes);
    const V z = FN(gate)(args->activation + 1, limit, zz), n = FN(gate)(args->activation + 2, limit, zn);
    const V dn = FN(gate_slope)(args->activation + 2, limit, zn, n, vfma(-dh, z, dh));
    FN(put)(row->slopes + H + u,
            FN(gate_slope)(args->activation + 1, limit, zz, z, dh * (FN(get)(row->h_prev + u, lanes) - n)), lanes);
    FN(put)(row->slopes + 2 * H + u, dn, lanes);
    FN(put)(row->dh + u, dh * z, lanes);
    return dn;
}

FR_POINT(gru_general_forward)
{
    const ptrdiff_t H = args->hidden;
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 4);
        const V zr = vload(s), nh = vload(s + 3 * W);
        const V r = FN(gate)(args->activation, vset((T)args->number[0]), zr);
        FN(gru_general_store)(args, row, u, lanes, vload(s + W), vfma(r, nh, vload(s + 2 * W)));
        if (row->cached) {
            FN(put)(row->cached + u, zr, lanes);
            FN(put)(row->cached + 3 * H + u, nh, lanes);
        }
    }
}

FR_POINT(gru_general_backward)
{
    const ptrdiff_t H = args->hidden;
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const V zr = FN(get)(row->cached + u, lanes), nh = FN(get)(row->cached + 3 * H + u, lanes);
        const V r = FN(gate)(args->activation, limit, zr), dn = FN(gru_general_slopes)(args, row, u, lanes);
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, zr, r, dn * nh), lanes);
        FN(put)(row->slopes + 3 * H + u, FN(flush)(dn * r), lanes);
    }
}

/* First half: q = r h'. */
FR_POINT(gru_general_before_forward)
{
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 3);
        const V r = FN(gate)(args->activation, vset((T)args->number[0]), vload(s));
        FN(put)(row->q + u, FN(flush)(r * FN(get)(row->rec + u, lanes)), lanes);
        if (row->cached)
            FN(put)(row->cached + u, vload(s), lanes);
    }
}

FR_POINT(gru_general_before_forward_mid)
{
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 3);
        FN(gru_general_store)(args, row, u, lanes, vload(s + W), vload(s + 2 * W));
    }
}

FR_POINT(gru_general_before_backward)
{
    FR_EACH(row) {
        const V r = FN(gate)(args->activation, vset((T)args->number[0]), FN(get)(row->cached + u, lanes));
        FN(gru_general_slopes)(args, row, u, lanes);
        FN(put)(row->q + u, FN(flush)(r * FN(get)(row->rec + u, lanes)), lanes);
    }
}

/* z: dq. */
FR_POINT(gru_general_before_backward_mid)
{
    const V limit = vset((T)args->number[0]);
    FR_EACH(row) {
        const T *s = FR_SUMS(row, 1);
        const V zr = FN(get)(row->cached + u, lanes), dq = FN(flush)(vload(s));
        const V r = FN(gate)(args->activation, limit, zr);
        FN(put)(row->slopes + u, FN(gate_slope)(args->activation, limit, zr, r, dq * FN(get)(row->rec + u, lanes)), lanes);
        FN(put)(row->dh + u, vfma(dq, r, FN(get)(row->dh + u, lanes)), lanes);
    }
}

static const FN(cell) FN(cell_gru_general)[] = {
    {
        .gates = 3, .sums = 4, .h_gates = 3, .h_to = {0, 1, 3},
        .bias_ih = {0, 1, 2, -1}, .bias_hh = {0, 1, -1, 2},
        .cached = 4, .states = 1, .slopes = 4,
        .forward = FN(gru_general_forward), .backward = FN(gru_general_backward),
        .direct = 1, .carry = {{2, 0, 0}, {1, 3, 2}},
        .rules = {{3, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {2, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},
                  {1, 3, FR_OF_H, FR_W_HH, FR_B_HH, 2}},
    },
    {
        .gates = 3, .sums = 3, .h_gates = 2, .h_to = {0, 1}, .mid_gates = 1, .mid_to = {2},
        .bias_ih = {0, 1, 2}, .bias_hh = {0, 1, 2},
        .cached = 3, .states = 1, .slopes = 3,
        .forward = FN(gru_general_before_forward), .forward_mid = FN(gru_general_before_forward_mid),
        .backward = FN(gru_general_before_backward), .backward_mid = FN(gru_general_before_backward_mid),
        .direct = 1, .carry = {{2, 0, 0}}, .mid_carry = {1, 2, 2},
        .rules = {{3, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {2, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},
                  {1, 2, FR_OF_Q, FR_W_HH, FR_B_HH, 2}},
    },
};
