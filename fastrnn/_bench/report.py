"""A run of cases: what was measured, as a table and as JSON."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import _config
from . import contenders
from .cases import Case, draw
from .roofline import Limits, Probe, cache_bytes, no_probe, roofline
from .timing import Times, evictor, measure, watch

__all__ = ["Row", "as_json", "companions", "machine", "means", "run", "show", "table"]


@dataclass(frozen=True)
class Row:
    """One case with what each contender took.

    Parameters
    ----------
    case : Case
    threads : int
    isa : str
        fastrnn's instruction set.
    cold : bool
        Caches were emptied of the weights before each call.
    times : dict of str to Times
    ways : dict of str to str
        Which of its ways each contender did it.
    limits : Limits or None
        Of the machine meanwhile; None without a C compiler.
    costs : dict of str to float
        How many times its time in another case fastrnn takes; see `companions`.
    """

    case: Case
    threads: int
    isa: str
    cold: bool
    times: dict[str, Times]
    ways: dict[str, str]
    limits: Limits | None
    costs: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.times["fastrnn"].median

    @property
    def rate(self) -> float:
        """Operations of the products a second."""
        return self.case.operations / self.seconds

    @property
    def best_peer(self) -> str | None:
        peers = [name for name in contenders.PEERS if name in self.times]
        return min(peers, key=lambda name: self.times[name].median, default=None)

    @property
    def ratio(self) -> float:
        """How many times as fast as the best peer; NaN without any."""
        return self.times_faster(self.best_peer)

    def times_faster(self, name: str | None) -> float:
        return self.times[name].median / self.seconds if name in self.times else math.nan

    def of_roofline(self, name: str | None = "fastrnn") -> float:
        """The roofline's time as a part of the contender's."""
        if self.limits is None or name not in self.times:
            return math.nan
        return roofline(self.case, self.limits, self.cold) / self.times[name].median


def run(
    case: Case,
    threads: int,
    *,
    rounds: int = 7,
    budget: float = 4.0,
    cold: bool = False,
    peers: Sequence[str] | None = None,
    probe: bool = True,
) -> Row:
    """Measure one case: fastrnn, naive NumPy and the installed peers, in turn.

    Parameters
    ----------
    case : Case
    threads : int
        Of every contender. fastrnn and its peers may use fewer where that is faster.
    rounds, budget
        As in `measure`.
    cold : bool
        Empty the caches of the weights before each call.
    peers : names, optional
        Those that are installed, if not given.
    probe : bool
        Measure the machine's limits too.

    Raises
    ------
    RuntimeError
        A contender's answer is another than the naive loop's.
    OSError
        The probe cannot be built; `no_probe` says why beforehand.
    """
    isa = dict(_config._lines())["instruction set"]
    limits = _probe(threads, isa, case.dtype) if probe else None
    evict = evictor(4 * cache_bytes(2, 1 << 20), threads) if cold else None
    with ExitStack() as stack:
        if threads != _config.get_num_threads():
            stack.enter_context(_config.num_threads(threads))
        installed = contenders.available() if peers is None else peers
        ways = contenders.build(case, draw(case), threads, stack, installed)
        chosen = {name: _fastest(each) for name, each in ways.items()}
        calls = {name: ways[name][way].call for name, way in chosen.items()}
        others = companions(case, threads)
        for what, (other, n, _) in others.items():
            (way,) = contenders.fastrnn(other, draw(other), n, stack).values()
            calls[what] = way.call if n == threads else _on(n, way.call)
        if limits:
            limits.reset()
        beside = limits.sample if limits else None
        times = measure(calls, rounds, budget=budget, before=evict, beside=beside)
    ours = times["fastrnn"].median
    costs = {what: ours / (share * times.pop(what).median) for what, (_, _, share) in others.items()}
    return Row(case, threads, isa, cold, times, chosen, limits.limits if limits else None, costs)


_probe = functools.cache(Probe)


def companions(case: Case, threads: int) -> dict[str, tuple[Case, int, float]]:
    """Return with which times of its own fastrnn's is compared: the case, its threads, and the part of it."""
    found = {}
    if case.mode != "step" and threads > 1:
        found["that on 1 thread"] = (case, 1, 1.0)
        if case.bidirectional:
            found["that of one direction on 1 thread"] = (replace(case, bidirectional=False), 1, 1.0)
    if case.ragged:
        share = float(case.lengths.sum()) / (case.steps * case.batch)
        found["that of its share of the whole batch"] = (replace(case, ragged=False), threads, share)
    if case.vanishing:
        found["that with ordinary gradients"] = (replace(case, vanishing=False), threads, 1.0)
    return found


def _on(threads: int, call: Callable[[], Any]) -> Callable[[], Any]:
    def on() -> Any:
        with _config.num_threads(threads):
            return call()

    return on


def _fastest(ways: contenders.Ways) -> str:
    if len(ways) == 1:
        return next(iter(ways))
    times = measure({name: way.call for name, way in ways.items()}, 3, budget=0.5)
    return min(times, key=lambda name: times[name].median)


def show(cases: Sequence[Case], threads: Sequence[int], *, probe: bool = True, **settings: Any) -> list[Row]:
    """Print the machine, the table as it grows, and the means; return the rows.

    An interrupt ends the measuring, not the report. Other arguments are those of `run`.
    """
    here = machine()
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    print(f"{here['cpu']}, {here['cpus']} CPUs, {here['instruction_set']}; {versions}")
    why = no_probe() if probe else None
    if why:
        print(f"Without the roofline: {why}")
    if settings.get("peers") is None and (missing := contenders.PEERS.keys() - contenders.available()):
        print(f"Not installed: {', '.join(sorted(missing))}")
    if not importlib.util.find_spec("threadpoolctl"):
        print(
            "Without threadpoolctl naive NumPy uses the threads that its BLAS takes, whatever is asked for."
        )

    rows: list[Row] = []
    others = watch()

    def measured() -> Iterator[Row]:
        for n in threads:
            for number, case in enumerate(cases, 1):
                _progress(f"{number} of {len(cases)}: {case.cell} {case.mode} {case.name}, {_threads(n)}")
                rows.append(run(case, n, probe=probe and not why, **settings))
                _progress("")
                yield rows[-1]

    try:
        for line in table(measured()):
            print(line, flush=True)
    except KeyboardInterrupt:
        _progress("")
        print("\ninterrupted; what follows is of the cases so far")
    for line in means_table(rows):
        print(line)
    for line in costs_table(rows):
        print(line)
    for limits in {(row.threads, row.case.dtype): row.limits for row in rows if row.limits}.values():
        print("\n" + limits_line(limits))
    if (taken := others()) > _BUSY:
        print(
            f"\nOther work took {taken:.0%} of the CPUs' time meanwhile: these figures are not to be "
            "trusted. Measure again when the machine is idle."
        )
    return rows


#: A machine is busy where others take a greater part of its CPUs' time.
_BUSY = 0.05


def _progress(text: str) -> None:
    """Say on a terminal what is being measured, in a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# ---- as text ----

_HEADINGS = {"numpy": "naive NumPy", "torch": "PyTorch", "onnxruntime": "ONNX RT"}


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table as the rows come; a heading wherever cell, mode or setting changes."""
    group = None
    for row in rows:
        case = row.case
        names = ["numpy", *(name for name in contenders.PEERS if name in row.times)]
        roof = row.limits is not None
        here = (case.cell, case.mode, case.dtype, row.threads, row.isa, row.cold, roof, tuple(names))
        if here != group:
            group = here
            yield ""
            threads = _threads(row.threads)
            cold = ", cold weights" if row.cold else ""
            yield f"{case.cell.upper()} {case.mode}, {case.dtype}, {threads}, {row.isa}{cold}; milliseconds"
            others = "".join(f"{_HEADINGS[name]:>12}" for name in names)
            head = f"{'T,B,I,H':<28}{'fastrnn':>9}{'±':>5}{'GFLOP/s':>9}" + f"{'roofline':>9}" * roof
            yield f"{head}{others}{'x naive':>9}{'x peer':>8}" + f"{'peer at':>9}" * roof
        spread = row.times["fastrnn"].spread
        line = f"{case.name:<28}{_ms(row.seconds):>9}{spread:>5.0%}{row.rate / 1e9:>9.1f}"
        line += f"{_percent(row.of_roofline()):>9}" * roof
        line += "".join(f"{_ms(row.times[n].median):>12}" for n in names)
        line += f"{_number(row.times_faster('numpy'), 1):>9}{_number(row.ratio, 2):>8}"
        yield line + f"{_percent(row.of_roofline(row.best_peer)):>9}" * roof


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.{max(0, min(4, 2 - math.floor(math.log10(milliseconds))))}f}"


def _percent(part: float) -> str:
    return "-" if math.isnan(part) else f"{part:.0%}"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each cell, mode and setting: geometric means and the least, beside the peers and the naive loop."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        key = (row.case.cell, row.case.mode, row.case.dtype, row.threads, row.isa, row.cold)
        groups.setdefault(key, []).append(row)
    found = []
    for key, members in groups.items():
        entry = dict(zip(("cell", "mode", "dtype", "threads", "isa", "cold"), key, strict=True))
        entry |= {"cases": len(members)}
        beside_peer = [row for row in members if row.best_peer]
        if beside_peer:
            worst = min(beside_peer, key=lambda row: row.ratio)
            entry |= {"peer": _geometric(row.ratio for row in beside_peer)}
            entry |= {"least": worst.ratio, "least_case": worst.case.name}
        entry |= {"naive": _geometric(row.times_faster("numpy") for row in members)}
        found.append(entry)
    return found


def means_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of `means`."""
    yield ""
    yield f"{'Geometric means':<44}{'x naive':>9}{'x peer':>8}   least"
    for entry in means(rows):
        threads = _threads(entry["threads"])
        cases = f"{entry['cases']} case{'s' * (entry['cases'] > 1)}"
        what = f"{entry['cell'].upper()} {entry['mode']}, {entry['dtype']}, {threads}, {cases}"
        line = f"{what:<44}{entry['naive']:>9.1f}"
        if "peer" in entry:
            line += f"{entry['peer']:>8.2f}   {entry['least']:.2f} at {entry['least_case']}"
        yield line


def costs_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of all rows' costs, if there are any."""
    found = [(what, cost, row) for row in rows for what, cost in row.costs.items()]
    if found:
        yield ""
        yield "fastrnn's time, in the same rounds"
    for what, cost, row in sorted(found, key=lambda entry: entry[0]):
        case = row.case
        setting = f"{case.cell.upper()} {case.mode}, {case.dtype}, {_threads(row.threads)}, {case.name}"
        yield f"{cost:6.2f}  times {what}: {setting}"


def limits_line(limits: Limits) -> str:
    """The machine's limits in one line."""
    rates = (rate / 1e9 for rate in (limits.operations, limits.l1, limits.l2, limits.memory))
    return (
        "{}: {:.0f} GFLOP/s; reading L1 {:.0f}, L2 {:.0f}, beyond {:.0f} GB/s; ".format(
            _threads(limits.threads), *rates
        )
        + f"barrier {limits.barrier * 1e9:.0f} ns; "
        f"sigmoid {limits.sigmoid * 1e9:.2f}, tanh {limits.tanh * 1e9:.2f} ns"
    )


def _geometric(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


# ---- as JSON ----


def machine() -> dict[str, Any]:
    """CPU, instruction sets, versions and date."""
    versions = {"python": platform.python_version()}
    for name in ("fastrnn", "numpy", *contenders.PEERS, "threadpoolctl"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    config = dict(_config._lines())
    versions["fastrnn"] = config["fastrnn"]
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "l1_bytes": cache_bytes(1, 0),
        "l2_bytes": cache_bytes(2, 0),
        "system": platform.platform(),
        "instruction_set": config["instruction set"],
        "instruction_sets": config["available"].split(", "),
        "compiler": config["compiler"],
        "versions": versions,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """All that was measured, and what follows from it, ready for `json.dump`."""
    entries = []
    for row in rows:
        times = {name: {**t._asdict(), "way": row.ways[name]} for name, t in row.times.items()}
        entry = {"case": row.case.name, **asdict(row.case), "threads": row.threads, "isa": row.isa}
        entry |= {"cold": row.cold, "seconds": times, "operations": row.case.operations}
        entry |= {
            "costs": row.costs,
            "gflops": row.rate / 1e9,
            "faster_than_naive": row.times_faster("numpy"),
        }
        if row.best_peer:
            entry |= {"best_peer": row.best_peer, "faster_than_peer": row.ratio}
        if row.limits:
            entry |= {"limits": row.limits._asdict(), "roofline": roofline(row.case, row.limits, row.cold)}
            entry |= {"of_roofline": row.of_roofline()}
        entries.append(entry)
    return {"machine": machine(), "rows": entries, "means": means(rows)}
