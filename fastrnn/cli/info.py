"""``fastrnn info``: versions, instruction sets, threads; what a model's file holds."""

from __future__ import annotations

import argparse
from typing import Any

from ._arguments import command

__all__ = ["add", "run"]

_DESCRIPTION = """\
Show versions, instruction sets and threads; of a file that fastrnn saved, what it holds.

  fastrnn info
  fastrnn info model.npz
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser,
        "info",
        help="show versions, instruction sets, threads, or a file",
        description=_DESCRIPTION,
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="a file that fastrnn saved")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from .. import show_config

    if arguments.file is None:
        show_config()
    else:
        _show(arguments.file)


def _show(path: str) -> None:
    from .. import io

    arrays, meta = io.load(path)
    print(f"{path}: {meta.get('kind', 'arrays')}, {sum(a.size for a in arrays.values()):,} numbers")
    for name, value in meta.items():
        print(f"  {name:<16} {value!r:.90}")
    for name, array in arrays.items():
        print(f"  {name:<40} {array.dtype} {array.shape}")
