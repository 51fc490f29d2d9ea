"""A model of any kind from its file."""

from __future__ import annotations

import os
from typing import Any

from .. import io

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that any of the models' ``save`` wrote: the file says which.

    Raises
    ------
    fastrnn.io.FileFormatError
        The file is damaged, or holds no model.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastrnn import models
    >>> model = models.SequenceClassifier(min_count=1).fit(["on", "off"] * 4, ["yes", "no"] * 4, epochs=2)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> model.save(path)
    >>> type(models.load(path)).__name__
    'SequenceClassifier'
    """
    from .. import models

    kind = io.load(path).meta.get("kind")
    kinds = [name for name in models.__all__ if hasattr(getattr(models, name), "save")]
    if kind not in kinds:
        raise io.FileFormatError(
            f"{os.fspath(path)}: it holds {kind or 'arrays'!r}; expected a model: {', '.join(kinds)}"
        )
    return getattr(models, kind).load(path)
