/* cells_tmpl.c - the cells by their numbers. */

static const FN(cell) *const FN(cells)[FR_CELLS] = {
#define FR_CELL(name, gates, cached, states, params) FN(cell_##name),
#include "cells.def"
#undef FR_CELL
};

static const FN(cell) *FN(cell_of)(const fr_args *a) { return FN(cells)[a->cell] + a->form; }

/* What sum s of units u .. u+W-1 begins at: its biases. */
static V FN(bias)(const fr_args *a, int s, ptrdiff_t u)
{
    const FN(cell) *cell = FN(cell_of)(a);
    const ptrdiff_t H = a->hidden;
    const T *b_ih = a->param[FR_B_IH], *b_hh = a->param[FR_B_HH];
    const int ih = b_ih ? cell->bias_ih[s] : -1, hh = b_hh ? cell->bias_hh[s] : -1;
    const V one = ih >= 0 ? FN(get)(b_ih + ih * H + u, H - u) : vset(0);
    const V other = hh >= 0 ? FN(get)(b_hh + hh * H + u, H - u) : vset(0);
    return ih >= 0 && hh >= 0 ? (V)(one + other) : ih >= 0 ? one : other;
}
