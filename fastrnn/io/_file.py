"""What all file formats share: the error of a bad file, and writing that never leaves half a file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["FileFormatError", "destination", "write_atomically"]


class FileFormatError(ValueError):
    """A file is not what it should be: truncated, damaged, of another kind or from a newer version."""


def destination(path: str | os.PathLike[str]) -> str:
    """The file that `path` stands for, links followed; refused where it cannot be written.

    Raises
    ------
    OSError
        Its folder is not there, or it is there and no file (a device, a pipe, a folder).
    """
    given, path = os.fspath(path), os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileExistsError(errno.EEXIST, "is there, and is not a file", given)
    folder = os.path.dirname(path)
    if not os.path.exists(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder {folder!r} does not exist", given)
    return path


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write that takes the place of `path` only when the block ends without an error.

    Readers see the old file or the new one, whole, whenever the process or the machine stops. A new file has
    the mode that the umask gives; a file that is replaced hands down its own. Where `path` is a symbolic
    link, the file it points to is replaced. What is there and no file (a device, a pipe) is refused.
    Errors name `path` as it was given.
    """
    given, path = os.fspath(path), destination(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name[:64]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:  # it names the temporary file, of which the caller knows nothing
        raise OSError(error.errno, error.strerror, given) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
