/* gru_tmpl.c - gates r, z, n: h = (1 - z) n + z h'. The reset gate acts after the product over h' (gru) or before it
 * (gru_before), which then is a product of its own over q = r h', in the middle of the step. */

FR_INLINE void FN(gru_finish)(const FN(row) *row, ptrdiff_t H, ptrdiff_t u, ptrdiff_t lanes, V z, V n)
{
    V h = FN(flush)(vfma(z, FN(get)(row->h_prev + u, lanes) - n, n));
    FN(put)(row->h + u, h, lanes);
    if (row->y)
        FN(put)(row->y + u, h, lanes);
    if (row->cached)
        FN(put)(row->cached + 2 * H + u, n, lanes);
}

/* dh, and the gradients of z and of the sum of n, alike in both forms. */
FR_INLINE V FN(gru_slopes)(const FN(row) *row, ptrdiff_t H, ptrdiff_t u,
                                                              ptrdiff_t lanes, V *direct)
{
    V z = FN(get)(row->cached + H + u, lanes), n = FN(get)(row->cached + 2 * H + u, lanes);
    V dh = (row->dy ? FN(get)(row->dy + u, lanes) : vset(0)) + FN(get)(row->dh + u, lanes);
    V dz = FN(flush)((dh * (FN(get)(row->h_prev + u, lanes) - n)) * vfma(-z, z, z));
    V dn = FN(flush)(vfma(-dh, z, dh) * vfma(-n, n, vset(1)));
    FN(put)(row->slopes + H + u, dz, lanes);
    FN(put)(row->slopes + 2 * H + u, dn, lanes);
    *direct = dh * z;
    return dn;
}

/* In two passes, as lstm_forward: the sum of n and z stay among the sums meanwhile. */
static void FN(gru_forward)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums, ptrdiff_t zrow,
                            ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + i;
            T *s = sums + i * zrow + (u - u0) * 4;
            ptrdiff_t lanes = u1 - u;
            V r = FN(sigmoid)(vload(s)), z = FN(sigmoid)(vload(s + W)), nh = vload(s + 3 * W);
            vstore(s + W, z);
            vstore(s + 2 * W, vfma(r, nh, vload(s + 2 * W)));
            if (row->cached) {
                FN(put)(row->cached + u, r, lanes);
                FN(put)(row->cached + H + u, z, lanes);
                FN(put)(row->cached + 3 * H + u, nh, lanes);
            }
        }
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const T *s = sums + i * zrow + (u - u0) * 4;
            FN(gru_finish)(rows + i, H, u, u1 - u, vload(s + W), FN(tanh)(vload(s + 2 * W)));
        }
}

static void FN(gru_backward)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums, ptrdiff_t zrow,
                             ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    (void)sums, (void)zrow;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + i;
            ptrdiff_t lanes = u1 - u;
            V r = FN(get)(row->cached + u, lanes), nh = FN(get)(row->cached + 3 * H + u, lanes), direct;
            V dn = FN(gru_slopes)(row, H, u, lanes, &direct);
            FN(put)(row->slopes + u, FN(flush)((dn * nh) * vfma(-r, r, r)), lanes);
            FN(put)(row->slopes + 3 * H + u, FN(flush)(dn * r), lanes);
            FN(put)(row->dh + u, direct, lanes);
        }
}

static const FN(cell) FN(cell_gru)[] = {{
    .gates = 3, .sums = 4, .h_gates = 3, .h_to = {0, 1, 3},
    .bias_ih = {0, 1, 2, -1}, .bias_hh = {0, 1, -1, 2},
    .cached = 4, .states = 1, .slopes = 4,
    .forward = FN(gru_forward), .backward = FN(gru_backward),
    .direct = 1, .carry = {{2, 0, 0}, {1, 3, 2}},
    .rules = {{3, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {2, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},
              {1, 3, FR_OF_H, FR_W_HH, FR_B_HH, 2}},
}};

/* First half: r and z; z stays among the sums, as gate mathematics goes on there. */
static void FN(gru_before_forward)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums, ptrdiff_t zrow,
                                   ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + i;
            T *s = sums + i * zrow + (u - u0) * 3;
            ptrdiff_t lanes = u1 - u;
            V r = FN(sigmoid)(vload(s)), z = FN(sigmoid)(vload(s + W));
            vstore(s + W, z);
            FN(put)(row->q + u, FN(flush)(r * FN(get)(row->rec + u, lanes)), lanes);
            if (row->cached) {
                FN(put)(row->cached + u, r, lanes);
                FN(put)(row->cached + H + u, z, lanes);
            }
        }
}

static void FN(gru_before_forward_mid)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums,
                                       ptrdiff_t zrow, ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const T *s = sums + i * zrow + (u - u0) * 3;
            FN(gru_finish)(rows + i, H, u, u1 - u, vload(s + W), FN(tanh)(vload(s + 2 * W)));
        }
}

static void FN(gru_before_backward)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums, ptrdiff_t zrow,
                                    ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    (void)sums, (void)zrow;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + i;
            ptrdiff_t lanes = u1 - u;
            V r = FN(get)(row->cached + u, lanes), direct;
            FN(gru_slopes)(row, H, u, lanes, &direct);
            FN(put)(row->q + u, FN(flush)(r * FN(get)(row->rec + u, lanes)), lanes);
            FN(put)(row->dh + u, direct, lanes);
        }
}

/* sums: dq, one sum a unit. */
static void FN(gru_before_backward_mid)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, T *sums,
                                        ptrdiff_t zrow, ptrdiff_t u0, ptrdiff_t u1)
{
    (void)args;
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + i;
            ptrdiff_t lanes = u1 - u;
            V r = FN(get)(row->cached + u, lanes), dq = FN(flush)(vload(sums + i * zrow + (u - u0)));
            FN(put)(row->slopes + u, FN(flush)((dq * FN(get)(row->rec + u, lanes)) * vfma(-r, r, r)), lanes);
            FN(put)(row->dh + u, vfma(dq, r, FN(get)(row->dh + u, lanes)), lanes);
        }
}

static const FN(cell) FN(cell_gru_before)[] = {{
    .gates = 3, .sums = 3, .h_gates = 2, .h_to = {0, 1}, .mid_gates = 1, .mid_to = {2},
    .bias_ih = {0, 1, 2}, .bias_hh = {0, 1, 2},
    .cached = 3, .states = 1, .slopes = 3,
    .forward = FN(gru_before_forward), .forward_mid = FN(gru_before_forward_mid),
    .backward = FN(gru_before_backward), .backward_mid = FN(gru_before_backward_mid),
    .direct = 1, .carry = {{2, 0, 0}}, .mid_carry = {1, 2, 2},
    .rules = {{3, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {2, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},
              {1, 2, FR_OF_Q, FR_W_HH, FR_B_HH, 2}},
}};
