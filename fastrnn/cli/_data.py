"""Files in: rows of inputs and targets, each with the line that it came from; files out.

The ending says what a file is: .csv and .tsv with a header, .jsonl (.ndjson) an object a line, .npz arrays X
and y (and lengths), .npy an array X; all others are text, an input a line. "-" is the standard input, text.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import errno
import io
import json
import math
import os
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from ..io._file import write_atomically

__all__ = [
    "TABLES",
    "Columns",
    "Data",
    "is_file",
    "lines_of",
    "numbers",
    "read",
    "read_text",
    "write",
    "write_table",
]

#: Endings of files with several inputs, and those by which a file is told from a text.
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".npz")
_ENDINGS = (*TABLES, ".txt", ".npy")

#: Characters of a cell in .csv and .tsv: as many as every machine's C can count.
_LONGEST_CELL = 2**31 - 1

#: How an error begins that names an input: "SequenceTagger.fit: validation y[3] ...".
_PLACE = re.compile(r"[\w.]+: (validation)? ?(?:X|y|texts?|(?<=validation))\[(\d+)\]")

#: How the columns are called if nothing else is said.
_INPUTS, _TARGETS = ("text", "source", "tokens"), ("label", "target", "tags")


@dataclass(frozen=True)
class Data:
    """Inputs, targets where there are such, and where each stood."""

    path: str
    X: Sequence[Any]
    y: Sequence[Any] | None = None
    lines: Sequence[int] | None = None  # from 1
    columns: Sequence[str] | None = None  # of the numbers of a series
    beside: tuple[str, Sequence[Any]] | None = None  # name and values of what may be right, of all rows
    left_out: Sequence[int] = ()  # which rows are not in X, as they have nothing to read

    def all_rows(self, rows: Sequence[Any], empty: Any) -> list[Any]:
        """What comes of each input, with `empty` for the rows that were left out."""
        found = list(rows)
        for i in self.left_out:
            found.insert(i, empty)
        return found

    def place(self, i: int) -> str:
        """Where an input stood, for messages."""
        return f"{self.path}: X[{i}]" if self.lines is None else f"{self.path}:{self.lines[i]}"

    @contextlib.contextmanager
    def places(self, held: Data | None = None) -> Iterator[None]:
        """Let errors and warnings that name an input by its number name its place; `held` is validated on."""
        shown = warnings.showwarning

        def placed(message: Any, *others: Any, **more: Any) -> None:
            shown(re.sub(r"\bX\[(\d+)\]", self._named, str(message)), *others, **more)

        warnings.showwarning = placed
        try:
            yield
        except (ValueError, TypeError) as error:
            found = _PLACE.match(str(error))
            if not found:
                raise
            data = held if held is not None and found[1] else self
            i = int(found[2])
            where = data.place(i) if data.lines is not None and i < len(data.X) else data.path
            raise ValueError(f"{where}: {error}") from error
        finally:
            warnings.showwarning = shown

    def _named(self, found: re.Match[str]) -> str:
        i = int(found[1])
        return found[0] if self.lines is None or i >= len(self.X) else self.place(i)


@dataclass(frozen=True)
class Columns:
    """What the command's arguments say of the columns of a file; nothing else is usual."""

    input: str | None = None
    target: str | None = None
    header: bool = True  # whether the first line of .csv and .tsv names them
    skip_empty: bool = False  # whether rows with nothing in a column that is read are left out
    hint: str = ""  # what else may be meant where a column is not there

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Columns:
        target = getattr(arguments, "target", None)
        return cls(arguments.input, target, not arguments.no_header, arguments.skip_empty)

    def refuse(self, path: str, *options: str) -> None:
        """Refuse what would be ignored, of a file without such columns: these options, or all."""
        given = {"--input": self.input, "--target": self.target, "--no-header": not self.header or None}
        given["--skip-empty"] = self.skip_empty or None
        for option in options or given:
            if given[option] is not None:
                raise ValueError(f"{path}: {option} is given, and nothing is read by it here; leave it out")


def read(path: str, named: Columns, *, labelled: bool, every_line: bool = False) -> Data:
    """Read a file; `labelled`: with its targets.

    Parameters
    ----------
    path : str
    named : Columns
    labelled : bool
    every_line : bool
        An empty line of a text before another is an error; else such lines are left out.

    Raises
    ------
    ValueError
        Something in it is not as it should be: named by file and line.
    """
    ending = os.path.splitext(path)[1].lower()
    if not labelled:
        named.refuse(path, "--target")
    if ending in (".npz", ".npy"):
        named.refuse(path)
        return _arrays(path, ending, labelled)
    if ending in (".csv", ".tsv"):
        columns, rows, _ = _separated(path, "," if ending == ".csv" else "\t", named.header)
    elif ending in (".jsonl", ".ndjson"):
        named.refuse(path, "--no-header")
        columns, rows = _objects(path)
    else:
        named.refuse(path, "--input", "--target", "--no-header")
        if labelled:
            raise ValueError(f"{path}: a text has no targets; give a .csv, .tsv, .jsonl or .npz file")
        columns, rows, gap = _lines(path, with_empty=every_line and named.skip_empty)
        if every_line:
            _refuse_gap(path, gap)
    if not rows:
        raise ValueError(f"{path}: it has no rows; expected at least one")
    x = _column(path, columns, named.input, _INPUTS, "--input", 0, named)
    name = _column(path, columns, named.target, _TARGETS, "--target", 1, named) if labelled else None
    read_from = [x] if name is None else [x, name]
    empty = [i for i, (_, row) in enumerate(rows) if _first_empty(row, read_from) is not None]
    if empty and not named.skip_empty:
        raise _of_empty(path, [rows[i] for i in empty], read_from)
    left_out = set(empty)
    kept = [row for i, row in enumerate(rows) if i not in left_out]
    if not kept:
        raise ValueError(f"{path}: {' or '.join(map(repr, read_from))} is empty in all of its rows")
    return Data(
        path,
        [row[x] for _, row in kept],
        None if name is None else [row[name] for _, row in kept],
        [at for at, _ in kept],
        beside=None if labelled else _beside(columns, rows, x),
        left_out=empty,
    )


def _beside(
    columns: Sequence[str], rows: Sequence[tuple[int, dict[str, Any]]], x: str
) -> tuple[str, list[Any]] | None:
    """The column that is usual for targets, where a file whose targets are not asked for has one."""
    name = next((c for c in columns if c.lower() in _TARGETS and c != x), None)
    return None if name is None else (name, [row.get(name, "") for _, row in rows])


def _first_empty(row: dict[str, Any], columns: Sequence[str]) -> str | None:
    return next((name for name in columns if _is_empty(row.get(name))), None)


def _is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else value is None or value == []


def _of_empty(path: str, rows: Sequence[tuple[int, dict[str, Any]]], columns: Sequence[str]) -> ValueError:
    """The error of rows in which something is missing."""
    lines = [at for at, _ in rows]
    which = f", as in {len(lines)} lines ({', '.join(_checks.first_few(lines))})" if len(lines) > 1 else ""
    return ValueError(
        f"{path}:{lines[0]}: {_first_empty(rows[0][1], columns)!r} is empty or missing{which}; fill it, "
        "leave the line out, or give --skip-empty"
    )


def numbers(path: str, named: Columns, learned: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names and a series (T, F) from a .csv or .tsv of numbers, a line a step.

    Of the columns A,B that are given, or those that a model `learned` from, or of all.
    """
    separator = "\t" if path.lower().endswith(".tsv") else ","
    there, rows, gap = _separated(path, separator, named.header)
    _refuse_gap(path, gap)
    without = {name for name in there if not name and not any(row[name].strip() for _, row in rows)}
    wanted = _wanted(named, learned, [name for name in there if name not in without])
    for name in wanted:
        _column(path, there, name, (), "--input", 0, named)
    series = np.empty((len(rows), len(wanted)))
    for i, (at, row) in enumerate(rows):
        for j, name in enumerate(wanted):
            try:
                series[i, j] = float(row[name])
                if not math.isfinite(series[i, j]):
                    raise ValueError
            except ValueError:
                raise ValueError(
                    f"{path}:{at}: {name!r} is {row[name]!r:.40}; expected a number (other columns are left "
                    "out by --input A,B)"
                ) from None
    return wanted, series


def _wanted(named: Columns, learned: Sequence[str] | None, there: list[str]) -> list[str]:
    """The columns to read: in the order in which a model learned from them."""
    given = None if named.input is None else named.input.split(",")
    if given is None:
        return there if learned is None else list(learned)
    # Columns that are counted have other names than the model's, or none.
    if learned is not None and named.header and given != list(learned) and set(learned) <= set(there):
        raise ValueError(
            f"--input is {named.input}; the model was trained on {','.join(learned)}, and reads these if "
            "--input is left out"
        )
    return given  # columns of other names, where the file has not those of the model


def _refuse_gap(path: str, gap: int | None) -> None:
    """Refuse empty lines where each line counts: answers stand line by line, numbers step by step."""
    if gap is not None:
        raise ValueError(f"{path}:{gap}: an empty line before others; fill it, or leave it out")


def read_text(path: str) -> str:
    """A whole file of text, UTF-8."""
    if path == "-":
        raw = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: not UTF-8 (byte {error.start} is {raw[error.start]:#04x}); convert it: "
            f"iconv -f ENCODING -t UTF-8 {path}"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: binary, not text")
    return text.replace("\r\n", "\n")


def is_file(given: str) -> bool:
    """Whether a file is meant, and not a text.

    Raises
    ------
    FileNotFoundError
        It reads like the name of a file, and there is none.
    """
    if given == "-" or os.path.exists(given):
        return True
    begins = f"{os.curdir}{os.sep}", f"{os.pardir}{os.sep}", f"~{os.sep}", os.sep  # not on/off, km/h
    named = os.path.splitext(given)[1].lower() in _ENDINGS or given.startswith(begins)
    if named and not any(c.isspace() for c in given):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), given)
    return False


def lines_of(path: str) -> list[str]:
    """The lines of a text."""
    return read_text(path).split("\n")


def write(path: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table by the ending of the file; with none the last column, to the standard output."""
    if path is None:
        for row in rows:
            print(_cell(row[-1]))
        return
    ending = os.path.splitext(path)[1].lower()
    if ending == ".npy":
        with write_atomically(path) as binary:
            np.save(binary, _together(path, rows), allow_pickle=False)
        return
    if ending == ".npz":
        with write_atomically(path) as binary:
            arrays: dict[str, Any] = {columns[-1]: _together(path, rows)}
            np.savez(binary, **arrays)
        return
    out = io.StringIO()
    if ending in (".jsonl", ".ndjson"):
        for row in rows:
            out.write(
                json.dumps(dict(zip(columns, map(_plain, row), strict=True)), ensure_ascii=False) + "\n"
            )
    elif ending == ".csv":
        csv.writer(out, lineterminator="\n").writerows([columns, *(map(_cell, row) for row in rows)])
    elif ending == ".tsv":  # as it is read: no quotation marks
        for row in [columns, *rows]:
            cells = [_cell(value) for value in row]
            if wrong := [cell for cell in cells if re.search("[\t\n\r]", cell)]:
                raise ValueError(
                    f"{path}: {wrong[0]!r:.60} has a tab or a new line, which .tsv cannot hold; write .csv"
                )
            out.write("\t".join(cells) + "\n")
    else:
        out.writelines(_cell(row[-1]) + "\n" for row in rows)
    with write_atomically(path) as binary:
        binary.write(out.getvalue().encode())


def write_table(path: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table of which every column counts: as text with the names above it, tabs between."""
    if path is not None and os.path.splitext(path)[1].lower() in TABLES:
        write(path, columns, rows)
    else:
        write(path, ["line"], [["\t".join(map(_cell, row))] for row in [columns, *rows]])


def _together(path: str, rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """The last column as one array."""
    try:
        array = np.array([row[-1] for row in rows])
    except ValueError:  # ragged
        array = np.array(None)
    if array.dtype == object:
        raise ValueError(f"{path}: the rows have different lengths, not those of one array; write .jsonl")
    return array


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _cell(value: Any) -> str:
    """A value as one cell: several with spaces between them."""
    value = _plain(value)
    return " ".join(map(_cell, value)) if isinstance(value, (list, tuple)) else str(value)


class _Table(NamedTuple):
    columns: list[str]
    rows: list[tuple[int, dict[str, Any]]]  # each with its line
    gap: int | None  # the first empty line between rows


def _lines(path: str, with_empty: bool) -> _Table:
    """A text: a row for each line that is not empty, or for each up to the last such."""
    lines = [line if line.strip() else "" for line in lines_of(path)]
    while lines and not lines[-1]:
        lines.pop()
    rows: list[tuple[int, dict[str, Any]]] = [
        (at, {"text": line}) for at, line in enumerate(lines, 1) if line or with_empty
    ]
    gap = next((n for n, (at, _) in enumerate(rows, 1) if at != n), None)
    return _Table(["text"], rows, gap)


def _separated(path: str, separator: str, header: bool) -> _Table:
    quoting: Any = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
    text = io.StringIO(read_text(path), newline="")
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(text, delimiter=separator, quoting=quoting, strict=True)
    columns: list[str] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    empty = gap = None
    start = 1
    try:
        for cells in reader:
            at, start = start, reader.line_num + 1
            if len(cells) < 2 and not any(cell.strip() for cell in cells):
                empty = at if empty is None else empty
                continue
            if not columns:
                other = _other_separator(cells, separator)
                columns = [c.strip() for c in cells] if header else [str(i + 1) for i in range(len(cells))]
                if header and other:
                    raise ValueError(f"{path}:{at}: {other}")
                if header:
                    empty = None
                    continue
            gap = empty if gap is None else gap
            if len(cells) != len(columns):
                raise ValueError(
                    f"{path}:{at}: {len(cells)} columns; expected {len(columns)}, as the first line has"
                    + (
                        ': put text with commas in quotation marks, "like, this"'
                        if separator == "," and not other
                        else ""
                    )
                    + (f"; {other}" if other else "")
                )
            rows.append((at, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        raise ValueError(f"{path}:{start}: not CSV: {error}") from None
    return _Table(columns, rows, gap)


def _other_separator(cells: list[str], separator: str) -> str:
    """What is wrong with a first line of one cell in which another mark than ours stands; or nothing."""
    found = [mark for mark in ";\t,|" if mark != separator and mark in cells[0]]
    if len(cells) > 1 or not found:
        return ""
    remedy = {("\t", ","): "; name the file .tsv", (",", "\t"): "; name the file .csv"}
    there, expected = ("a tab" if mark == "\t" else f"{mark!r}" for mark in (found[0], separator))
    hint = remedy.get((found[0], separator), "; write the file with it")
    return f"columns are separated by {there}; expected {expected}{hint}"


def _objects(path: str) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    rows = []
    for at, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{at}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f'{path}:{at}: {_checks.kind(row)}; expected an object, {{"text": ...}}')
        rows.append((at, row))
    return list(rows[0][1]) if rows else [], rows


def _column(
    path: str,
    columns: Sequence[str],
    name: str | None,
    usual: Sequence[str],
    option: str,
    place: int,
    named: Columns,
) -> str:
    """The column of this name, or the one that is usual, whatever its case."""
    if name is None and not named.header and place < len(columns):
        return columns[place]
    alike = [c for one in usual for c in columns if c.lower() == one]
    for one in [*usual, *alike] if name is None else (name,):
        if columns.count(one) > 1:
            raise ValueError(f"{path}:1: two columns are called {one!r}; rename one")
        if one in columns:
            return one
    wanted = repr(name) if name is not None else " or ".join(map(repr, usual[:2]))
    raise ValueError(
        f"{path}:1: no column {wanted}; its columns are {', '.join(columns)}; say which with "
        f"{option} COLUMN{named.hint}" + ("; if the first line is data: --no-header" if named.header else "")
    )


def _arrays(path: str, ending: str, labelled: bool) -> Data:
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {"X": found} if ending == ".npy" else {name: found[name] for name in found.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path}: not a whole {ending} file of numbers: {error}") from None
    if "X" not in arrays or (labelled and "y" not in arrays):
        needed = "X and y" if labelled else "X"
        raise ValueError(f"{path}: it has the arrays {', '.join(arrays)}; expected {needed} (and lengths)")
    X, y = arrays["X"], arrays.get("y")
    for name, array in arrays.items():
        if name in ("X", "y") and array.ndim == 0:
            raise ValueError(f"{path}: {name} is a single value; expected an entry for each sequence")
    if ending == ".npy" and X.ndim == 1:
        X = X[None]
    if "lengths" in arrays:
        lengths = arrays["lengths"]
        if X.ndim < 2 or lengths.shape != X.shape[:1] or lengths.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: lengths is {lengths.dtype} of shape {lengths.shape}, and X has shape {X.shape}; "
                "expected an integer for each sequence"
            )
        for i in np.flatnonzero((lengths < 0) | (lengths > X.shape[1]))[:1]:
            raise ValueError(f"{path}: lengths[{i}] is {lengths[i]}; expected 0 to {X.shape[1]}, X's steps")
        X = [x[:length] for x, length in zip(X, lengths.tolist(), strict=True)]
    if y is not None and len(y) != len(X):
        raise ValueError(f"{path}: X has {len(X)} sequences, and y has {len(y)}")
    return Data(path, X, y if labelled else None)
