# cython: language_level=3, binding=True, freethreading_compatible=False
"""The kernels of csrc/: pointers in, the GIL released, status to exception. No numerics, no checks.

Arrays must come as ``_checks`` leaves them: of one dtype, aligned, contiguous but for ``x``, ``y``, ``dy``
and ``dx``, whose last axis alone must be. `Layers` alone looks whether they do. Nothing here is public.
"""

import math
import os
import threading

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset


cnp.import_array()

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    unsigned long PyThread_get_thread_ident() nogil
    void *PyErr_Occurred()
    int PyErr_CheckSignals() noexcept

cdef extern from "fastrnn.h" nogil:
    enum: FR_MAX_STATES
    enum: FR_KEPT_FROM
    enum: FR_PARAMS
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
        FR_ELU
        FR_SOFTPLUS
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
    ctypedef struct fr_activation:
        int32_t kind
        double alpha
        double beta
    ctypedef struct fr_args:
        fr_run run
        int32_t cell
        int32_t form
        int32_t *option
        double *number
        fr_activation *activation
        int32_t reverse
        ptrdiff_t every
        ptrdiff_t steps
        ptrdiff_t batch
        ptrdiff_t inputs
        ptrdiff_t hidden
        ptrdiff_t outputs
        const int64_t *lengths
        const void **param
        const void *recurrent
        double epsilon
        double *zoneout
        const uint8_t **keep
        const void *packed
        fr_view x
        const void **state0
        fr_view y
        void **state
        void **tape_state
        void *tape_cached
        fr_view dy
        const void **dstate
        fr_view dx
        void **dstate0
        void **step_dstate
        void **dparam
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
    fr_status fr_forward_both(const fr_args *, const fr_args *)
    fr_status fr_backward_both(const fr_args *, const fr_args *)
    size_t fr_packed_size(const fr_args *)
    void fr_pack(const fr_args *, void *)
    void *fr_malloc(size_t)
    void fr_free(void *)
    fr_status fr_linear(const fr_linear_args *)
    fr_status fr_linear_backward(const fr_linear_args *)
    void fr_map(const fr_run *, fr_function, const void *, void *, ptrdiff_t)
    int fr_cell_index(const char *)
    int fr_param_index(const char *)
    int fr_isa_count()
    const char *fr_isa_name(int)
    int fr_isa_supported(int)
    int fr_default_threads()
    int fr_has_openmp()
    const char *fr_compiler()
    void fr_fail_allocation(long)
    void fr_limit_windows(double)
    void fr_keep_memory(size_t)
    size_t fr_kept_memory()

FUNCTIONS = {"exp": FR_EXP, "sigmoid": FR_SIGMOID, "tanh": FR_TANH, "elu": FR_ELU, "softplus": FR_SOFTPLUS}
ISAS = tuple(fr_isa_name(i).decode() for i in range(fr_isa_count()))
SUPPORTED_ISAS = tuple(name for i, name in enumerate(ISAS) if fr_isa_supported(i))
COMPILER = fr_compiler().decode()
OPENMP = bool(fr_has_openmp())


def default_threads():
    return fr_default_threads()


def fail_allocation(long n):
    """For tests: let the n-th allocation of this thread from now fail."""
    fr_fail_allocation(n)


def limit_windows(double flops):
    """For tests: cut the calls of this thread into windows of so many operations; 0: as the clock says."""
    fr_limit_windows(flops)


def keep_memory(size_t size):
    """Keep so many bytes of large memory at most that were given back."""
    fr_keep_memory(size)


def kept_memory():
    return fr_kept_memory()


cdef unsigned long main_thread = threading.main_thread().ident


def _learn_main_thread():
    global main_thread
    main_thread = PyThread_get_thread_ident()


os.register_at_fork(after_in_child=_learn_main_thread)


cdef int poll_signals(void *argument) noexcept nogil:
    """Not 0 where a signal's handler raised; the error stands in this thread, and `finish` lets it go up."""
    with gil:
        return PyErr_CheckSignals()


cdef void set_poll(fr_run *run) noexcept:
    """Handlers of signals run in the main thread alone; in others a look would cost a wait for the GIL."""
    run.poll = NULL
    if PyThread_get_thread_ident() == main_thread:
        run.poll = poll_signals


cdef void *pointer(array) except *:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef void fill_view(fr_view *view, array) except *:
    if array is None:
        return
    cdef ptrdiff_t item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>array)
    view.data = cnp.PyArray_DATA(<cnp.ndarray>array)
    view.step = cnp.PyArray_STRIDE(<cnp.ndarray>array, 0) // item
    view.row = cnp.PyArray_STRIDE(<cnp.ndarray>array, 1) // item


cdef void fill_run(fr_run *run, cnp.ndarray like, int isa, int threads) except *:
    run.dtype = FR_FLOAT32 if cnp.PyArray_TYPE(like) == cnp.NPY_FLOAT32 else FR_FLOAT64
    run.isa = isa
    run.threads = threads
    set_poll(run)


cdef int finish(fr_status status) except -1:
    if status != FR_OK and PyErr_Occurred() != NULL:    # a signal's handler raised: that comes first
        return -1
    if status == FR_NO_MEMORY:
        raise MemoryError("fastrnn: no memory for the workspace of this call")
    if status == FR_OVERFLOW:
        raise MemoryError("fastrnn: the workspace of this call is larger than the address space")
    return 0


cdef class Memory:
    """Memory as the kernels like it, and its owner."""

    cdef void *data

    def __cinit__(self, size_t size):
        self.data = fr_malloc(size)
        if self.data == NULL:
            raise MemoryError(f"fastrnn: no memory for {size} bytes")

    def __dealloc__(self):
        fr_free(self.data)


def empty(tuple shape, dtype):
    """An array, not initialised; a large one in memory that is kept for the next when it is given back."""
    cdef cnp.npy_intp sizes[4]
    cdef int i
    count = math.prod(shape)
    bytes = count * dtype.itemsize
    if not FR_KEPT_FROM <= bytes < PY_SSIZE_T_MAX:
        return np.empty(shape, dtype)
    cdef Memory memory = Memory(bytes)
    for i in range(len(shape)):
        sizes[i] = shape[i]
    array = cnp.PyArray_SimpleNewFromData(len(shape), sizes, (<cnp.dtype>dtype).num, memory.data)
    cnp.set_array_base(array, memory)
    return array


cdef class Call:
    """A cell over a sequence in one direction, forward or backward: what the kernels take, and its owners."""

    cdef fr_args args
    cdef bint back
    cdef object owners


def run(Call call, Call other=None):
    """Run a call, or two at once, both forward or both backward, that have nothing to do with each other."""
    cdef fr_status status
    with nogil:
        if other is None:
            status = fr_backward(&call.args) if call.back else fr_forward(&call.args)
        elif call.back:
            status = fr_backward_both(&call.args, &other.args)
        else:
            status = fr_forward_both(&call.args, &other.args)
    finish(status)


cdef class Bound:
    """A cell bound to its parameters and an instruction set: what calls have in common.

    A call copies it and adds its own arrays, so that calls may run at the same time.
    """

    cdef fr_args common
    cdef double products        # multiply-adds of a row's step
    cdef object owners          # of the memory that `common` points to
    cdef tuple live             # the parameters in use, where they are not packed
    cdef const void *data[FR_PARAMS]
    cdef cnp.npy_intp size[FR_PARAMS]

    def __init__(self, cell, params, sizes, *, isa, packed=False):
        """`packed`: lay the parameters out for the kernels, once for all calls of `forward`."""
        cdef fr_args *a = &self.common
        cdef int i
        fill_run(&a.run, params["w_ih"], isa, 1)
        a.cell = fr_cell_index(cell.name.encode())
        if a.cell < 0:
            raise ValueError(f"{cell!r} has no native kernels (no row {cell.name!r} in cells.def)")
        a.form = cell.native_form
        for i, option in enumerate(cell.native_options):
            a.option[i] = option
        a.epsilon = cell.layer_norm_eps
        for i, part in enumerate(cell.zoneout):
            a.zoneout[i] = part
        for i, number in enumerate(cell.native_numbers):
            a.number[i] = number
        for i, (kind, alpha, beta) in enumerate(cell.native_activations):
            a.activation[i].kind, a.activation[i].alpha, a.activation[i].beta = kind, alpha, beta
        a.inputs, a.hidden, a.outputs = sizes
        for name, array in params.items():
            a.param[fr_param_index(name.encode())] = pointer(array)
            self.products += cnp.PyArray_SIZE(<cnp.ndarray>array)
        self.owners = params, self.pack() if packed else None
        self.live = () if packed else tuple(params.values())
        for i in range(len(self.live)):
            self.data[i] = cnp.PyArray_DATA(<cnp.ndarray>self.live[i])
            self.size[i] = cnp.PyArray_SIZE(<cnp.ndarray>self.live[i])

    cdef bint stands(self) noexcept:
        """Whether the parameters are where they were: NumPy's arrays can be given other memory."""
        cdef Py_ssize_t i
        for i in range(len(self.live)):
            if (cnp.PyArray_DATA(<cnp.ndarray>self.live[i]) != self.data[i]
                    or cnp.PyArray_SIZE(<cnp.ndarray>self.live[i]) != self.size[i]):
                return False
        return True

    cdef Memory pack(self):
        cdef Memory memory = Memory(fr_packed_size(&self.common))
        with nogil:
            fr_pack(&self.common, memory.data)
        self.common.packed = memory.data
        return memory

    cdef Call call(self, bint back, x, lengths, bint reverse, noise, every, int threads):
        cdef Call call = Call()
        cdef fr_args *a = &call.args
        cdef int i
        a[0] = self.common
        set_poll(&a.run)
        a.run.threads = threads
        a.steps, a.batch = x.shape[0], x.shape[1]
        a.reverse = reverse
        a.every = 0 if every is None else every
        a.lengths = <const int64_t *>pointer(lengths)
        fill_view(&a.x, x)
        if noise is not None:
            a.recurrent = pointer(noise.recurrent)
            for i, keep in enumerate(noise.zoneout or ()):
                a.keep[i] = <const uint8_t *>pointer(keep)
        call.back = back
        return call

    def forward(self, *, x, lengths, reverse, noise, every, state0, y, state, tape_states, cached, threads):
        """A call that fills ``y``, ``state`` and the tape's arrays, which may be None."""
        cdef Call call = self.call(False, x, lengths, reverse, noise, every, threads)
        cdef fr_args *a = &call.args
        cdef int i
        fill_view(&a.y, y)
        for i in range(len(state)):
            a.state0[i] = pointer(state0[i])
            a.state[i] = pointer(state[i])
            if tape_states is not None:
                a.tape_state[i] = pointer(tape_states[i])
        a.tape_cached = pointer(cached)
        call.owners = self, x, lengths, noise, state0, y, state, tape_states, cached
        return call

    def backward(self, *, x, lengths, reverse, noise, every, tape_states, cached, dy, dstate, dx, dstate0,
                 dparams, step_dstate, threads):
        """A call that fills ``dx``, ``dstate0``, ``dparams``, by name, and ``step_dstate``.

        All but ``x``, the tape, ``dx`` and ``dparams`` may be None, or hold None.
        """
        cdef Call call = self.call(True, x, lengths, reverse, noise, every, threads)
        cdef fr_args *a = &call.args
        cdef int i
        fill_view(&a.dy, dy)
        fill_view(&a.dx, dx)
        for i in range(len(tape_states)):
            a.tape_state[i] = pointer(tape_states[i])
            a.dstate[i] = pointer(dstate[i])
            a.dstate0[i] = pointer(dstate0[i])
            if step_dstate is not None:
                a.step_dstate[i] = pointer(step_dstate[i])
        a.tape_cached = pointer(cached)
        for name, array in dparams.items():
            a.dparam[fr_param_index(name.encode())] = pointer(array)
        call.owners = (self, x, lengths, noise, tape_states, cached, dy, dstate, dx, dstate0, dparams,
                       step_dstate)
        return call


cdef bint is_plain(value, int dtype) noexcept:
    """Whether the kernels can take an array as it is."""
    return (
        cnp.PyArray_CheckExact(value)
        and cnp.PyArray_TYPE(<cnp.ndarray>value) == dtype
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>value)
    )


cdef bint has_shape(value, int axes, const cnp.npy_intp *shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(<cnp.ndarray>value) != axes:
        return False
    for i in range(axes):
        if cnp.PyArray_DIM(<cnp.ndarray>value, i) != shape[i]:
            return False
    return True


cdef inline fr_status run_directions(const fr_args *a, Py_ssize_t directions) noexcept nogil:
    return fr_forward(a) if directions == 1 else fr_forward_both(a, a + 1)


# Multiply-adds below which a call keeps the GIL: given away, it may be long in coming back.
cdef double SMALL_WORK = 5e4


cdef class Layers:
    """The passes of a recurrent layer, in the order of its states: inference at the least cost.

    For plain arguments alone, arrays of the right shape that the kernels can use as they are; all others, and
    what there is to say about them, are left to ``_checks``.
    """

    cdef tuple passes
    cdef Py_ssize_t directions
    cdef int dtype, states
    cdef ptrdiff_t inputs, outputs
    cdef ptrdiff_t width[FR_MAX_STATES]

    def __init__(self, passes, widths, *, directions):
        cdef Bound first = passes[0]
        cdef int i
        self.passes = tuple(passes)
        self.directions = directions
        self.dtype = cnp.NPY_FLOAT32 if first.common.run.dtype == FR_FLOAT32 else cnp.NPY_FLOAT64
        self.inputs, self.outputs = first.common.inputs, first.common.outputs
        self.states = len(widths)
        for i, width in enumerate(widths):
            self.width[i] = width

    def run(self, x, state, bint step, bint batch_first, int threads):
        """``(y, state)`` as a call of the layer or its step returns them; None if x or state is not plain."""
        cdef fr_args both[2]
        cdef fr_args *a
        cdef fr_status status
        cdef double products
        cdef cnp.npy_intp shape[3]
        cdef cnp.npy_intp state_shape[3]
        cdef char *before[FR_MAX_STATES]
        cdef char *after[FR_MAX_STATES]
        cdef ptrdiff_t steps = 1, batch = 1, between_steps, between_rows, item
        cdef Py_ssize_t k, direction
        cdef int i, axes
        cdef bint batched

        if not is_plain(x, self.dtype):
            return None
        for k in range(len(self.passes)):
            if not (<Bound>self.passes[k]).stands():
                return None
        axes = cnp.PyArray_NDIM(<cnp.ndarray>x)
        item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x)
        batched = axes == 3 - step
        if not batched and axes != 2 - step:
            return None
        for i in range(axes):
            shape[i] = cnp.PyArray_DIM(<cnp.ndarray>x, i)
        if shape[axes - 1] != self.inputs:
            return None
        if batched:
            batch = shape[0 if step or batch_first else 1]
        if not step:
            steps = shape[1 if batched and batch_first else 0]
        between_steps = 1 if batch_first else batch     # in vectors of features
        between_rows = steps if batch_first else 1

        state_shape[0], state_shape[1] = len(self.passes), batch
        if state is not None and self.states > 1 and (type(state) is not tuple or len(state) != self.states):
            return None
        for i in range(self.states):
            state_shape[1 + batched] = self.width[i]
            given = state if self.states == 1 or state is None else (<tuple>state)[i]
            if given is None:
                before[i] = NULL
            elif is_plain(given, self.dtype) and has_shape(given, 2 + batched, state_shape):
                before[i] = cnp.PyArray_BYTES(<cnp.ndarray>given)
            else:
                return None

        cdef list final = []
        for i in range(self.states):
            state_shape[1 + batched] = self.width[i]
            final.append(cnp.PyArray_EMPTY(2 + batched, state_shape, self.dtype, 0))
            after[i] = cnp.PyArray_BYTES(<cnp.ndarray>final[i])
        y = x
        for k in range(len(self.passes)):
            direction = k % self.directions
            if direction == 0:
                x = y
                shape[axes - 1] = self.directions * self.outputs
                y = cnp.PyArray_EMPTY(axes, shape, self.dtype, 0)
            a = &both[direction]
            a[0] = (<Bound>self.passes[k]).common
            set_poll(&a.run)
            a.run.threads = threads
            a.reverse = direction
            a.steps, a.batch = steps, batch
            a.x.data = cnp.PyArray_DATA(<cnp.ndarray>x)
            a.x.step, a.x.row = between_steps * a.inputs, between_rows * a.inputs
            a.y.data = cnp.PyArray_BYTES(<cnp.ndarray>y) + direction * self.outputs * item
            a.y.step, a.y.row = between_steps * shape[axes - 1], between_rows * shape[axes - 1]
            for i in range(self.states):
                if before[i] != NULL:
                    a.state0[i] = before[i] + k * batch * self.width[i] * item
                a.state[i] = after[i] + k * batch * self.width[i] * item
            if direction < self.directions - 1:
                continue
            products = (<Bound>self.passes[k]).products * batch * steps * self.directions
            if products < SMALL_WORK:
                status = run_directions(both, self.directions)
            else:
                with nogil:
                    status = run_directions(both, self.directions)
            finish(status)
        return y, final[0] if self.states == 1 else tuple(final)


cdef void fill_linear(fr_linear_args *a, x, w, int isa, int threads) except *:
    memset(a, 0, sizeof(fr_linear_args))
    fill_run(&a.run, x, isa, threads)
    a.rows, a.inputs = cnp.PyArray_DIM(<cnp.ndarray>x, 0), cnp.PyArray_DIM(<cnp.ndarray>x, 1)
    a.outputs = cnp.PyArray_DIM(<cnp.ndarray>w, 0)
    a.x, a.w = pointer(x), pointer(w)


def linear(x, w, b, y, *, isa, threads):
    """``y = x w^T + b``, x (R, I), w (O, I)."""
    cdef fr_linear_args a
    cdef fr_status status
    fill_linear(&a, x, w, isa, threads)
    a.b, a.y = pointer(b), pointer(y)
    with nogil:
        status = fr_linear(&a)
    finish(status)


def linear_backward(x, w, dy, dx, dw, db, *, isa, threads):
    """Fills ``dx``, ``dw`` and, unless None, ``db``."""
    cdef fr_linear_args a
    cdef fr_status status
    fill_linear(&a, x, w, isa, threads)
    a.dy, a.dx, a.dw, a.db = pointer(dy), pointer(dx), pointer(dw), pointer(db)
    with nogil:
        status = fr_linear_backward(&a)
    finish(status)


cdef bint are_rows(x, w, y) noexcept:
    """Whether arrays are x (N, I), w (O, I) and y (N, O), of one dtype that the kernels know, in C order."""
    cdef cnp.npy_intp shape[2]
    cdef int dtype = cnp.PyArray_TYPE(<cnp.ndarray>w) if cnp.PyArray_CheckExact(w) else -1
    if dtype != cnp.NPY_FLOAT32 and dtype != cnp.NPY_FLOAT64:
        return False
    if not (is_plain(x, dtype) and is_plain(w, dtype) and is_plain(y, dtype)):
        return False
    if cnp.PyArray_NDIM(<cnp.ndarray>x) != 2 or cnp.PyArray_NDIM(<cnp.ndarray>w) != 2:
        return False
    if cnp.PyArray_DIM(<cnp.ndarray>x, 1) != cnp.PyArray_DIM(<cnp.ndarray>w, 1):
        return False
    shape[0], shape[1] = cnp.PyArray_DIM(<cnp.ndarray>x, 0), cnp.PyArray_DIM(<cnp.ndarray>w, 0)
    return has_shape(y, 2, shape)


cdef check_rows(x, w, y):
    if not are_rows(x, w, y):
        came = ", ".join(f"{a.dtype} {a.shape}" for a in (x, w, y))
        raise ValueError(f"linear: x, w and y are {came}; expected (N, I), (O, I) and (N, O) of one dtype, "
                         "float32 or float64")


def linear_each(xs, ws, ys, *, isa, threads):
    """`linear` of one after the other, without a bias; refuses what does not fit."""
    for x, w, y in zip(xs, ws, ys, strict=True):
        check_rows(x, w, y)
        linear(x, w, None, y, isa=isa, threads=threads)


def linear_backward_each(xs, ws, dys, gradients, *, isa, threads):
    """`linear_backward` of one after the other: fills the pairs ``(dx, dw)``, each like its x and w."""
    for x, w, dy, (dx, dw) in zip(xs, ws, dys, gradients, strict=True):
        check_rows(x, w, dy)
        linear_backward(x, w, dy, dx, dw, None, isa=isa, threads=threads)


def map(int function, x, y, *, isa):
    """``y = f(x)`` element by element; both contiguous."""
    cdef fr_run run
    cdef void *source = pointer(x)
    cdef void *target = pointer(y)
    cdef ptrdiff_t n = x.size
    fill_run(&run, x, isa, 1)
    cdef ptrdiff_t item = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x), done = 0, step = 1 << 22
    while done < n:                 # piece by piece, with a look for signals
        with nogil:
            fr_map(&run, <fr_function>function, <char *>source + done * item, <char *>target + done * item,
                   min(step, n - done))
        done += step
        if PyErr_CheckSignals():
            finish(FR_INTERRUPTED)
