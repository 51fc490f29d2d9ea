/* gates_tmpl.c - gates of any activation, whose pre-activations are cut to [-limit, limit]; no limit: infinity. */

FR_INLINE V FN(clip)(V z, V limit) { return vmax(-limit, vmin(limit, z)); }

/* v, or 0 where z was cut. */
FR_INLINE V FN(unless_clipped)(V z, V limit, V v) { return vlt(limit, vabs(z), vset(0), v); }

FR_INLINE V FN(gate)(const fr_activation *f, V limit, V z) { return FN(activate)(f, FN(clip)(z, limit)); }

/* The gradient of a pre-activation z, from that of its gate, d. */
FR_INLINE V FN(gate_slope)(const fr_activation *f, V limit, V z, V gate, V d)
{
    return FN(flush)(d * FN(unless_clipped)(z, limit, FN(slope)(f, FN(clip)(z, limit), gate)));
}

/* dh with dy, which may not be there. */
FR_INLINE V FN(dh_of)(const FN(row) *row, ptrdiff_t u, ptrdiff_t lanes)
{
    return (row->dy ? FN(get)(row->dy + u, lanes) : vset(0)) + FN(get)(row->dh + u, lanes);
}

/* h where a row has it, once or twice. */
FR_INLINE void FN(put_h)(const FN(row) *row, ptrdiff_t u, V h, ptrdiff_t lanes)
{
    FN(put)(row->h + u, h, lanes);
    if (row->y)
        FN(put)(row->y + u, h, lanes);
}

/* A point function (cell_tmpl.h) by name; in it, a loop over the rows and over vectors of units, the first of them u, with
 * `lanes` units left; and there the sums of u. */
#define FR_POINT(name)                                                                                                  \
    static void FN(name)(const fr_args *args, const FN(row) *rows, ptrdiff_t count, __attribute__((unused)) T *z,       \
                         __attribute__((unused)) ptrdiff_t zrow, ptrdiff_t u0, ptrdiff_t u1)
#define FR_EACH(row)                                                                                                    \
    for (const FN(row) *row = rows; row < rows + count; row++)                                                          \
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W)
#define FR_SUMS(row, sums_a_unit) (z + (row - rows) * zrow + (u - u0) * (sums_a_unit))
