/* cell_tmpl.h - what a cell is to the time loop: a few tables, and its gate mathematics on the hot tile.
 * Widths and columns are counted in H; offsets of packed weights follow from them (sequence_tmpl.c). */

/* One row of the batch at one step. What a cell reads and writes of it is H wide unless said; pointers that a call has
 * no use for are NULL. */
typedef struct FN(row) {
    const T *x;                 /* I wide */
    const T *h_prev, *c_prev, *r_prev;      /* states before the step */
    T *h, *c, *r;               /* after it; forward out (h is m where the layer projects), backward in */
    const T *rec;               /* operand of the recurrent products: h_prev, or a multiple of it */
    T *rec_next;                /* forward: that of the next step out, or NULL */
    const T *scale;             /* the factors, or NULL */
    const uint8_t *keep[FR_MAX_STATES];
    T *y;                       /* forward: a second copy of h, or NULL */
    T *cached;                  /* blocks of H in the order of cells.py; forward out, backward in; NULL: no tape */
    T *q;                       /* operand of the product in the middle of a step (forward and backward out) */
    const T *dy;                /* added to dh, or NULL */
    T *dh;                      /* the carry in; where the cell is `direct`, what the next carry begins at out */
    T *dc, *dr;                 /* carries of c, in and out, and of r, in */
    T *slopes;                  /* gate gradients out, blocks of H */
    T *m;                       /* backward: o * tanh(c) out, where the layer projects, or NULL */
    T *kept[2];                 /* backward: of dh and dc, what goes to the state before past the cell, or NULL */
    T *past;                    /* backward: what a direct cell left in dh, where the rest is yet to be multiplied */
    T *c_new;                   /* backward: c as the step computed it, where a diagonal has it as operand or it is
                                 * normalised, or NULL */
    T *o, *seen;                /* where c is normalised: forward o, out and in; backward what h sees of c, in; or NULL */
} FN(row);

/* u0 .. u1-1: the units at hand, u0 on a panel. Sums: z[row * zrow + panel * sums * W + sum * W]. */
typedef void FN(point_fn)(const fr_args *args, const FN(row) *rows, ptrdiff_t n, T *z, ptrdiff_t zrow, ptrdiff_t u0,
                          ptrdiff_t u1);

/* A sum of gate gradients: `count` blocks from column block `from` of slopes, against rows from block `weight` of
 * w_hh. */
typedef struct FN(part) {
    signed char count, from, weight;
} FN(part);

/* Gradients: `count` blocks from block `from` of slopes, with an operand, go to rows from block `to` of a weight, and
 * their sums to the same rows of a bias; -1: to none. */
typedef struct FN(rule) {
    signed char count, from, operand, weight, bias, to;
} FN(rule);

/* A weight that multiplies unit by unit: the products of block `from` of slopes with an operand of H units, summed over
 * the rows, are the gradient of its row `to`; where that bit of option 0 is set. */
typedef struct FN(diagonal) {
    signed char from, operand, weight, to;
} FN(diagonal);

typedef struct FN(cell) {
    int gates;                  /* gates with weights; over x all of them, gate g into sum g */
    int sums;                   /* pre-activations a unit */
    int h_gates;                /* gates over h_prev, the first ones of w_hh, and their sums */
    signed char h_to[4];
    int r_gates;                /* gates over r_prev, r_gates * H wide, all rows of w_gg, and their sums */
    signed char r_to[3];
    int mid_gates;              /* gates over q in the middle of the step, the next ones of w_hh, and their sums */
    signed char mid_to[4];
    signed char bias_ih[4], bias_hh[4];     /* sum -> block of the bias it begins at, or -1 */
    int cached, states, slopes; /* blocks a step leaves in the tape; states; gate gradients */
    FN(point_fn) *forward, *forward_mid;
    FN(point_fn) *backward, *backward_mid;  /* the latter with dq in z, one sum */
    FN(point_fn) *forward_late;     /* where c is normalised: h, from what h sees of c in z; */
    FN(point_fn) *recall, *backward_late;   /* c_new again; the gradient of what h sees of c, to z */
    int direct;                 /* the carry begins at what backward left in dh: 1, of h_prev, 2, of rec */
    FN(part) carry[2];          /* the products that make the carry */
    FN(part) mid_carry;         /* the one that makes dq */
    FN(part) r_carry[2];        /* the products that make dr; blocks of rows of w_gg */
    FN(rule) rules[6];          /* gradients of parameters, until count = 0 */
    FN(diagonal) diagonals[3];
} FN(cell);
