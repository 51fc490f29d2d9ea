/* kernels.c - runs every kernel of csrc/ without Python and prints a digest of all it wrote, a line a case.
 *
 *   kernels ISA THREADS
 *
 * Each array ends at an unreadable page, so that one element read or written beyond an end is a fault. The lines do
 * not name the instruction set or the number of threads: they must not depend on them, nor on the machine
 * (tests/aarch64/run compares), nor on how the program was compiled (tests/trust/sanitize). */
#define _GNU_SOURCE
#include "fastrnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static fr_run run;
static size_t element;          /* bytes of one value of run.dtype */
static const char *const dtypes[] = {"f32", "f64"};

static void fail(const char *what)
{
    fprintf(stderr, "kernels: %s\n", what);
    exit(2);
}

/* ---- arrays that end at an unreadable page ---- */

static struct { char *start; size_t bytes; } mapped[128];
static int mappings;

static void *guarded(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page - 1) / page * page;
    char *start = mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + pages, page, PROT_NONE) || mappings == 128)
        fail("no memory");
    mapped[mappings].start = start;
    mapped[mappings++].bytes = pages + page;
    return memset(start + pages - bytes, 0xA5, bytes);
}

static void release(void)
{
    while (mappings > 0) {
        mappings--;
        munmap(mapped[mappings].start, mapped[mappings].bytes);
    }
}

/* ---- values ---- */

static uint64_t random_state;

static uint32_t random_bits(void)       /* xorshift64* (Vigna 2016) */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x2545F4914F6CDD1DULL) >> 32);
}

static void put(void *array, size_t i, double value)
{
    if (run.dtype == FR_FLOAT32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

/* Values in [-scale, scale); now and then a zero of either sign, or one so small that it must be flushed. */
static void *values(ptrdiff_t n, double scale)
{
    void *array = guarded((size_t)n * element);
    for (size_t i = 0; i < (size_t)n; i++) {
        double value = scale * ((double)(random_bits() >> 8) * 0x1p-23 - 1.0);
        switch (random_bits() >> 24) {
        case 0: value = 0.0; break;
        case 1: value = -0.0; break;
        case 2: value *= run.dtype == FR_FLOAT32 ? 0x1p-110 : 0x1p-950; break;
        }
        put(array, i, value);
    }
    return array;
}

/* ---- digests (FNV-1a) ---- */

static uint64_t digest;

static void take(const void *array, ptrdiff_t n)
{
    const unsigned char *bytes = array;
    if (!array)
        return;
    for (size_t i = 0; i < (size_t)n * element; i++)
        digest = (digest ^ bytes[i]) * 0x100000001B3ULL;
}

static void begin(uint64_t seed)
{
    random_state = 0x9E3779B97F4A7C15ULL * (seed + 1);
    digest = 0xCBF29CE484222325ULL;
}

static void check(fr_status status)
{
    if (status != FR_OK)
        fail("a kernel did not return FR_OK");
}

/* ---- cells ---- */

typedef struct variant {
    const char *name;
    int cell, form, option[2], projects;
    int gates, feeds;           /* where the form has fewer than its row of cells.def; those that feed the next step's */
    int normalised;
    double number[2];
    fr_activation activation[5];
} variant;

#define SIGMOID {FR_ACTIVATION_sigmoid, 0, 0}
#define TANH {FR_ACTIVATION_tanh, 0, 0}
#define GATED {SIGMOID, SIGMOID, TANH, SIGMOID, TANH}

static const variant variants[] = {
    {.name = "rnn-tanh", .cell = FR_CELL_rnn},
    {.name = "rnn-relu", .cell = FR_CELL_rnn, .option = {1}},
#define FR_ACTIVATION(row) \
    {.name = "rnn-" #row "-clip", .cell = FR_CELL_rnn_general, .number = {0.9}, \
     .activation = {{FR_ACTIVATION_##row, 0.3, 0.6}}},
#include "activations.def"
#undef FR_ACTIVATION
    {.name = "lstm", .cell = FR_CELL_lstm},
    {.name = "lstm-proj", .cell = FR_CELL_lstm, .projects = 1},
    {.name = "gru", .cell = FR_CELL_gru},
    {.name = "gru-before", .cell = FR_CELL_gru_before},
    {.name = "lstm-peepholes", .cell = FR_CELL_lstm_general, .form = 7, .option = {7}, .number = {1.5, 0.6},
     .activation = GATED},
    {.name = "lstm-coupled-proj", .cell = FR_CELL_lstm_general, .form = 5, .option = {5, 1}, .projects = 1, .gates = 3,
     .number = {1.5, 0.6}, .activation = GATED},
    {.name = "lstm-feeding", .cell = FR_CELL_lstm_general, .form = 15, .option = {7}, .feeds = 3, .number = {3, 9},
     .activation = GATED},
    {.name = "gru-clip", .cell = FR_CELL_gru_general, .number = {0.9}, .activation = {SIGMOID, SIGMOID, TANH}},
    {.name = "gru-before-clip", .cell = FR_CELL_gru_general, .form = 1, .number = {0.9},
     .activation = {SIGMOID, SIGMOID, TANH}},
    {.name = "mgu", .cell = FR_CELL_mgu, .number = {9}, .activation = {SIGMOID, TANH}},
    {.name = "indrnn", .cell = FR_CELL_indrnn, .option = {1}, .number = {9}, .activation = {TANH}},
    {.name = "mingru", .cell = FR_CELL_mingru, .number = {9}, .activation = {SIGMOID, TANH}},
    {.name = "minlstm", .cell = FR_CELL_minlstm, .number = {9}, .activation = {SIGMOID, SIGMOID, TANH}},
    {.name = "rnn-norm", .cell = FR_CELL_rnn, .normalised = 1},
    {.name = "gru-norm", .cell = FR_CELL_gru, .normalised = 1},
    {.name = "lstm-norm", .cell = FR_CELL_lstm_general, .form = 7, .normalised = 1, .number = {9, 9}, .activation = GATED},
    {.name = "lstm-feeding-norm-proj", .cell = FR_CELL_lstm_general, .form = 15, .option = {7}, .feeds = 3,
     .projects = 1, .normalised = 1, .number = {1.5, 0.6}, .activation = GATED},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static const struct { int gates, cached, states; const char *params; } facts[] = {
#define FR_CELL(name, gates, cached, states, params) {gates, cached, states, params},
#include "cells.def"
#undef FR_CELL
};

typedef struct shape {
    ptrdiff_t T, B, I, H;
    int reverse, ragged, biases;
} shape;

/* A call, with all its arrays. */
typedef struct call {
    fr_args a;
    ptrdiff_t width[FR_MAX_STATES], size[FR_PARAMS];    /* of the states; of the parameters, 0 where there is none */
    int states;
    ptrdiff_t cached;                           /* values a row's step leaves in the tape */
} call;

static call make_call(const variant *v, shape s)
{
    const int gates = v->gates ? v->gates : facts[v->cell].gates, recurrent = strstr(facts[v->cell].params, "w_hh") != NULL;
    const int cached = v->gates ? v->gates : facts[v->cell].cached;
    const ptrdiff_t P = v->projects ? s.H / 2 + 1 : s.H, H = s.H, GH = gates * H, R = v->feeds * H;
    const ptrdiff_t norm = v->normalised ? GH : 0, norm_c = v->normalised && v->cell == FR_CELL_lstm_general ? H : 0;
    call c = {.a = {.run = run, .cell = v->cell, .form = v->form, .epsilon = 1e-5, .reverse = s.reverse, .steps = s.T,
                    .batch = s.B, .inputs = s.I, .hidden = H, .outputs = P},
              .width = {P, H, R},
              .size = {[FR_W_IH] = GH * s.I, [FR_W_HH] = v->cell == FR_CELL_indrnn ? H : recurrent * GH * P,
                       [FR_B_IH] = s.biases * GH, [FR_B_HH] = s.biases * recurrent * GH, [FR_W_HR] = v->projects * P * H,
                       [FR_W_PEEPHOLE] = v->cell == FR_CELL_lstm_general && v->option[0] ? 3 * H : 0,
                       [FR_W_GG] = R * R, [FR_W_LN_IH] = norm, [FR_W_LN_HH] = norm, [FR_W_LN_C] = norm_c,
                       [FR_B_LN_C] = s.biases * norm_c},
              .states = facts[v->cell].states - (v->cell == FR_CELL_lstm_general && !v->feeds),
              .cached = cached * H + 2 * norm};
    memcpy(c.a.option, v->option, sizeof v->option);
    memcpy(c.a.number, v->number, sizeof v->number);
    memcpy(c.a.activation, v->activation, sizeof v->activation);
    if (s.ragged) {
        int64_t *lengths = guarded((size_t)s.B * sizeof *lengths);
        for (ptrdiff_t b = 0; b < s.B; b++)
            lengths[b] = (int64_t)(random_bits() % (uint64_t)(s.T + 1));
        c.a.lengths = lengths;
    }
    for (int i = 0; i < FR_PARAMS; i++)
        if (c.size[i]) {
            c.a.param[i] = values(c.size[i], 0.5);
            c.a.dparam[i] = guarded((size_t)c.size[i] * element);
        }
    c.a.x = (fr_view){values(s.T * s.B * s.I, 2.0), s.B * s.I, s.I};
    c.a.y = (fr_view){guarded((size_t)(s.T * s.B * P) * element), s.B * P, P};
    c.a.dy = (fr_view){values(s.T * s.B * P, 1.0), s.B * P, P};
    c.a.dx = (fr_view){guarded((size_t)(s.T * s.B * s.I) * element), s.B * s.I, s.I};
    for (int i = 0; i < c.states; i++) {
        c.a.state0[i] = values(s.B * c.width[i], 1.0);
        c.a.dstate[i] = values(s.B * c.width[i], 1.0);
        c.a.state[i] = guarded((size_t)(s.B * c.width[i]) * element);
        c.a.dstate0[i] = guarded((size_t)(s.B * c.width[i]) * element);
        c.a.step_dstate[i] = guarded((size_t)((s.T + 1) * s.B * c.width[i]) * element);
    }
    return c;
}

static void give_tape(call *c)
{
    fr_args *a = &c->a;
    for (int i = 0; i < c->states; i++)
        a->tape_state[i] = values((a->steps + 1) * a->batch * c->width[i], 0.0);
    if (c->cached)
        a->tape_cached = guarded((size_t)(a->steps * a->batch * c->cached) * element);
}

/* Factors of h; what h keeps, drawn; the part that c keeps. */
static void give_noise(call *c)
{
    fr_args *a = &c->a;
    const ptrdiff_t n = a->steps * a->batch * c->width[0];
    uint8_t *keep = guarded((size_t)n);
    for (ptrdiff_t i = 0; i < n; i++)
        keep[i] = random_bits() >> 24 < 64;
    a->recurrent = values(a->batch * a->outputs, 2.0);
    a->keep[0] = keep;
    a->zoneout[0] = 0.25;
    a->zoneout[1] = c->states > 1 ? 0.4 : 0.0;
}

static void take_forward(const call *c)
{
    const fr_args *a = &c->a;
    take(a->y.data, a->steps * a->batch * a->outputs);
    for (int i = 0; i < c->states; i++) {
        take(a->state[i], a->batch * c->width[i]);
        if (a->tape_state[i])
            take(a->tape_state[i], (a->steps + 1) * a->batch * c->width[i]);
    }
    if (a->tape_cached)
        take(a->tape_cached, a->steps * a->batch * c->cached);
}

static void take_backward(const call *c)
{
    const fr_args *a = &c->a;
    take(a->dx.data, a->steps * a->batch * a->inputs);
    for (int i = 0; i < c->states; i++) {
        take(a->dstate0[i], a->batch * c->width[i]);
        take(a->step_dstate[i], (a->steps + 1) * a->batch * c->width[i]);
    }
    for (int i = 0; i < FR_PARAMS; i++)
        take(a->dparam[i], c->size[i]);
}

/* Both passes with a tape of every `every`-th state: what backward gives with all of it. */
static void run_checkpoints(call *c, ptrdiff_t every)
{
    fr_args *a = &c->a;
    const uint64_t before = digest;
    uint64_t digests[2];
    for (int kept = 0; kept < 2; kept++) {
        if (kept) {
            a->every = every;
            a->tape_cached = NULL;
            for (int i = 0; i < c->states; i++)
                a->tape_state[i] = guarded((size_t)(((a->steps + every - 1) / every + 1) * a->batch * c->width[i])
                                           * element);
            check(fr_forward(a));
        }
        check(fr_backward(a));
        digest = before;
        take(a->y.data, a->steps * a->batch * a->outputs);
        for (int i = 0; i < c->states; i++)
            take(a->state[i], a->batch * c->width[i]);
        take_backward(c);
        digests[kept] = digest;
    }
    if (digests[0] != digests[1])
        fail("a tape of some states differs from one of all");
}

static void run_cell(const variant *v, shape s, uint64_t seed)
{
    begin(seed);
    call c = make_call(v, s);
    if (seed % 2)
        give_noise(&c);
    check(fr_forward(&c.a));                            /* without a tape */
    take_forward(&c);
    give_tape(&c);
    void *packed = aligned_alloc(64, (fr_packed_size(&c.a) + 63) / 64 * 64);
    fr_pack(&c.a, packed);
    c.a.packed = packed;
    check(fr_forward(&c.a));                            /* with one, and with packed weights */
    free(packed);
    c.a.packed = NULL;
    take_forward(&c);
    run_checkpoints(&c, 1 + (ptrdiff_t)(seed % 5) * (ptrdiff_t)(seed % 7));
    printf("%s %s T=%td B=%td I=%td H=%td%s%s%s %016llx\n", dtypes[run.dtype], v->name, s.T, s.B, s.I, s.H,
           s.reverse ? " reverse" : "", s.ragged ? " ragged" : "", s.biases ? "" : " no-bias",
           (unsigned long long)digest);
    release();
}

/* Two calls at once, and in windows of a step: what each of them gives alone. */
static void run_pair(const variant *v, shape s, uint64_t seed)
{
    fr_status (*const passes[])(const fr_args *) = {fr_forward, fr_backward};
    fr_status (*const both[])(const fr_args *, const fr_args *) = {fr_forward_both, fr_backward_both};
    uint64_t digests[2];
    for (int at_once = 0; at_once < 2; at_once++) {
        call calls[2];
        begin(seed);
        fr_limit_windows(at_once ? 1 : 0);
        for (int i = 0; i < 2; i++) {
            s.reverse = i;
            calls[i] = make_call(v, s);
            give_tape(&calls[i]);
        }
        for (int pass = 0; pass < 2; pass++)
            if (at_once)
                check(both[pass](&calls[0].a, &calls[1].a));
            else
                for (int i = 0; i < 2; i++)
                    check(passes[pass](&calls[i].a));
        for (int i = 0; i < 2; i++) {
            take_forward(&calls[i]);
            take_backward(&calls[i]);
        }
        digests[at_once] = digest;
        release();
    }
    fr_limit_windows(0);
    if (digests[0] != digests[1])
        fail("two calls at once differ from one after the other");
    printf("%s %s pair %016llx\n", dtypes[run.dtype], v->name, (unsigned long long)digest);
}

/* ---- memory ---- */

/* Large pieces are aligned, apart, as large as they should be, and kept within the limit. */
static void run_memory(void)
{
    enum { PIECES = 100 };      /* more than are kept */
    const size_t each = FR_KEPT_FROM + 12345;
    unsigned char *memory[PIECES];
    fr_keep_memory(10 * each);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PIECES; i++) {
            memory[i] = fr_malloc(each + (size_t)i * 4096);
            if (!memory[i] || (uintptr_t)memory[i] % 64 != 0)
                fail("no memory, or not aligned");
            memset(memory[i], i, each + (size_t)i * 4096);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < each + (size_t)i * 4096; k += 1021)
                if (memory[i][k] != i)
                    fail("pieces of memory overlap");
            fr_free(memory[i]);
        }
        if (fr_kept_memory() > 10 * each)
            fail("more memory is kept than the limit allows");
    }
    fr_free(NULL);
    fr_keep_memory(0);
    if (fr_kept_memory() != 0)
        fail("memory is kept though none should be");
    fr_keep_memory((size_t)256 << 20);
    puts("memory");
}

/* ---- linear layers and functions ---- */

static void run_linear(ptrdiff_t rows, ptrdiff_t inputs, ptrdiff_t outputs, uint64_t seed)
{
    begin(seed);
    fr_linear_args a = {.run = run, .rows = rows, .inputs = inputs, .outputs = outputs,
                        .x = values(rows * inputs, 2.0), .w = values(outputs * inputs, 0.5), .b = values(outputs, 1.0),
                        .y = guarded((size_t)(rows * outputs) * element), .dy = values(rows * outputs, 1.0),
                        .dx = guarded((size_t)(rows * inputs) * element),
                        .dw = guarded((size_t)(outputs * inputs) * element), .db = guarded((size_t)outputs * element)};
    check(fr_linear(&a));
    check(fr_linear_backward(&a));
    take(a.y, rows * outputs);
    take(a.dx, rows * inputs);
    take(a.dw, outputs * inputs);
    take(a.db, outputs);
    printf("%s linear R=%td I=%td O=%td %016llx\n", dtypes[run.dtype], rows, inputs, outputs,
           (unsigned long long)digest);
    release();
}

static void run_map(fr_function f, ptrdiff_t n, double scale)
{
    begin((uint64_t)n);
    const void *in = values(n, scale);
    void *out = guarded((size_t)n * element);
    fr_map(&run, f, in, out, n);
    take(out, n);
    printf("%s map %d n=%td scale=%g %016llx\n", dtypes[run.dtype], (int)f, n, scale, (unsigned long long)digest);
    release();
}

/* Sizes around the lanes of every vector width; then those that take every blocking, chunk and sharing path. */
static const int edges[] = {1, 3, 7, 8, 9, 15, 16, 17, 33};
enum { EDGES = sizeof edges / sizeof *edges };
static const int batches[] = {1, 2, 3, 5, 6, 13, 15};
enum { BATCHES = sizeof batches / sizeof *batches };

static const shape larger[] = {
    {70, 1, 5, 9, 0, 0, 1},     {70, 1, 5, 9, 1, 0, 1},     {9, 2, 130, 131, 0, 0, 1}, {5, 16, 257, 40, 1, 1, 1},
    {33, 9, 3, 20, 0, 1, 1},    {300, 2, 4, 5, 1, 1, 0},    {20, 40, 7, 11, 0, 1, 1},  {2, 3, 6, 520, 0, 0, 1},
    {3, 14, 40, 300, 1, 1, 0},  {1, 1, 1, 1, 0, 0, 1},      {4, 4, 0, 5, 0, 0, 1},
    {0, 3, 4, 5, 0, 0, 1},      {3, 0, 4, 5, 1, 1, 1},      {2, 1100, 3, 9, 0, 0, 1},
};

int main(int argc, char **argv)
{
    if (argc != 3)
        fail("usage: kernels ISA THREADS");
    run.isa = -1;
    run.threads = atoi(argv[2]);
    for (int i = 0; i < fr_isa_count(); i++)
        if (!strcmp(argv[1], fr_isa_name(i)) && fr_isa_supported(i))
            run.isa = i;
    if (run.isa < 0)
        fail("this machine does not have that instruction set");

    run_memory();
    for (run.dtype = 0; run.dtype < FR_DTYPES; run.dtype++) {
        uint64_t n = 0;
        element = run.dtype == FR_FLOAT32 ? sizeof(float) : sizeof(double);
        for (int v = 0; v < VARIANTS; v++) {
            for (int h = 0; h < EDGES; h++)
                for (int i = 0; i < EDGES; i++, n++)
                    run_cell(&variants[v], (shape){1 + (ptrdiff_t)(n % 4), batches[n % BATCHES], edges[i], edges[h],
                                                   n % 2 == 1, n % 3 == 1, n % 5 != 1}, n);
            for (size_t i = 0; i < sizeof larger / sizeof *larger; i++, n++)
                run_cell(&variants[v], larger[i], n);
        }
        for (int v = 0; v < VARIANTS; v++) {
            run_pair(&variants[v], (shape){30, 3, 20, 40, 0, 1, 1}, n++);
            run_pair(&variants[v], (shape){60, 1, 70, 33, 0, 0, 1}, n++);
        }
        for (int i = 0; i < EDGES; i++)
            for (int o = 0; o < EDGES; o++, n++)
                run_linear(batches[n % BATCHES], edges[i], edges[o], n);
        run_linear(700, 33, 70, 1);
        run_linear(2500, 5, 70, 4);         /* several passes of the gradient */
        run_linear(3, 700, 260, 2);
        run_linear(0, 3, 4, 3);
        for (int f = 0; f < FR_FUNCTIONS; f++) {
            for (int i = 0; i < EDGES; i++)
                run_map((fr_function)f, edges[i], 8.0);
            run_map((fr_function)f, 100003, 1.0);
            run_map((fr_function)f, 100003, 30.0);
            run_map((fr_function)f, 100003, 2000.0);
        }
    }
    return 0;
}
