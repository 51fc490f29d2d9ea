"""`save` and `load`, which choose the format by the ending of the path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import npz

if TYPE_CHECKING:
    from ..nn import Module
    from ..optim import Optimizer


def save(
    path: str | os.PathLike[str], source: Module | Optimizer | Mapping[str, Any], /, **meta: Any
) -> None:
    """Write the parameters of a module, or a mapping of names to arrays, to a file.

    The file appears whole or not at all: what stood at `path` is replaced only when all is written and on the
    disk.

    Parameters
    ----------
    path : path-like
        Used as it is; no ending is added. One that ends in ``.safetensors`` is written by
        `fastrnn.io.safetensors`, which needs ``pip install fastrnn[io]``; all others are ``.npz`` files.
    source : Module, optimiser or mapping of str to array_like
        A module or optimiser gives its ``state_dict()``. Arrays of floats, integers or bool.
    **meta
        Anything that JSON holds; `load` returns it.

    Raises
    ------
    TypeError
        Arrays of other kinds, names that are not strings, metadata that JSON cannot hold; nothing was
        written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastrnn import io, nn
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> io.save(path, nn.Linear(3, 2), epoch=7)
    >>> arrays, meta = io.load(path)
    >>> _ = nn.Linear(3, 2).load_state_dict(arrays)
    >>> meta
    {'epoch': 7}
    """
    if _is_safetensors(path):
        from . import safetensors

        safetensors.save(path, source, **meta)
    else:
        npz.save(path, source, **meta)


def load(path: str | os.PathLike[str]) -> npz.Contents:
    """Read a file that `save` wrote; one that ends in ``.safetensors`` may be of any program.

    Sizes are checked against the file before memory is taken, so a damaged or hostile file costs no more
    memory than a few times its own size, and can do no more than be refused.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    arrays : dict of str to numpy.ndarray
    meta : dict

    Raises
    ------
    FileFormatError
        The file is truncated, damaged, not written by `save`, or of a newer format.
    OSError
        It cannot be opened or read.
    """
    if _is_safetensors(path):
        from . import safetensors

        return safetensors.load(path)
    return npz.load(path)


def _is_safetensors(path: Any) -> bool:
    return isinstance(path, (str, os.PathLike)) and str(os.fspath(path)).endswith(".safetensors")
