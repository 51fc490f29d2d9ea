"""Libraries that some parts need and fastrnn does not: imported when they are used, by their extra."""

from __future__ import annotations

import importlib
from typing import Any


def optional(module: str, extra: str) -> Any:
    """Import `module`, which ``pip install "fastrnn[extra]"`` brings.

    Raises
    ------
    ImportError
        It is not there; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f'{library} is needed for this and cannot be imported; pip install "fastrnn[{extra}]"'
        ) from error
