/* lstm_general_tmpl.c - LSTM with all that was added to it or left out: any of the gates i, f, o; f = 1 - i (option 1);
 * peepholes (option 0: bits for i, f, o); gates fed by the gates of the step before, the state r; activations of i, f, g,
 * o and of c; limits of pre-activations (number 0) and of c (number 1). The tape has the pre-activations.
 *
 * Forms: bits 0 to 2, gates i, f, o are there; bit 3, they feed the gates of the next step. */

typedef struct FN(lstm_form) {
    int i, f, g, o;             /* places of the gates, -1: not there */
    int gates, coupled;
    const T *peephole[3];       /* of i, f, o, or NULL */
    V clip, cell_clip;
} FN(lstm_form);

static FN(lstm_form) FN(lstm_form_of)(const fr_args *a)
{
    const int i = a->form & 1, f = a->form >> 1 & 1, o = a->form >> 2 & 1;
    FN(lstm_form) form = {
        .i = i ? 0 : -1, .f = f ? i : -1, .g = i + f, .o = o ? i + f + 1 : -1,
        .gates = i + f + 1 + o, .coupled = a->option[1], .clip = vset((T)a->number[0]), .cell_clip = vset((T)a->number[1]),
    };
    for (int k = 0; k < 3; k++)
        form.peephole[k] = a->option[0] >> k & 1 ? (const T *)a->param[FR_W_PEEPHOLE] + k * a->hidden : NULL;
    return form;
}

/* All that a step computes of W units, from the pre-activations that the tape has. */
typedef struct FN(lstm_unit) {
    V zi, zf, zg, zo;           /* of gates that are there */
    V i, f, g, o, c;
} FN(lstm_unit);

/* From zi, zf and zg to c. */
FR_INLINE void FN(lstm_cell)(const fr_args *a, const FN(lstm_form) *form, V c_prev, FN(lstm_unit) *v)
{
    v->i = form->i >= 0 ? FN(gate)(a->activation + 0, form->clip, v->zi) : vset(1);
    v->f = form->coupled ? (V)(vset(1) - v->i) : form->f >= 0 ? FN(gate)(a->activation + 1, form->clip, v->zf) : vset(1);
    v->g = FN(gate)(a->activation + 2, form->clip, v->zg);
    v->c = FN(flush)(vfma(v->f, c_prev, v->i * v->g));
}

FR_INLINE V FN(lstm_output)(const fr_args *a, const FN(lstm_form) *form, V zo)
{
    return form->o >= 0 ? FN(gate)(a->activation + 3, form->clip, zo) : vset(1);
}

/* The unit again from the tape, up to c, which is returned as the state has it. */
FR_INLINE V FN(lstm_recall)(const fr_args *a, const FN(lstm_form) *form, const FN(row) *row, ptrdiff_t u,
                            ptrdiff_t lanes, FN(lstm_unit) *v)
{
    const T *z = row->cached + u;
    v->zi = form->i >= 0 ? FN(get)(z + form->i * a->hidden, lanes) : vset(0);
    v->zf = form->f >= 0 ? FN(get)(z + form->f * a->hidden, lanes) : vset(0);
    v->zo = form->o >= 0 ? FN(get)(z + form->o * a->hidden, lanes) : vset(0);
    v->zg = FN(get)(z + form->g * a->hidden, lanes);
    FN(lstm_cell)(a, form, FN(get)(row->c_prev + u, lanes), v);
    return FN(clip)(v->c, form->cell_clip);
}

/* The gradient of h, or with a projection of m, into which dy went. */
FR_INLINE V FN(lstm_dh)(const FN(row) *row, ptrdiff_t u, ptrdiff_t lanes)
{
    return row->m ? FN(get)(row->dh + u, lanes) : FN(dh_of)(row, u, lanes);
}

FR_POINT(lstm_general_forward)
{
    const FN(lstm_form) form = FN(lstm_form_of)(args);
    const ptrdiff_t H = args->hidden;
    FR_EACH(row) {
        const T *s = FR_SUMS(row, form.gates);
        const V c_prev = FN(get)(row->c_prev + u, lanes);
        FN(lstm_unit) v;
        v.zi = v.zf = v.zo = vset(0);
        v.zg = vload(s + form.g * W);
        if (form.i >= 0)
            v.zi = vload(s + form.i * W);
        if (form.f >= 0)
            v.zf = vload(s + form.f * W);
        if (form.o >= 0)
            v.zo = vload(s + form.o * W);
        if (form.peephole[0])
            v.zi = vfma(FN(get)(form.peephole[0] + u, lanes), c_prev, v.zi);
        if (form.peephole[1])
            v.zf = vfma(FN(get)(form.peephole[1] + u, lanes), c_prev, v.zf);
        FN(lstm_cell)(args, &form, c_prev, &v);
        const V c = FN(clip)(v.c, form.cell_clip);
        if (form.peephole[2])
            v.zo = vfma(FN(get)(form.peephole[2] + u, lanes), c, v.zo);
        v.o = FN(lstm_output)(args, &form, v.zo);
        FN(put)(row->c + u, c, lanes);
        if (row->o)
            FN(put)(row->o + u, v.o, lanes);
        else
            FN(put_h)(row, u, FN(flush)(v.o * FN(activate)(args->activation + 4, c)), lanes);
        if (row->r) {
            T *next = row->r + u;
            if (form.i >= 0)
                FN(put)(next, FN(flush)(v.i), lanes), next += H;
            if (form.f >= 0)
                FN(put)(next, FN(flush)(v.f), lanes), next += H;
            if (form.o >= 0)
                FN(put)(next, FN(flush)(v.o), lanes);
        }
        if (row->cached) {
            FN(put)(row->cached + form.g * H + u, v.zg, lanes);
            if (form.i >= 0)
                FN(put)(row->cached + form.i * H + u, v.zi, lanes);
            if (form.f >= 0)
                FN(put)(row->cached + form.f * H + u, v.zf, lanes);
            if (form.o >= 0)
                FN(put)(row->cached + form.o * H + u, v.zo, lanes);
        }
    }
}

/* z: what h sees of c. */
FR_POINT(lstm_general_forward_late)
{
    FR_EACH(row) {
        const V t = FN(activate)(args->activation + 4, FN(get)(FR_SUMS(row, 1), lanes));
        FN(put_h)(row, u, FN(flush)(FN(get)(row->o + u, lanes) * t), lanes);
    }
}

FR_POINT(lstm_general_recall)
{
    const FN(lstm_form) form = FN(lstm_form_of)(args);
    FR_EACH(row) {
        FN(lstm_unit) v;
        FN(put)(row->c_new + u, FN(lstm_recall)(args, &form, row, u, lanes, &v), lanes);
    }
}

/* z: the gradient of what h sees of c. */
FR_POINT(lstm_general_backward_late)
{
    const FN(lstm_form) form = FN(lstm_form_of)(args);
    FR_EACH(row) {
        const V y = FN(get)(row->seen + u, lanes), t = FN(activate)(args->activation + 4, y);
        const V zo = form.o >= 0 ? FN(get)(row->cached + form.o * args->hidden + u, lanes) : vset(0);
        const V d = FN(lstm_dh)(row, u, lanes) * FN(lstm_output)(args, &form, zo);
        FN(put)(FR_SUMS(row, 1), FN(flush)(d * FN(slope)(args->activation + 4, y, t)), lanes);
    }
}

FR_POINT(lstm_general_backward)
{
    const FN(lstm_form) form = FN(lstm_form_of)(args);
    const ptrdiff_t H = args->hidden;
    FR_EACH(row) {
        const V c_prev = FN(get)(row->c_prev + u, lanes);
        FN(lstm_unit) v;
        const V c = FN(lstm_recall)(args, &form, row, u, lanes, &v);
        const V seen = row->seen ? FN(get)(row->seen + u, lanes) : c, t = FN(activate)(args->activation + 4, seen);
        v.o = FN(lstm_output)(args, &form, v.zo);
        const V dh = FN(lstm_dh)(row, u, lanes);
        if (row->m)
            FN(put)(row->m + u, FN(flush)(v.o * t), lanes);
        if (row->c_new && !row->seen)
            FN(put)(row->c_new + u, c, lanes);
        V di = vset(0), df = vset(0), dO = vset(0);         /* what the next step's gates left */
        if (row->dr) {
            const T *next = row->dr + u;
            if (form.i >= 0)
                di = FN(get)(next, lanes), next += H;
            if (form.f >= 0)
                df = FN(get)(next, lanes), next += H;
            if (form.o >= 0)
                dO = FN(get)(next, lanes);
        }
        V D = FN(get)(row->dc + u, lanes);      /* where c is normalised, with what comes through h already */
        if (!row->seen)
            D = vfma(dh * v.o, FN(slope)(args->activation + 4, c, t), D);
        if (form.o >= 0) {
            dO = FN(gate_slope)(args->activation + 3, form.clip, v.zo, v.o, vfma(dh, t, dO));
            FN(put)(row->slopes + form.o * H + u, dO, lanes);
        }
        if (form.peephole[2])
            D = vfma(dO, FN(get)(form.peephole[2] + u, lanes), D);
        D = FN(unless_clipped)(v.c, form.cell_clip, D);
        V dc = D * v.f;
        if (form.i >= 0) {
            di = FN(gate_slope)(args->activation, form.clip, v.zi, v.i,
                                vfma(D, form.coupled ? (V)(v.g - c_prev) : v.g, di));
            FN(put)(row->slopes + form.i * H + u, di, lanes);
        }
        if (form.f >= 0) {
            df = FN(gate_slope)(args->activation + 1, form.clip, v.zf, v.f, vfma(D, c_prev, df));
            FN(put)(row->slopes + form.f * H + u, df, lanes);
        }
        FN(put)(row->slopes + form.g * H + u, FN(gate_slope)(args->activation + 2, form.clip, v.zg, v.g, D * v.i),
                lanes);
        if (form.peephole[0])
            dc = vfma(di, FN(get)(form.peephole[0] + u, lanes), dc);
        if (form.peephole[1])
            dc = vfma(df, FN(get)(form.peephole[1] + u, lanes), dc);
        FN(put)(row->dc + u, FN(flush)(dc), lanes);
    }
}

#define FR_LSTM_FORM(i, f, o, feeds)                                                                                    \
    {                                                                                                                   \
        .gates = i + f + 1 + o, .sums = i + f + 1 + o, .h_gates = i + f + 1 + o, .h_to = {0, 1, 2, 3},                  \
        .r_gates = feeds * (i + f + o), .r_to = {0 + (i + f <= 0), 1 + (i + f <= 1), 2 + (i + f <= 2)},                 \
        .bias_ih = {0, 1, 2, 3}, .bias_hh = {0, 1, 2, 3},                                                               \
        .cached = i + f + 1 + o, .states = 2 + feeds, .slopes = i + f + 1 + o,                                          \
        .forward = FN(lstm_general_forward), .backward = FN(lstm_general_backward),                                     \
        .forward_late = FN(lstm_general_forward_late), .recall = FN(lstm_general_recall),                               \
        .backward_late = FN(lstm_general_backward_late),                                                                \
        .carry = {{i + f + 1 + o, 0, 0}},                                                                               \
        .r_carry = {{i + f ? i + f : o, i + f ? 0 : 1, 0}, {i + f ? o : 0, i + f + 1, i + f}},                          \
        .rules = {{i + f + 1 + o, 0, FR_OF_X, FR_W_IH, FR_B_IH, 0}, {i + f + 1 + o, 0, FR_OF_H, FR_W_HH, FR_B_HH, 0},   \
                  {feeds * (i + f ? i + f : o), i + f ? 0 : 1, FR_OF_R, FR_W_GG, -1, 0},                                \
                  {feeds * (i + f ? o : 0), i + f + 1, FR_OF_R, FR_W_GG, -1, i + f}},                                   \
        .diagonals = {{0, FR_OF_C, FR_W_PEEPHOLE, 0}, {i, FR_OF_C, FR_W_PEEPHOLE, 1},                                   \
                      {i + f + 1, FR_OF_C_NEW, FR_W_PEEPHOLE, 2}},                                                      \
    }
static const FN(cell) FN(cell_lstm_general)[] = {
    FR_LSTM_FORM(0, 0, 0, 0), FR_LSTM_FORM(1, 0, 0, 0), FR_LSTM_FORM(0, 1, 0, 0), FR_LSTM_FORM(1, 1, 0, 0),
    FR_LSTM_FORM(0, 0, 1, 0), FR_LSTM_FORM(1, 0, 1, 0), FR_LSTM_FORM(0, 1, 1, 0), FR_LSTM_FORM(1, 1, 1, 0),
    {0},                      FR_LSTM_FORM(1, 0, 0, 1), FR_LSTM_FORM(0, 1, 0, 1), FR_LSTM_FORM(1, 1, 0, 1),
    FR_LSTM_FORM(0, 0, 1, 1), FR_LSTM_FORM(1, 0, 1, 1), FR_LSTM_FORM(0, 1, 1, 1), FR_LSTM_FORM(1, 1, 1, 1),
};
#undef FR_LSTM_FORM
