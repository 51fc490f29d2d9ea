/* lstm_tmpl.c - gates i, f, g, o: c = f c' + i g, h = o tanh(c). */

/* In two passes: what waits for c begins when all c of the tile are under way, as a processor looks ahead no further than
 * two or three turns of these loops. o stays among the sums meanwhile. */
static void FN(lstm_forward)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, T *z, ptrdiff_t zrow, ptrdiff_t u0,
                             ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + r;
            T *s = z + r * zrow + (u - u0) * 4;
            ptrdiff_t lanes = u1 - u;
            V i = FN(sigmoid)(vload(s)), f = FN(sigmoid)(vload(s + W));
            V g = FN(tanh)(vload(s + 2 * W)), o = FN(sigmoid)(vload(s + 3 * W));
            FN(put)(row->c + u, FN(flush)(vfma(f, FN(get)(row->c_prev + u, lanes), i * g)), lanes);
            vstore(s + 3 * W, o);
            if (row->cached) {
                FN(put)(row->cached + u, i, lanes);
                FN(put)(row->cached + H + u, f, lanes);
                FN(put)(row->cached + 2 * H + u, g, lanes);
                FN(put)(row->cached + 3 * H + u, o, lanes);
            }
        }
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + r;
            V o = vload(z + r * zrow + (u - u0) * 4 + 3 * W), c = FN(get)(row->c + u, u1 - u);
            V h = FN(flush)(o * FN(tanh)(c));
            FN(put)(row->h + u, h, u1 - u);
            if (row->y)
                FN(put)(row->y + u, h, u1 - u);
        }
}

static void FN(lstm_backward)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, T *z, ptrdiff_t zrow, ptrdiff_t u0,
                              ptrdiff_t u1)
{
    const ptrdiff_t H = args->hidden;
    const V one = vset(1);
    (void)z, (void)zrow;
    for (ptrdiff_t r = 0; r < n; r++)
        for (ptrdiff_t u = u0; u < u1; u += W) {
            const FN(row) *row = rows + r;
            ptrdiff_t lanes = u1 - u;
            V i = FN(get)(row->cached + u, lanes), f = FN(get)(row->cached + H + u, lanes);
            V g = FN(get)(row->cached + 2 * H + u, lanes), o = FN(get)(row->cached + 3 * H + u, lanes);
            V t = FN(tanh)(FN(get)(row->c + u, lanes));
            V dh = FN(get)(row->dh + u, lanes), dc = FN(get)(row->dc + u, lanes);
            if (!row->m)        /* else dh is the gradient of m, and dy went into it */
                dh = (row->dy ? FN(get)(row->dy + u, lanes) : vset(0)) + dh;
            else
                FN(put)(row->m + u, FN(flush)(o * t), lanes);
            V D = vfma(dh * o, vfma(-t, t, one), dc);
            FN(put)(row->slopes + u, FN(flush)((D * g) * vfma(-i, i, i)), lanes);
            FN(put)(row->slopes + H + u, FN(flush)((D * FN(get)(row->c_prev + u, lanes)) * vfma(-f, f, f)), lanes);
            FN(put)(row->slopes + 2 * H + u, FN(flush)((D * i) * vfma(-g, g, one)), lanes);
            FN(put)(row->slopes + 3 * H + u, FN(flush)((dh * t) * vfma(-o, o, o)), lanes);
            FN(put)(row->dc + u, FN(flush)(D * f), lanes);
        }
}

static const FN(cell) FN(cell_lstm)[] = {{
    .gates = 4, .sums = 4, .h_gates = 4, .h_to = {0, 1, 2, 3},
    .bias_ih = {0, 1, 2, 3}, .bias_hh = {0, 1, 2, 3},
    .cached = 4, .states = 2, .slopes = 4,
    .forward = FN(lstm_forward), .backward = FN(lstm_backward),
    .carry = {{4, 0, 0}},
    .rules = {{4, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {4, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0}},
}};
