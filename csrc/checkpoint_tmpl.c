/* checkpoint_tmpl.c - sequences of which the tape keeps every k-th state. Forward runs a segment at a time; backward
 * computes each segment's forward again, with a tape of its own, before it goes back through it.
 *
 * Segment j has the times from j * every on, as many as `every` and as there are; it leads from slot j of the tape to slot
 * j + 1, in reverse the other way round. Past its length a row keeps its state, so the segment in which it ends, or in
 * reverse begins, finds what it needs in its own slots. */

/* Values of a slot of state i. */
static ptrdiff_t FN(slot_size)(const fr_args *a, int i)
{
    const ptrdiff_t width[FR_MAX_STATES] = {a->outputs, a->hidden, FN(cell_of)(a)->r_gates * a->hidden};
    return a->batch * width[i];
}

/* What the segments of a call have in common. */
typedef struct FN(segments) {
    const fr_args *a;
    T *packed;                  /* the forward weights; NULL where the call has them */
    int64_t *lengths;           /* (B): of a segment's rows */
} FN(segments);

static FN(segments) FN(segments_space)(fr_arena *arena, const fr_args *a)
{
    FN(segments) s = {.a = a};
    s.packed = a->packed ? NULL : fr_take(arena, FN(lay_out)(a).size, 1, sizeof(T));
    s.lengths = fr_take(arena, a->batch, 1, sizeof *s.lengths);
    return s;
}

static void FN(pack_segments)(void *argument, int member, int members)
{
    const FN(segments) *s = argument;
    FN(pack_part)(s->a, s->packed, member, members);
}

/* Segment j as a call of its own, without a tape, and with the call's noise. */
static fr_args FN(segment)(const FN(segments) *s, ptrdiff_t j)
{
    const fr_args *a = s->a;
    const ptrdiff_t t0 = j * a->every;
    fr_args part = *a;
    part.every = 0;
    part.steps = fr_min(a->every, a->steps - t0);
    part.x.data = (T *)a->x.data + t0 * a->x.step;
    part.y.data = a->y.data ? (T *)a->y.data + t0 * a->y.step : NULL;
    part.packed = s->packed ? s->packed : a->packed;
    for (int i = 0; i < FN(cell_of)(a)->states; i++) {
        part.state0[i] = (T *)a->tape_state[i] + (j + (a->reverse != 0)) * FN(slot_size)(a, i);
        part.state[i] = (T *)a->tape_state[i] + (j + !a->reverse) * FN(slot_size)(a, i);
        part.tape_state[i] = NULL;
        part.keep[i] = a->keep[i] ? a->keep[i] + t0 * FN(slot_size)(a, i) : NULL;
    }
    for (ptrdiff_t b = 0; a->lengths && b < a->batch; b++)
        s->lengths[b] = fr_max(0, fr_min(a->lengths[b] - t0, part.steps));
    part.lengths = a->lengths ? s->lengths : NULL;
    return part;
}

/* ---- forward ---- */

static fr_status FN(forward_by_segments)(const fr_args *a, int team, fr_window *window)
{
    const ptrdiff_t count = fr_ceil(a->steps, a->every), first = a->reverse ? count : 0, last = a->reverse ? 0 : count;
    fr_arena arena = {NULL, 0, 0};
    fr_status status = FR_OK;
    FN(segments_space)(&arena, a);
    if (arena.overflow)
        return FR_OVERFLOW;
    arena.base = fr_malloc(arena.used);
    if (!arena.base)
        return FR_NO_MEMORY;
    arena.used = 0;
    FN(segments) segments = FN(segments_space)(&arena, a);
    if (segments.packed)
        fr_parallel(team, FN(pack_segments), &segments);
    for (int i = 0; i < FN(cell_of)(a)->states; i++) {
        const ptrdiff_t size = FN(slot_size)(a, i);
        if (a->state0[i])
            memcpy((T *)a->tape_state[i] + first * size, a->state0[i], (size_t)size * sizeof(T));
        else
            memset((T *)a->tape_state[i] + first * size, 0, (size_t)size * sizeof(T));
    }
    for (ptrdiff_t n = 0; n < count && status == FR_OK; n++) {
        const fr_args part = FN(segment)(&segments, a->reverse ? count - 1 - n : n);
        status = FN(forward_steps)(&part, team, window);
    }
    for (int i = 0; i < FN(cell_of)(a)->states; i++) {
        const ptrdiff_t size = FN(slot_size)(a, i);
        memcpy(a->state[i], (T *)a->tape_state[i] + last * size, (size_t)size * sizeof(T));
    }
    fr_free(arena.base);
    return status;
}

static fr_status FN(forward)(const fr_args *a)
{
    const int team = FN(team)(a, 0);
    fr_window window;
    fr_window_open(&window, &a->run);
    return a->every ? FN(forward_by_segments)(a, team, &window) : FN(forward_steps)(a, team, &window);
}

/* ---- backward ---- */

/* The tape as backward reads it: the call's, or that of the segment it is in, computed again. */
typedef struct FN(tape) {
    T *state[FR_MAX_STATES], *cached;
    ptrdiff_t from, to;         /* the times it covers; slots and gates of `from` come first */
    FN(segments) segments;
} FN(tape);

static FN(tape) FN(tape_space)(fr_arena *arena, const fr_args *a)
{
    const ptrdiff_t steps = fr_min(a->every, a->steps);
    FN(tape) tape = {.cached = a->tape_cached, .to = a->steps};
    memcpy(tape.state, a->tape_state, sizeof tape.state);
    if (!a->every)
        return tape;
    for (int i = 0; i < FN(cell_of)(a)->states; i++)
        tape.state[i] = fr_take(arena, steps + 1, FN(slot_size)(a, i), sizeof(T));
    tape.cached = fr_take(arena, steps * a->batch, FN(recorded)(a) * a->hidden, sizeof(T));
    tape.segments = FN(segments_space)(arena, a);
    tape.to = 0;
    return tape;
}

static int FN(covers)(const FN(tape) *tape, ptrdiff_t t) { return tape->from <= t && t < tape->to; }

/* Makes the tape cover time t. */
static fr_status FN(reach)(FN(tape) *tape, ptrdiff_t t, int team, fr_window *window)
{
    if (FN(covers)(tape, t))
        return FR_OK;
    const ptrdiff_t j = t / tape->segments.a->every;
    fr_args part = FN(segment)(&tape->segments, j);
    part.y.data = NULL;
    memset(part.state, 0, sizeof part.state);
    memcpy(part.tape_state, tape->state, sizeof part.tape_state);
    part.tape_cached = tape->cached;
    tape->from = j * tape->segments.a->every;
    tape->to = tape->from + part.steps;
    return FN(forward_steps)(&part, team, window);
}
