"""`save` and `load`, which choose the format by the ending of the path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import npz
from ._file import FileFormatError

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
        `fastrnn.io.safetensors`, which needs ``pip install "fastrnn[io]"``; one that ends in ``.npz`` or has
        no ending is a ``.npz`` file.
    source : Module, optimiser or mapping of str to array_like
        A module or optimiser gives its ``state_dict()``. Arrays of floats, integers or bool.
    **meta
        Anything that JSON holds; `load` returns it.

    Raises
    ------
    TypeError
        Arrays of other kinds, names that are not strings, metadata that JSON cannot hold; nothing was
        written.
    ValueError
        The path has another ending.

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
    check_ending(path)
    if _is_safetensors(path):
        from . import safetensors

        safetensors.save(path, source, **meta)
    else:
        npz.save(path, source, **meta)


def check_ending(path: Any) -> None:
    """Refuse a path whose ending speaks of a format that `save` does not write.

    Raises
    ------
    ValueError
        It has an ending, and not one of `save`'s.
    """
    if not isinstance(path, (str, os.PathLike)):
        return  # npz.save says what is expected
    ending = os.path.splitext(os.fsdecode(path))[1].lower()
    if ending not in ("", ".npz", ".safetensors"):
        remedy = "end the path in one of these"
        if ending == ".onnx":
            remedy = "fastrnn.io.onnx.export writes layers"
        raise ValueError(f"save: path is {os.fspath(path)!r}; save writes .npz and .safetensors: {remedy}")


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
    try:
        return npz.load(path)
    except FileFormatError as error:
        reader = _READERS.get(_foreign(path))
        raise FileFormatError(f"{error}; for such files there is {reader}") if reader else error from None


# Files of other formats, by their endings, and what reads them.
_READERS = {
    ".onnx": "fastrnn.io.onnx.load",
    ".h5": "fastrnn.io.keras.load",
    ".hdf5": "fastrnn.io.keras.load",
    ".keras": "fastrnn.io.keras.load",
    ".pt": "torch.load(path, weights_only=True), whose state_dict load_state_dict takes",
    ".pth": "torch.load(path, weights_only=True), whose state_dict load_state_dict takes",
    ".npy": "numpy.load",
}


def _foreign(path: Any) -> str:
    """The ending of a path that is one of another format's, or ""."""
    return next((ending for ending in _READERS if _ends(path, ending)), "")


def _is_safetensors(path: Any) -> bool:
    return _ends(path, ".safetensors")


def _ends(path: Any, ending: str) -> bool:
    return isinstance(path, (str, os.PathLike)) and str(os.fspath(path)).lower().endswith(ending)
