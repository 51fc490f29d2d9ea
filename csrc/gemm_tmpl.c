/* gemm_tmpl.c - the product rule of docs/numerics.md, section 1: register tiles, packing, and large products.
 *
 * A tile is MR rows x NP panels x G gates of W units each. Weights come in panels: [k][gate][W], so that a step of k
 * reads its weights in order; units are padded to whole panels, K never is. Sums stand as z[row][panel][sum][W]. */

/* Rows of a tile at most; vectors of weights that one of many rows takes. */
#define FR_MOST_ROWS 6
#define FR_VECTORS (FR_REGISTERS == 32 ? 4 : 2)

/* What the tiles of one product share. */
typedef struct FN(product) {
    ptrdiff_t K;
    ptrdiff_t lda;              /* from a row of a to the next */
    ptrdiff_t panel;            /* from a panel of weights to the next */
    ptrdiff_t zrow, zpanel;     /* from a row of sums, and a panel of sums, to the next */
    signed char to[4];          /* gate -> its sum */
    int fresh;                  /* sums begin here: the first block is stored, not added; */
    ptrdiff_t start;            /* or added to what stands so far from the weights, one row of sums for all; 0: not so */
    const T *ahead;             /* weights that come next, fetched a line at every term; */
    ptrdiff_t stride;           /* from one line to the next; 0: nothing to fetch */
} FN(product);

typedef void FN(tile_fn)(const FN(product) *p, const T *a, const T *w, T *z);

/* acc[m][v] are the chains of a block of FR_BLOCK terms; after each block they are added to the sums.
 * a[m * lda + k * ka] is the operand: ka = 1 for rows, or lda = 1 and ka = MR for a packed one. */
FR_INLINE void FN(tile)(const int MR, const int NP, const int G, const FN(product) *p, const T *a, ptrdiff_t lda,
                        ptrdiff_t ka, const T *w, T *z)
{
    const ptrdiff_t K = p->K, panel = p->panel, zrow = p->zrow, zpanel = p->zpanel, stride = p->stride;
    const ptrdiff_t to[4] = {p->to[0] * W, p->to[1] * W, p->to[2] * W, p->to[3] * W};
    const T *ahead = p->ahead;
    const T *from = p->start ? w + p->start : z;        /* what a block is added to */
    ptrdiff_t from_row = p->start ? 0 : zrow, from_panel = p->start ? panel : zpanel;
    int fresh = p->fresh;
    for (ptrdiff_t k0 = 0; k0 < K; k0 += FR_BLOCK) {
        V acc[FR_MOST_ROWS][32];
        const T *wk = w + k0 * G * W, *ak = a + k0 * ka;
        ptrdiff_t n = fr_min(K - k0, FR_BLOCK);
#pragma GCC unroll 6
        for (int m = 0; m < MR; m++)
#pragma GCC unroll 32
            for (int v = 0; v < NP * G; v++)
                acc[m][v] = vset(0);
#pragma GCC unroll 2
        for (; n > 0; n--) {
            if (MR <= NP * G) {
                V am[FR_MOST_ROWS];
#pragma GCC unroll 6
                for (int m = 0; m < MR; m++)
                    am[m] = vset(ak[m * lda]);
#pragma GCC unroll 32
                for (int v = 0; v < NP * G; v++) {
                    V b = vload(wk + (v / G) * panel + (v % G) * W);
                    if (MR > 1)
                        vkeep(b);
#pragma GCC unroll 6
                    for (int m = 0; m < MR; m++)
                        acc[m][v] = vfma(am[m], b, acc[m][v]);
                }
            } else {
                V b[32];
#pragma GCC unroll 32
                for (int v = 0; v < NP * G; v++)
                    b[v] = vload(wk + (v / G) * panel + (v % G) * W);
#pragma GCC unroll 6
                for (int m = 0; m < MR; m++) {
                    V am = vset(ak[m * lda]);
#pragma GCC unroll 32
                    for (int v = 0; v < NP * G; v++)
                        acc[m][v] = vfma(am, b[v], acc[m][v]);
                }
            }
            wk += G * W;
            ak += ka;
            if (MR > 2) {       /* fewer rows take the weights as fast as they come */
                __builtin_prefetch(ahead);
                ahead += stride;
            }
        }
        T *row = z;
#pragma GCC unroll 6
        for (int m = 0; m < MR; m++, row += zrow, from += from_row) {
            __asm__("" : "+r"(row), "+r"(from));    /* else the compiler keeps the addresses of all sums, on the stack */
#pragma GCC unroll 32
            for (int v = 0; v < NP * G; v++) {
                const V sum = fresh ? acc[m][v] : (V)(vload(from + (v / G) * from_panel + to[v % G]) + acc[m][v]);
                vstore(row + (v / G) * zpanel + to[v % G], sum);
            }
        }
        fresh = 0;
        from = z;
        from_row = zrow;
        from_panel = zpanel;
    }
}

/* A tile is built if its accumulators, the shorter side of its operands and one more fit the registers. */
#define FR_TILE_FITS(MR, NP, G) \
    ((MR) * (NP) * (G) + ((MR) < (NP) * (G) ? (MR) : (NP) * (G)) + 1 <= FR_REGISTERS)

#define FR_TILE(MR, NP, G)                                                                                              \
    static __attribute__((noinline, unused)) void FN(tile_##MR##_##NP##_##G)(const FN(product) *p, const T *a,          \
                                                                             const T *w, T *z)                          \
    {                                                                                                                   \
        if (FR_TILE_FITS(MR, NP, G))                                                                                    \
            FN(tile)(MR, NP, G, p, a, p->lda, 1, w, z);                                                                 \
    }
#define FR_TILES_OF_ROWS(X, MR, G) X(MR, 1, G) X(MR, 2, G) X(MR, 4, G) X(MR, 8, G)
#define FR_TILES_OF_GATES(X, G)                                                                                         \
    FR_TILES_OF_ROWS(X, 1, G) FR_TILES_OF_ROWS(X, 2, G) FR_TILES_OF_ROWS(X, 3, G) FR_TILES_OF_ROWS(X, 4, G)             \
    FR_TILES_OF_ROWS(X, 5, G) FR_TILES_OF_ROWS(X, 6, G)

FR_TILES_OF_GATES(FR_TILE, 1)
FR_TILES_OF_GATES(FR_TILE, 2)
FR_TILES_OF_GATES(FR_TILE, 3)
FR_TILES_OF_GATES(FR_TILE, 4)

#define FR_TILE_ROW(MR, NP, G) FR_TILE_FITS(MR, NP, G) ? FN(tile_##MR##_##NP##_##G) : NULL,
static FN(tile_fn) *const FN(tiles)[4][FR_MOST_ROWS * 4] = {
    {FR_TILES_OF_GATES(FR_TILE_ROW, 1)},
    {FR_TILES_OF_GATES(FR_TILE_ROW, 2)},
    {FR_TILES_OF_GATES(FR_TILE_ROW, 3)},
    {FR_TILES_OF_GATES(FR_TILE_ROW, 4)},
};
#undef FR_TILE_ROW
#undef FR_TILE

/* Panels of G gates that a tile of many rows takes: a row's operand, read into a register, must serve FR_VECTORS
 * multiply-adds, as a core that another shares has hardly more than three operations a cycle, and two are multiply-adds. */
static int FN(wide_panels)(int G)
{
    int panels = 1;
    while (panels * G < FR_VECTORS)
        panels *= 2;
    return panels;
}

/* The most rows of such a tile. */
static int FN(max_rows)(int G)
{
    int rows = 1;
    while (rows < FR_MOST_ROWS && FR_TILE_FITS(rows + 1, FN(wide_panels)(G), G))
        rows++;
    return rows;
}

/* The most panels, a power of two, for tiles of that many rows. */
static int FN(max_panels)(int rows, int G)
{
    int panels = 8;
    while (panels > 1 && !FR_TILE_FITS(rows, panels, G))
        panels /= 2;
    return panels;
}

static inline FN(tile_fn) *FN(tile_for)(int rows, int panels, int G)
{
    return FN(tiles)[G - 1][(rows - 1) * 4 + __builtin_ctz((unsigned)panels)];
}

/* How n rows are cut into tiles and N panels into groups. */
typedef struct FN(cut) {
    int tiles;
    ptrdiff_t rows;
    int panels;
} FN(cut);

static FN(cut) FN(cut_rows)(ptrdiff_t n, int G)
{
    int most = FN(max_rows)(G);
    FN(cut) cut = {(int)fr_ceil(n, most), n, 0};
    cut.panels = n > 0 ? FN(max_panels)((int)fr_ceil(n, cut.tiles), G) : 1;
    return cut;
}

static inline ptrdiff_t FN(tile_start)(const FN(cut) *cut, int i) { return cut->rows * i / cut->tiles; }

/* The next group of panels: a power of two, at most cut->panels and what is left. */
static inline int FN(group)(const FN(cut) *cut, ptrdiff_t left)
{
    int panels = cut->panels;
    while (panels > left)
        panels /= 2;
    return panels;
}

/* Tiles that go over the weights together: their sums, and a block of the weights, stay in L1. */
enum { FN(TOGETHER) = 5, FN(SUMS) = FN(TOGETHER) * 32 * W };    /* 32 sums of W a tile at most: GRU's 8 units x 4 */

/* The last tile, exclusive, of those that go together with tile i. */
static inline int FN(together)(const FN(cut) *cut, int i)
{
    ptrdiff_t runs = fr_ceil(cut->tiles, FN(TOGETHER));
    return (int)fr_min(i + fr_ceil(cut->tiles, runs), cut->tiles);
}

/* Lets tile i of those that go together fetch its part of `after`: of a block of `panels` panels of G gates, the tiles
 * take turns over the panels, FR_BLOCK lines each. */
static inline void FN(fetch)(FN(product) *p, int i, int panels, int G, const T *after)
{
    enum { LINE = FR_LINE / sizeof(T), BLOCK_LINES = FR_BLOCK * W / LINE };     /* the latter: of a gate */
    const ptrdiff_t line = (ptrdiff_t)(i / panels) * FR_BLOCK;
    p->stride = line < G * BLOCK_LINES ? LINE : 0;
    p->ahead = after + (p->stride ? i % panels * p->panel + line * LINE : 0);
}

/* Adds to the sums z of tiles i0 .. i1-1 the product of their rows, a on, with `panels` panels of G gates, w on. `next`
 * are the panels that come after these. More than one tile take the weights block by block: what the first one has
 * fetched into L1 serves the others, and they fetch the block after it meanwhile. */
static void FN(multiply)(const FN(product) *product, const FN(cut) *cut, int i0, int i1, int panels, int G, const T *a,
                         const T *w, const T *next, T *z)
{
    const ptrdiff_t first = FN(tile_start)(cut, i0), K = product->K;
    ptrdiff_t start[FN(TOGETHER)];
    FN(tile_fn) *tile[FN(TOGETHER)];
    FN(product) p = *product;
    for (int i = i0; i < i1; i++) {
        start[i - i0] = FN(tile_start)(cut, i) - first;
        tile[i - i0] = FN(tile_for)((int)(FN(tile_start)(cut, i + 1) - first - start[i - i0]), panels, G);
    }
    p.ahead = w;
    p.stride = 0;
    if (i1 - i0 == 1) {
        tile[0](&p, a, w, z);
        return;
    }
    for (ptrdiff_t k = 0; k < K; k += FR_BLOCK, p.fresh = 0, p.start = 0) {
        const T *after = k + FR_BLOCK < K ? w + (k + FR_BLOCK) * G * W : next;
        p.K = fr_min(K - k, FR_BLOCK);
        for (int i = 0; i < i1 - i0; i++) {
            FN(fetch)(&p, i, panels, G, after);
            tile[i](&p, a + start[i] * p.lda + k, w + k * G * W, z + start[i] * p.zrow);
        }
    }
}

/* ---- packing ---- */

/* v[i] lane j <-> v[j] lane i. */
FR_INLINE void FN(transpose)(V *v)
{
    V u[W];
#pragma GCC unroll 4
    for (int stage = 1; stage < W; stage *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < W / 2; i++) {
            u[2 * i] = vziplo(v[i], v[i + W / 2]);
            u[2 * i + 1] = vziphi(v[i], v[i + W / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            v[i] = u[i];
    }
}

/* dst[k * stride + lane] = w[lane][k]: W rows of K terms become a panel. Lanes from `rows` on are 0. */
static void FN(pack_columns)(T *dst, ptrdiff_t stride, const T *w, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t K)
{
    for (ptrdiff_t k = 0; k < K; k += W) {
        V v[W];
        ptrdiff_t n = fr_min(K - k, W);
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            v[i] = i < rows ? FN(get)(w + i * ld + k, n) : vset(0);
        FN(transpose)(v);
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            if (i < n)
                vstore(dst + (k + i) * stride, v[i]);
    }
}

/* dst[k][W] = w[k][lane], the first `columns` lanes of K rows; the others are 0. */
static void FN(pack_rows)(T *dst, const T *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t columns)
{
    for (ptrdiff_t k = 0; k < K; k++)
        vstore(dst + k * W, FN(get)(w + k * ld, columns));
}

/* Panels first .. last-1 of N columns of w (K, N), for products over its rows. */
static void FN(pack_row_panels)(T *dst, const T *w, ptrdiff_t K, ptrdiff_t N, ptrdiff_t first, ptrdiff_t last)
{
    for (ptrdiff_t p = first; p < last; p++)
        FN(pack_rows)(dst + p * K * W, w + p * W, N, K, N - p * W);
}

/* ---- large products: rows of a times panels ---- */

/* out[r][n] = product(a[r], panels) for rows r of a panel range. Row r of the result begins at out + row[r] if row is
 * given, else at out + r * ldo. start: (panels*W) values the sums begin at, or NULL. */
typedef struct FN(gemm) {
    const T *a;
    ptrdiff_t lda, K;
    const T *panels;            /* [panel][K][W] */
    ptrdiff_t N;
    const T *start;
    T *out;
    ptrdiff_t ldo;
    const ptrdiff_t *row;
} FN(gemm);

/* Rows outside, panels inside: the rows stay in L2 for all panels; the weights, which are fetched ahead, pass by. */
static void FN(gemm_part)(const FN(gemm) *g, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1)
{
    _Alignas(FR_LINE) T z[FN(SUMS)];
    FN(cut) cut = FN(cut_rows)(r1 - r0, 1);
    FN(product) p = {.K = g->K, .lda = g->lda, .panel = g->K * W, .zpanel = W, .fresh = g->start == NULL};
    for (int i = 0, i1; i < cut.tiles; i = i1) {
        i1 = FN(together)(&cut, i);
        const ptrdiff_t m0 = r0 + FN(tile_start)(&cut, i), m1 = r0 + FN(tile_start)(&cut, i1);
        for (ptrdiff_t panel = p0, np; panel < p1; panel += np) {
            np = FN(group)(&cut, p1 - panel);
            const T *w = g->panels + panel * p.panel;
            p.zrow = np * W;
            if (g->start || g->K == 0)
                for (ptrdiff_t m = 0; m < m1 - m0; m++)
                    for (int j = 0; j < np; j++)
                        vstore(z + m * p.zrow + j * W, g->start ? vload(g->start + (panel + j) * W) : vset(0));
            FN(multiply)(&p, &cut, i, i1, (int)np, 1, g->a + m0 * g->lda, w, w + np * p.panel, z);
            for (ptrdiff_t m = 0; m < m1 - m0; m++) {
                T *out = g->out + (g->row ? g->row[m0 + m] : (m0 + m) * g->ldo);
                for (int j = 0; j < np; j++)
                    FN(put)(out + (panel + j) * W, vload(z + m * p.zrow + j * W), g->N - (panel + j) * W);
            }
        }
    }
}

/* ---- gradients of parameters: sums over rows ---- */

/* For each operand x, dw[j][k] = sum over r of a[r][j] * x_r[k], j < M, k < N, blocks of FR_BLOCK rows, added to what dw
 * holds unless `fresh`; and db[j] the sum of a[r][j]. Faint factors count as +0. */
typedef struct FN(operand) {
    const T *x;
    const ptrdiff_t *row;       /* row r begins at x + row[r] */
    ptrdiff_t N;
    T *dw;
} FN(operand);

typedef struct FN(gradient) {
    const T *a;
    ptrdiff_t lda, M;
    FN(operand) operand[2];     /* N = 0: there is none */
    T *db;                      /* may be NULL */
} FN(gradient);

/* Rows taken at a time: more of them read and write the gradients less often, and the packed operands stay in L2 no longer
 * (docs/performance.md). Whole groups, so that cutting keeps the bits. */
enum { FN(PASS) = 4 * FR_GROUP };

/* Panels of x: panels p0 .. p1-1 of rows r0 .. r0+n-1. */
static void FN(gradient_pack_x)(const FN(operand) *operand, T *panels, ptrdiff_t r0, ptrdiff_t n,
                                ptrdiff_t p0, ptrdiff_t p1)
{
    for (ptrdiff_t r = 0; r < n && p0 < p1; r++) {
        const T *x = operand->x + operand->row[r0 + r];
        for (ptrdiff_t p = p0; p < p1; p++)
            vstore(panels + (p * n + r) * W, FN(unfaint)(FN(get)(x + p * W, operand->N - p * W)));
    }
}

/* Tiles of a gradient: columns of slopes x panels of x. Slopes are packed for the tiles that go together: [row][LEAD]. */
#define FR_GRADIENT_ROWS (FR_REGISTERS >= 16 ? FR_MOST_ROWS : 2)
enum { FN(COLUMNS) = FN(TOGETHER) * FR_GRADIENT_ROWS, FN(LEAD) = (FN(COLUMNS) + W - 1) / W * W };

#define FR_GRADIENT_TILE(NP)                                                                                            \
    static __attribute__((noinline, unused)) void FN(gradient_tile_##NP)(const FN(product) *p, const T *a, const T *w,  \
                                                                         T *z)                                          \
    {                                                                                                                   \
        FN(tile)(FR_GRADIENT_ROWS, NP, 1, p, a, 1, FN(LEAD), w, z);                                                     \
    }
FR_GRADIENT_TILE(1)
FR_GRADIENT_TILE(2)
FR_GRADIENT_TILE(4)
#undef FR_GRADIENT_TILE

/* Columns j0 on of a, as many as go together, over rows r0 .. r0+n-1; the last of a row may be those of others. Rows stand
 * far apart, and no processor foresees such a walk. */
static void FN(gradient_pack)(const FN(gradient) *g, T *packed, ptrdiff_t r0, ptrdiff_t n, ptrdiff_t j0)
{
    enum { AHEAD = 24 };
    const T *a = g->a + r0 * g->lda + j0;
    for (ptrdiff_t r = 0; r < n; r++, a += g->lda) {
        for (ptrdiff_t k = 0; k < FN(LEAD); k += FR_LINE / sizeof(T))
            __builtin_prefetch(a + AHEAD * g->lda + k);
        __builtin_prefetch(a + AHEAD * g->lda + FN(LEAD) - 1);
        for (ptrdiff_t k = 0; k < FN(LEAD); k += W, packed += W) {
            const ptrdiff_t lanes = g->M - j0 - k;
            vstore(packed, lanes > 0 ? FN(unfaint)(FN(get)(a + k, lanes)) : vset(0));
        }
    }
}

/* Packed columns j0 .. j1-1 of a against the panels of an operand, rows r0 .. r0+n-1. What a last tile computes of columns
 * that are not there is dropped. */
static void FN(gradient_columns)(const FN(operand) *operand, const T *panels, const T *packed, ptrdiff_t n, ptrdiff_t j0,
                                 ptrdiff_t j1, int fresh)
{
    enum { MR = FR_GRADIENT_ROWS };
    _Alignas(FR_LINE) T z[FN(COLUMNS) * FR_VECTORS * W];
    const ptrdiff_t N = fr_ceil(operand->N, W);
    FN(product) p = {.panel = n * W, .zpanel = W};
    for (ptrdiff_t panel = 0, np; panel < N; panel += np) {
        for (np = FR_VECTORS; np > N - panel;)
            np /= 2;
        FN(tile_fn) *const tile = np == 4   ? FN(gradient_tile_4)
                                  : np == 2 ? FN(gradient_tile_2) : FN(gradient_tile_1);
        T *dw = operand->dw + j0 * operand->N + panel * W;
        p.zrow = np * W;
        for (ptrdiff_t j = 0; !fresh && j < j1 - j0; j++)
            for (int v = 0; v < np; v++)
                vstore(z + (j * np + v) * W, FN(get)(dw + j * operand->N + v * W, operand->N - (panel + v) * W));
        for (ptrdiff_t r = 0; r < n; r += FR_BLOCK) {
            const T *x = panels + (panel * n + r) * W;
            const T *after = r + FR_BLOCK < n ? x + FR_BLOCK * W : panels + (panel + np) * n * W;
            p.K = fr_min(n - r, FR_BLOCK);
            p.fresh = fresh && r == 0;
            for (ptrdiff_t j = 0; j < j1 - j0; j += MR) {
                FN(fetch)(&p, (int)(j / MR), (int)np, 1, after);
                tile(&p, packed + r * FN(LEAD) + j, x, z + j * p.zrow);
            }
        }
        for (ptrdiff_t j = 0; j < j1 - j0; j++)
            for (int v = 0; v < np; v++)
                FN(put)(dw + j * operand->N + v * W, vload(z + (j * np + v) * W), operand->N - (panel + v) * W);
    }
}

/* Columns j0 .. j1-1 of a, as many as go together at most, against all panels, rows r0 .. r0+n-1. */
static void FN(gradient_part)(const FN(gradient) *g, const T *panels, T *packed, ptrdiff_t r0, ptrdiff_t n,
                              ptrdiff_t j0, ptrdiff_t j1, int fresh)
{
    FN(gradient_pack)(g, packed, r0, n, j0);
    for (int i = 0; i < 2; i++) {
        FN(gradient_columns)(g->operand + i, panels, packed, n, j0, j1, fresh);
        panels += fr_ceil(g->operand[i].N, W) * n * W;
    }
}

/* Vectors of columns at a time, at most: rows stand far apart, so of each as much is read as accumulators can be kept. */
enum { FN(WIDE) = 16 };

static int FN(wide)(ptrdiff_t columns) { return columns >= 16 * W ? 16 : columns >= 4 * W ? 4 : 1; }

FR_INLINE void FN(diagonal_columns)(const int wide, const FN(gradient) *g, ptrdiff_t n, ptrdiff_t j, ptrdiff_t j1, int fresh)
{
    V sum[FN(WIDE)];
    for (int v = 0; v < wide; v++)
        sum[v] = fresh ? vset(0) : FN(get)(g->operand[0].dw + j + v * W, j1 - j - v * W);
    for (ptrdiff_t r0 = 0; r0 < n; r0 += FR_BLOCK) {
        V block[FN(WIDE)];
        for (int v = 0; v < wide; v++)
            block[v] = vset(0);
        for (ptrdiff_t r = r0; r < fr_min(n, r0 + FR_BLOCK); r++)
#pragma GCC unroll 16
            for (int v = 0; v < wide; v++)
                block[v] = vfma(FN(unfaint)(FN(get)(g->a + r * g->lda + j + v * W, j1 - j - v * W)),
                                FN(unfaint)(FN(get)(g->operand[0].x + g->operand[0].row[r] + j + v * W, j1 - j - v * W)), block[v]);
        for (int v = 0; v < wide; v++)
            sum[v] = fresh && r0 == 0 ? block[v] : (V)(sum[v] + block[v]);
    }
    for (int v = 0; v < wide; v++)
        FN(put)(g->operand[0].dw + j + v * W, sum[v], j1 - j - v * W);
}

/* dw[j] = sum over rows r < n of a[r][j] * x_r[j], j0 <= j < j1, blocks of FR_BLOCK rows, added to what dw holds unless
 * `fresh`. */
static void FN(diagonal_gradient)(const FN(gradient) *g, ptrdiff_t n, ptrdiff_t j0, ptrdiff_t j1, int fresh)
{
    for (ptrdiff_t j = j0, wide; j < j1; j += wide * W) {
        wide = FN(wide)(j1 - j);
        if (wide == 16)
            FN(diagonal_columns)(16, g, n, j, j1, fresh);
        else if (wide == 4)
            FN(diagonal_columns)(4, g, n, j, j1, fresh);
        else
            FN(diagonal_columns)(1, g, n, j, j1, fresh);
    }
}

FR_INLINE void FN(bias_columns)(const int wide, const FN(gradient) *g, ptrdiff_t r0, ptrdiff_t n, ptrdiff_t j, ptrdiff_t j1,
                                int fresh)
{
    V sum[FN(WIDE)];
    for (int v = 0; v < wide; v++)
        sum[v] = fresh ? vset(0) : FN(get)(g->db + j + v * W, j1 - j - v * W);
    for (ptrdiff_t g0 = 0; g0 < n; g0 += FR_GROUP) {
        V group[FN(WIDE)], chain[FN(WIDE)];
        for (int v = 0; v < wide; v++)
            group[v] = vset(0);
        for (ptrdiff_t k0 = g0; k0 < fr_min(n, g0 + FR_GROUP); k0 += FR_CHAIN) {
            for (int v = 0; v < wide; v++)
                chain[v] = vset(0);
            for (ptrdiff_t k = k0; k < fr_min(n, k0 + FR_CHAIN); k++)
#pragma GCC unroll 16
                for (int v = 0; v < wide; v++)
                    chain[v] = chain[v] + FN(unfaint)(FN(get)(g->a + (r0 + k) * g->lda + j + v * W, j1 - j - v * W));
            for (int v = 0; v < wide; v++)
                group[v] = group[v] + chain[v];
        }
        for (int v = 0; v < wide; v++)
            sum[v] = sum[v] + group[v];
    }
    for (int v = 0; v < wide; v++)
        FN(put)(g->db + j + v * W, sum[v], j1 - j - v * W);
}

/* db[j0 .. j1-1] over rows r0 .. r0+n-1: chains of rows, groups of chains. */
static void FN(gradient_bias)(const FN(gradient) *g, ptrdiff_t r0, ptrdiff_t n, ptrdiff_t j0, ptrdiff_t j1, int fresh)
{
    for (ptrdiff_t j = j0, wide; j < j1; j += wide * W) {
        wide = FN(wide)(j1 - j);
        if (wide == 16)
            FN(bias_columns)(16, g, r0, n, j, j1, fresh);
        else if (wide == 4)
            FN(bias_columns)(4, g, r0, n, j, j1, fresh);
        else
            FN(bias_columns)(1, g, r0, n, j, j1, fresh);
    }
}
