"""The picture of a run: how many times as fast as the best peer, and as naive NumPy, case by case.

python -m benchmarks.plot out.json out.png
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["plot", "require_matplotlib"]

_COLOURS = {"lstm": "#2f6db5", "gru": "#2a9d74", "rnn": "#8a5fb0"}
_BEHIND = "#cf4a3c"
_NAMES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime"}


def require_matplotlib() -> None:
    """Raise ImportError that names the remedy unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("--plot needs matplotlib: pip install matplotlib, or fastrnn[bench]") from None


def plot(results: dict[str, Any], path: str | Path) -> None:
    """Draw what `fastrnn._bench.as_json` returned: a panel for each mode and cell, a bar for each case."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in results["rows"] if "faster_than_peer" in row]
    if not rows:
        raise ValueError("nothing to plot: no case was measured beside a peer")
    modes, cells = _unique(rows, "mode"), _unique(rows, "cell")
    settings = _unique(rows, "threads", "dtype", "cold")
    names = {mode: _unique([row for row in rows if row["mode"] == mode], "case") for mode in modes}
    thick = 0.8 / len(settings)

    heights = [len(names[mode]) + 2.5 for mode in modes]
    figure = Figure(figsize=(3.2 + 3.3 * len(cells), 1.3 + 0.24 * sum(heights) * max(1, len(settings) * 0.7)))
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(modes), len(cells), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    ratios = [row["faster_than_peer"] for row in rows]
    low, high = min(0.8, *ratios) / 1.1, max(2.0, *ratios) * 1.6
    for panels, mode in zip(grid, modes, strict=True):
        for axes, cell in zip(panels, cells, strict=True):
            here = [row for row in rows if row["mode"] == mode and row["cell"] == cell]
            _panel(axes, here, names[mode], settings, thick, _COLOURS[cell])
            axes.set_xscale("log", base=2)
            axes.set_xlim(low, high)
            ticks = [2.0**k for k in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
            axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
            mean = _geometric([row["faster_than_peer"] for row in here])
            axes.set_title(f"{cell.upper()} {mode}", loc="left", fontsize=10, fontweight="bold")
            axes.set_title(f"geometric mean {mean:.2f}×", loc="right", fontsize=8.5, color="#555555")
            if axes is not panels[0]:
                axes.tick_params(labelleft=False)
    machine = results["machine"]
    versions = ", ".join(
        f"{_NAMES[name]} {machine['versions'][name]}" for name in _NAMES if name in machine["versions"]
    )
    inches = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.12 / inches, "fastrnn: times as fast as the best peer", **_TITLE)
    isas = "/".join(_unique(rows, "isa"))
    said = f"{machine['cpu']}, {isas}, {_setting(settings)}; {versions}; T,B,I,H; red: slower than the peer"
    figure.text(0.012, 1 - 0.40 / inches, said, fontsize=8.5, color="#555555", va="top")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / inches))
    figure.savefig(path, dpi=140)


_TITLE: dict[str, Any] = {"fontsize": 13, "fontweight": "bold", "va": "top"}


def _panel(axes, rows, names, settings, thick, colour) -> None:
    for row in rows:
        k = settings.index((row["threads"], row["dtype"], row["cold"]))
        place = names.index(row["case"]) + (k - (len(settings) - 1) / 2) * thick
        ratio = row["faster_than_peer"]
        shade = 1 - 0.45 * k / max(1, len(settings) - 1)
        axes.barh(
            place,
            ratio - 1,
            left=1,
            height=thick * 0.92,
            color=colour if ratio >= 1 else _BEHIND,
            alpha=shade,
            linewidth=0,
        )
        right = ratio >= 1
        axes.annotate(
            f"{ratio:.2f}",
            (ratio, place),
            xytext=(3 if right else -3, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=7,
            color="#333333",
        )
    axes.axvline(1, color="#333333", linewidth=0.9)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="both", length=0, labelsize=8)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _setting(settings: list[tuple]) -> str:
    """What the bars of one case are."""
    each = [f"{n} thread{'s' * (n > 1)}, {dtype}{', cold weights' * cold}" for n, dtype, cold in settings]
    return each[0] if len(each) == 1 else f"dark to light: {'; '.join(each)}"


def _unique(rows: Sequence[dict], *keys: str) -> list:
    found = dict.fromkeys(tuple(row[key] for key in keys) for row in rows)
    return [values if len(keys) > 1 else values[0] for values in found]


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


if __name__ == "__main__":
    plot(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
