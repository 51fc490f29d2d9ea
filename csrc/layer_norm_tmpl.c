/* layer_norm_tmpl.c - layer normalisation (docs/numerics.md): of the product over x and of that over h, each over all its
 * gates, and of c. It stands between the products and a cell's own functions, which know nothing of the first two. */

/* Values of a row: those of gate g and of the panel that begins at unit u stand at gate[g] + u / W * panel. */
typedef struct FN(blocks) {
    const T *gate[4];
    ptrdiff_t panel;
} FN(blocks);

/* Gates of H units side by side; gate g is block to[g], or g. */
static FN(blocks) FN(blocks_at)(const T *v, ptrdiff_t H, int gates, const signed char *to)
{
    FN(blocks) b = {{NULL, NULL, NULL, NULL}, W};
    for (int g = 0; g < gates; g++)
        b.gate[g] = v + (to ? to[g] : g) * H;
    return b;
}

FR_INLINE V FN(block)(const FN(blocks) *b, int g, ptrdiff_t u, ptrdiff_t lanes)
{
    return FN(get)(b->gate[g] + u / W * b->panel, lanes);
}

/* v, with 0 in lanes from `lanes` on. */
FR_INLINE V FN(first)(V v, ptrdiff_t lanes)
{
    T part[W];
    if (lanes >= W)
        return v;
    vstore(part, v);
    return vload_n(part, lanes);
}

/* A sum over the units of a row's gates: chains, 16 a gate, over every sixteenth unit; the gates' are added in order, then
 * the 16 in pairs. */
enum { FN(CHAINS) = 16, FN(SETS) = FN(CHAINS) / W };

FR_INLINE T FN(total)(const int G, V sum[4][FN(SETS)])
{
    T lane[FN(CHAINS)];
    for (int s = 0; s < FN(SETS); s++) {
        V v = sum[0][s];
        for (int g = 1; g < G; g++)
            v = v + sum[g][s];
        vstore(lane + s * W, v);
    }
    for (int n = FN(CHAINS) / 2; n > 0; n /= 2)
        for (int j = 0; j < n; j++)
            lane[j] = lane[j] + lane[j + n];
    return lane[0];
}

/* A loop over units u, `lanes` of them left, and set s of their chains. */
#define FR_CHAINS(H)                                                                                                    \
    for (ptrdiff_t u0 = 0; u0 < (H); u0 += FN(CHAINS))                                                                  \
        for (ptrdiff_t s = 0, u = u0, lanes = (H) - u0; s < FN(SETS) && lanes > 0; s++, u += W, lanes -= W)

FR_INLINE void FN(clear)(V sum[4][FN(SETS)])
{
    for (int g = 0; g < 4; g++)
        for (int s = 0; s < FN(SETS); s++)
            sum[g][s] = vset(0);
}

/* What makes values normal: (v - mean) * scale. */
typedef struct FN(norm) {
    T mean, scale;
} FN(norm);

FR_INLINE V FN(normal)(FN(norm) norm, V v) { return (v - vset(norm.mean)) * vset(norm.scale); }

FR_INLINE FN(norm) FN(norm_over)(const int G, const FN(blocks) *b, ptrdiff_t H, T epsilon)
{
    const T count = (T)(G * H);
    V sum[4][FN(SETS)], square[4][FN(SETS)];
    FN(clear)(sum);
    FN(clear)(square);
    FR_CHAINS(H)
        for (int g = 0; g < G; g++)
            sum[g][s] = sum[g][s] + FN(block)(b, g, u, lanes);
    const T mean = FN(total)(G, sum) / count;
    FR_CHAINS(H)
        for (int g = 0; g < G; g++) {
            const V d = FN(first)(FN(block)(b, g, u, lanes) - vset(mean), lanes);
            square[g][s] = vfma(d, d, square[g][s]);
        }
    const T variance = FN(total)(G, square) / count + epsilon;
    return (FN(norm)){mean, 1 / (FR_DTYPE == 32 ? (T)__builtin_sqrtf((float)variance) : (T)__builtin_sqrt(variance))};
}

/* Where a row's values b are normalised and multiplied by `gain`, and d is the gradient of the results: the means of
 * e = gain * d, and of e times the normal values. */
typedef struct FN(pull) {
    T plain, normal;
} FN(pull);

FR_INLINE FN(pull) FN(pull_over)(const int G, const FN(blocks) *b, FN(norm) norm, const FN(blocks) *gain,
                                 const FN(blocks) *d, ptrdiff_t H)
{
    const T count = (T)(G * H);
    V plain[4][FN(SETS)], normal[4][FN(SETS)];
    FN(clear)(plain);
    FN(clear)(normal);
    FR_CHAINS(H)
        for (int g = 0; g < G; g++) {
            const V e = FN(block)(gain, g, u, lanes) * FN(block)(d, g, u, lanes);
            plain[g][s] = plain[g][s] + e;
            normal[g][s] = vfma(e, FN(first)(FN(normal)(norm, FN(block)(b, g, u, lanes)), lanes), normal[g][s]);
        }
    return (FN(pull)){FN(total)(G, plain) / count, FN(total)(G, normal) / count};
}
#undef FR_CHAINS

static FN(norm) FN(norm_of)(int gates, const FN(blocks) *b, ptrdiff_t H, T epsilon)
{
    return gates == 1 ? FN(norm_over)(1, b, H, epsilon) : gates == 2 ? FN(norm_over)(2, b, H, epsilon)
         : gates == 3 ? FN(norm_over)(3, b, H, epsilon) : FN(norm_over)(4, b, H, epsilon);
}

static FN(pull) FN(pull_of)(int gates, const FN(blocks) *b, FN(norm) norm, const FN(blocks) *gain, const FN(blocks) *d,
                            ptrdiff_t H)
{
    return gates == 1 ? FN(pull_over)(1, b, norm, gain, d, H) : gates == 2 ? FN(pull_over)(2, b, norm, gain, d, H)
         : gates == 3 ? FN(pull_over)(3, b, norm, gain, d, H) : FN(pull_over)(4, b, norm, gain, d, H);
}

/* The gradient of a value whose normal one is `normal`, but for the factor norm.scale. */
FR_INLINE V FN(pulled)(FN(pull) pull, V e, V normal)
{
    return vfma(-normal, vset(pull.normal), e - vset(pull.plain));
}

static int FN(norms)(const fr_args *a) { return a->param[FR_W_LN_IH] != NULL; }
static int FN(norms_c)(const fr_args *a) { return a->param[FR_W_LN_C] != NULL; }

/* Blocks of H that a step leaves in the tape: the cell's, and where products are normalised those over h and over x. */
static int FN(recorded)(const fr_args *a)
{
    const FN(cell) *cell = FN(cell_of)(a);
    return cell->cached + (FN(norms)(a) ? cell->h_gates + cell->gates : 0);
}

/* ---- forward ---- */

/* The sums of units u .. u+W-1, from the products over x and over h. */
FR_INLINE void FN(normal_sums)(const fr_args *a, const FN(row) *row, const FN(blocks) *x, FN(norm) of_x,
                               const FN(blocks) *h, FN(norm) of_h, ptrdiff_t u, T *sums)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const ptrdiff_t H = a->hidden, lanes = H - u;
    const T *gain_x = (const T *)a->param[FR_W_LN_IH] + u, *gain_h = (const T *)a->param[FR_W_LN_HH] + u;
    T *raw = row->cached ? row->cached + cell->cached * H + u : NULL;
    V out[4];
    for (int s = 0; s < cell->sums; s++)
        out[s] = FN(bias)(a, s, u);
    for (int g = 0; g < cell->gates; g++) {
        const V v = FN(block)(x, g, u, lanes);
        out[g] = vfma(FN(get)(gain_x + g * H, lanes), FN(normal)(of_x, v), out[g]);
        if (raw)
            FN(put)(raw + (cell->h_gates + g) * H, v, lanes);
    }
    for (int g = 0; g < cell->h_gates; g++) {
        const V v = FN(block)(h, g, u, lanes);
        const int s = cell->h_to[g];
        out[s] = vfma(FN(get)(gain_h + g * H, lanes), FN(normal)(of_h, v), out[s]);
        if (raw)
            FN(put)(raw + g * H, v, lanes);
    }
    for (int s = 0; s < cell->sums; s++)
        vstore(sums + s * W, out[s]);
}

/* The gates of n rows, units u0 .. u1-1, from products of all units: z[row * zrow + panel * products * W + product * W],
 * those over x first. */
static void FN(normal_forward)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, const T *z, ptrdiff_t zrow,
                               ptrdiff_t u0, ptrdiff_t u1)
{
    enum { UNITS = FN(SUMS) / 4 / W * W };
    _Alignas(FR_LINE) T local[FN(SUMS)];
    const FN(cell) *cell = FN(cell_of)(a);
    const int G = cell->gates, h_gates = cell->h_gates;
    for (const FN(row) *row = rows; row < rows + n; row++, z += zrow) {
        FN(blocks) x = {.panel = (G + h_gates) * W}, h = x;
        for (int g = 0; g < G; g++)
            x.gate[g] = z + g * W;
        for (int g = 0; g < h_gates; g++)
            h.gate[g] = z + (G + g) * W;
        const FN(norm) of_x = FN(norm_of)(G, &x, a->hidden, (T)a->epsilon);
        const FN(norm) of_h = FN(norm_of)(h_gates, &h, a->hidden, (T)a->epsilon);
        for (ptrdiff_t from = u0, to; from < u1; from = to) {
            to = fr_min(u1, from + UNITS);
            for (ptrdiff_t u = from; u < to; u += W)
                FN(normal_sums)(a, row, &x, of_x, &h, of_h, u, local + (u - from) * cell->sums);
            cell->forward(a, row, 1, local, 0, from, to);
        }
    }
}

/* y = w_ln_c * normal(c) + b_ln_c, units u0 .. u1-1 of one row; y, and the normal values where they are wanted, from u0 on. */
FR_INLINE void FN(normal_cell)(const fr_args *a, const T *c, FN(norm) norm, T *y, T *normals, ptrdiff_t u0, ptrdiff_t u1)
{
    const T *gain = a->param[FR_W_LN_C], *bias = a->param[FR_B_LN_C];
    for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
        const V v = FN(normal)(norm, FN(get)(c + u, lanes));
        FN(put)(y + u - u0, vfma(FN(get)(gain + u, lanes), v, bias ? FN(get)(bias + u, lanes) : vset(0)), lanes);
        if (normals)
            FN(put)(normals + u - u0, v, lanes);
    }
}

/* h, once all units have c. */
static void FN(normal_forward_late)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    _Alignas(FR_LINE) T y[FN(SUMS)];
    for (const FN(row) *row = rows; u0 < u1 && row < rows + n; row++) {
        const FN(blocks) c = FN(blocks_at)(row->c, a->hidden, 1, NULL);
        const FN(norm) norm = FN(norm_of)(1, &c, a->hidden, (T)a->epsilon);
        for (ptrdiff_t from = u0, to; from < u1; from = to) {
            to = fr_min(u1, from + FN(SUMS));
            FN(normal_cell)(a, row->c, norm, y, NULL, from, to);
            FN(cell_of)(a)->forward_late(a, row, 1, y, 0, from, to);
        }
    }
}

/* ---- backward ---- */

/* Blocks of a row of slopes. Where products are normalised, the cell's own slopes are followed by the gradients of the
 * products over h and over x, and by those products' normal values; where c is, by the gradient of y and the normal c. */
typedef struct FN(columns) {
    int h, x, normal_h, normal_x, y, normal_c, all;
} FN(columns);

static FN(columns) FN(columns_of)(const fr_args *a)
{
    const FN(cell) *cell = FN(cell_of)(a);
    FN(columns) k = {.all = cell->slopes};
    if (FN(norms)(a)) {
        k.h = cell->slopes;
        k.x = k.h + cell->h_gates;
        k.normal_h = k.x + cell->gates;
        k.normal_x = k.normal_h + cell->h_gates;
        k.y = k.all = k.normal_x + cell->gates;
    }
    if (FN(norms_c)(a)) {
        k.normal_c = k.y + 1;
        k.all = k.y + 2;
    }
    return k;
}

/* From the gradients d of normalised products to those of the products, and the normal values; units u0 .. u1-1. */
static void FN(normal_slopes)(const fr_args *a, int gates, const FN(blocks) *raw, const FN(blocks) *d, const T *gains,
                              T *to, T *normals, ptrdiff_t u0, ptrdiff_t u1)
{
    const ptrdiff_t H = a->hidden;
    const FN(blocks) gain = FN(blocks_at)(gains, H, gates, NULL);
    const FN(norm) norm = FN(norm_of)(gates, raw, H, (T)a->epsilon);
    const FN(pull) pull = FN(pull_of)(gates, raw, norm, &gain, d, H);
    for (int g = 0; g < gates; g++)
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
            const V v = FN(normal)(norm, FN(block)(raw, g, u, lanes));
            const V e = FN(block)(&gain, g, u, lanes) * FN(block)(d, g, u, lanes);
            FN(put)(to + g * H + u, FN(flush)(vset(norm.scale) * FN(pulled)(pull, e, v)), lanes);
            FN(put)(normals + g * H + u, v, lanes);
        }
}

/* After the cell's own backward, of all units: the gradients of the products of units u0 .. u1-1. */
static void FN(normal_backward)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const FN(columns) k = FN(columns_of)(a);
    const ptrdiff_t H = a->hidden;
    for (const FN(row) *row = rows; u0 < u1 && row < rows + n; row++) {
        const T *raw = row->cached + cell->cached * H;
        T *s = row->slopes;
        const FN(blocks) raw_h = FN(blocks_at)(raw, H, cell->h_gates, NULL);
        const FN(blocks) raw_x = FN(blocks_at)(raw + cell->h_gates * H, H, cell->gates, NULL);
        const FN(blocks) d_h = FN(blocks_at)(s, H, cell->h_gates, cell->h_to), d_x = FN(blocks_at)(s, H, cell->gates, NULL);
        FN(normal_slopes)(a, cell->h_gates, &raw_h, &d_h, a->param[FR_W_LN_HH], s + k.h * H, s + k.normal_h * H, u0, u1);
        FN(normal_slopes)(a, cell->gates, &raw_x, &d_x, a->param[FR_W_LN_IH], s + k.x * H, s + k.normal_x * H, u0, u1);
    }
}

/* Once all units have c again: y and its gradient, units u0 .. u1-1. */
static void FN(normal_backward_late)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    const FN(columns) k = FN(columns_of)(a);
    for (const FN(row) *row = rows; u0 < u1 && row < rows + n; row++) {
        const FN(blocks) c = FN(blocks_at)(row->c_new, a->hidden, 1, NULL);
        FN(normal_cell)(a, row->c_new, FN(norm_of)(1, &c, a->hidden, (T)a->epsilon), row->seen + u0,
                        row->slopes + k.normal_c * a->hidden + u0, u0, u1);
        FN(cell_of)(a)->backward_late(a, row, 1, row->slopes + k.y * a->hidden + u0, 0, u0, u1);
    }
}

/* Once all units have that: what reaches c through it is added to dc. */
static void FN(normal_carry)(const fr_args *a, const FN(row) *rows, ptrdiff_t n, ptrdiff_t u0, ptrdiff_t u1)
{
    const FN(columns) k = FN(columns_of)(a);
    const ptrdiff_t H = a->hidden;
    const T *gains = a->param[FR_W_LN_C];
    const FN(blocks) gain = FN(blocks_at)(gains, H, 1, NULL);
    for (const FN(row) *row = rows; u0 < u1 && row < rows + n; row++) {
        const FN(blocks) c = FN(blocks_at)(row->c_new, H, 1, NULL), d = FN(blocks_at)(row->slopes + k.y * H, H, 1, NULL);
        const FN(norm) norm = FN(norm_of)(1, &c, H, (T)a->epsilon);
        const FN(pull) pull = FN(pull_of)(1, &c, norm, &gain, &d, H);
        for (ptrdiff_t u = u0, lanes = u1 - u0; u < u1; u += W, lanes -= W) {
            const V e = FN(get)(gains + u, lanes) * FN(get)(d.gate[0] + u, lanes);
            const V v = FN(normal)(norm, FN(get)(row->c_new + u, lanes));
            FN(put)(row->dc + u, vfma(vset(norm.scale), FN(pulled)(pull, e, v), FN(get)(row->dc + u, lanes)), lanes);
        }
    }
}
