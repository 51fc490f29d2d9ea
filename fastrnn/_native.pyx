# cython: language_level=3, binding=True, freethreading_compatible=False
"""The kernels of csrc/: pointers in, the GIL released, status to exception. No numerics, no checks.

Arrays must come as ``_checks`` leaves them: of one dtype, aligned, contiguous but for ``x``, ``y``, ``dy``
and ``dx``, whose last axis alone must be. Nothing here is public.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset


cnp.import_array()

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from "fastrnn.h" nogil:
    enum: FR_MAX_STATES
    enum: FR_MAX_PARAMS
    enum: FR_MAX_OPTIONS
    ctypedef enum fr_status:
        FR_OK
        FR_NO_MEMORY
        FR_INTERRUPTED
        FR_OVERFLOW
    ctypedef enum fr_dtype:
        FR_FLOAT32
        FR_FLOAT64
    ctypedef enum fr_function:
        FR_EXP
        FR_SIGMOID
        FR_TANH
    ctypedef struct fr_view:
        void *data
        ptrdiff_t step
        ptrdiff_t row
    ctypedef struct fr_run:
        int32_t dtype
        int32_t isa
        int32_t threads
        int (*poll)(void *) noexcept nogil
        void *poll_argument
    ctypedef struct fr_args:
        fr_run run
        int32_t cell
        int32_t option[4]
        int32_t reverse
        ptrdiff_t steps
        ptrdiff_t batch
        ptrdiff_t inputs
        ptrdiff_t hidden
        ptrdiff_t outputs
        const int64_t *lengths
        const void *param[8]
        const void *packed
        fr_view x
        const void *state0[2]
        fr_view y
        void *state[2]
        void *tape_state[2]
        void *tape_cached
        fr_view dy
        const void *dstate[2]
        fr_view dx
        void *dstate0[2]
        void *dparam[8]
    ctypedef struct fr_linear_args:
        fr_run run
        ptrdiff_t rows
        ptrdiff_t inputs
        ptrdiff_t outputs
        const void *x
        const void *w
        const void *b
        void *y
        const void *dy
        void *dx
        void *dw
        void *db
    fr_status fr_forward(const fr_args *)
    fr_status fr_backward(const fr_args *)
    size_t fr_packed_size(const fr_args *)
    void fr_pack(const fr_args *, void *)
    void *fr_malloc(size_t)
    void fr_free(void *)
    fr_status fr_linear(const fr_linear_args *)
    fr_status fr_linear_backward(const fr_linear_args *)
    void fr_map(const fr_run *, fr_function, const void *, void *, ptrdiff_t)
    int fr_cell_index(const char *)
    int fr_isa_count()
    const char *fr_isa_name(int)
    int fr_isa_supported(int)
    int fr_default_threads()
    int fr_has_openmp()
    const char *fr_compiler()
    void fr_fail_allocation(long)

FUNCTIONS = {"exp": FR_EXP, "sigmoid": FR_SIGMOID, "tanh": FR_TANH}
ISAS = tuple(fr_isa_name(i).decode() for i in range(fr_isa_count()))
SUPPORTED_ISAS = tuple(name for i, name in enumerate(ISAS) if fr_isa_supported(i))
COMPILER = fr_compiler().decode()
OPENMP = bool(fr_has_openmp())


def default_threads():
    return fr_default_threads()


def fail_allocation(long n):
    """For tests: let the n-th allocation of this thread from now fail."""
    fr_fail_allocation(n)


cdef int poll_signals(void *raised) noexcept nogil:
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            (<list>raised).append(error)
            return 1
    return 0


cdef void *pointer(array) except *:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef void fill_view(fr_view *view, array) except *:
    if array is None:
        return
    cdef ptrdiff_t item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>array)
    view.data = cnp.PyArray_DATA(<cnp.ndarray>array)
    view.step = cnp.PyArray_STRIDE(<cnp.ndarray>array, 0) // item
    view.row = cnp.PyArray_STRIDE(<cnp.ndarray>array, 1) // item


cdef void fill_run(fr_run *run, cnp.ndarray like, int isa, int threads, list raised) except *:
    run.dtype = FR_FLOAT32 if cnp.PyArray_TYPE(like) == cnp.NPY_FLOAT32 else FR_FLOAT64
    run.isa = isa
    run.threads = threads
    run.poll = poll_signals
    run.poll_argument = <void *>raised


cdef void fill_cell(fr_args *a, cell, params, sizes) except *:
    cdef int i
    a.cell = fr_cell_index(cell.name.encode())
    if a.cell < 0:
        raise ValueError(f"{cell!r} has no native kernels (no row {cell.name!r} in cells.def)")
    for i, option in enumerate(cell.native_options):
        a.option[i] = option
    a.inputs, a.hidden, a.outputs = sizes
    for i, name in enumerate(cell.parameters):
        a.param[i] = pointer(params.get(name))


cdef int finish(fr_status status, list raised) except -1:
    if status == FR_NO_MEMORY:
        raise MemoryError("fastrnn: no memory for the workspace of this call")
    if status == FR_OVERFLOW:
        raise MemoryError("fastrnn: the workspace of this call is larger than the address space")
    if status == FR_INTERRUPTED:
        raise raised[0]
    return 0


def forward(cell, params, sizes, *, x, lengths, reverse, state0, y, state, tape_states, cached, packed, isa,
            threads):
    """Fills ``y``, ``state`` and the tape's arrays (``tape_states`` and ``cached`` may be None)."""
    cdef fr_args a
    cdef fr_status status
    cdef list raised = []
    cdef int i
    memset(&a, 0, sizeof(a))
    fill_run(&a.run, x, isa, threads, raised)
    fill_cell(&a, cell, params, sizes)
    a.steps, a.batch = x.shape[0], x.shape[1]
    a.reverse = reverse
    a.lengths = <const int64_t *>pointer(lengths)
    a.packed = pointer(packed)
    fill_view(&a.x, x)
    fill_view(&a.y, y)
    for i in range(len(state)):
        a.state0[i] = pointer(state0[i])
        a.state[i] = pointer(state[i])
        if tape_states is not None:
            a.tape_state[i] = pointer(tape_states[i])
    a.tape_cached = pointer(cached)
    with nogil:
        status = fr_forward(&a)
    finish(status, raised)


def backward(cell, params, sizes, *, x, lengths, reverse, tape_states, cached, dy, dstate, dx, dstate0,
             dparams, isa, threads):
    """Fills ``dx``, ``dstate0`` and the arrays of ``dparams``; ``dy`` and each of ``dstate`` may be None."""
    cdef fr_args a
    cdef fr_status status
    cdef list raised = []
    cdef int i
    memset(&a, 0, sizeof(a))
    fill_run(&a.run, x, isa, threads, raised)
    fill_cell(&a, cell, params, sizes)
    a.steps, a.batch = x.shape[0], x.shape[1]
    a.reverse = reverse
    a.lengths = <const int64_t *>pointer(lengths)
    fill_view(&a.x, x)
    fill_view(&a.dy, dy)
    fill_view(&a.dx, dx)
    for i in range(len(tape_states)):
        a.tape_state[i] = pointer(tape_states[i])
        a.dstate[i] = pointer(dstate[i])
        a.dstate0[i] = pointer(dstate0[i])
    a.tape_cached = pointer(cached)
    for i, name in enumerate(cell.parameters):
        a.dparam[i] = pointer(dparams.get(name))
    with nogil:
        status = fr_backward(&a)
    finish(status, raised)


cdef class Memory:
    """The owner of what fr_malloc gave."""

    cdef void *data

    def __dealloc__(self):
        fr_free(self.data)


cdef bytes_of(size_t size):
    """An array of so many bytes, as the kernels like memory."""
    cdef Memory memory = Memory()
    cdef cnp.npy_intp n = size
    memory.data = fr_malloc(size)
    if memory.data == NULL:
        raise MemoryError("fastrnn: no memory for the packed parameters")
    array = cnp.PyArray_SimpleNewFromData(1, &n, cnp.NPY_UINT8, memory.data)
    cnp.set_array_base(array, memory)
    return array


def pack(cell, params, sizes, *, isa):
    """The parameters laid out for the kernels of one instruction set, as an array of bytes."""
    cdef fr_args a
    cdef size_t size
    memset(&a, 0, sizeof(a))
    fill_run(&a.run, params["w_ih"], isa, 1, None)
    fill_cell(&a, cell, params, sizes)
    size = fr_packed_size(&a)
    packed = bytes_of(size)
    cdef void *to = pointer(packed)
    with nogil:
        fr_pack(&a, to)
    return packed


def linear(x, w, b, y, *, isa, threads):
    """``y = x w^T + b``, x (R, I), w (O, I)."""
    cdef fr_linear_args a
    cdef fr_status status
    cdef list raised = []
    memset(&a, 0, sizeof(a))
    fill_run(&a.run, x, isa, threads, raised)
    a.rows, a.inputs, a.outputs = x.shape[0], x.shape[1], w.shape[0]
    a.x, a.w, a.b, a.y = pointer(x), pointer(w), pointer(b), pointer(y)
    with nogil:
        status = fr_linear(&a)
    finish(status, raised)


def linear_backward(x, w, dy, dx, dw, db, *, isa, threads):
    """Fills ``dx``, ``dw`` and, unless None, ``db``."""
    cdef fr_linear_args a
    cdef fr_status status
    cdef list raised = []
    memset(&a, 0, sizeof(a))
    fill_run(&a.run, x, isa, threads, raised)
    a.rows, a.inputs, a.outputs = x.shape[0], x.shape[1], w.shape[0]
    a.x, a.w, a.dy = pointer(x), pointer(w), pointer(dy)
    a.dx, a.dw, a.db = pointer(dx), pointer(dw), pointer(db)
    with nogil:
        status = fr_linear_backward(&a)
    finish(status, raised)


def map(int function, x, y, *, isa):
    """``y = f(x)`` element by element; both contiguous."""
    cdef fr_run run
    cdef void *source = pointer(x)
    cdef void *target = pointer(y)
    cdef ptrdiff_t n = x.size
    fill_run(&run, x, isa, 1, None)
    cdef ptrdiff_t item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x), done = 0, step = 1 << 22
    while done < n:                 # piece by piece, with a look for signals
        with nogil:
            fr_map(&run, <fr_function>function, <char *>source + done * item, <char *>target + done * item,
                   min(step, n - done))
        done += step
        PyErr_CheckSignals()
