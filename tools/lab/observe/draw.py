"""Draws a Grafana dashboard: the panels of its file, at their positions, as SVG in an HTML page.

It imitates Grafana only enough to show the data of each panel.
"""

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tools.lab.observe.prometheus import Series

COLUMN_PX, ROW_PX, GAP_PX = 60, 32, 8
WIDTH_PX = 24 * COLUMN_PX
MARGIN_LEFT, MARGIN_BOTTOM, TITLE_PX, LEGEND_LINE_PX = 62, 20, 30, 17
MOST_IN_LEGEND = 12
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5")
STYLE = """
body { margin: 0; background: #111217; font: 12px 'DejaVu Sans', sans-serif; color: #ccccdc; }
#board { position: relative; width: %dpx; }
h1 { font-size: 19px; font-weight: 500; margin: 14px 12px 2px; } p { margin: 0 12px 10px; color: #9a9bad; }
.panel { position: absolute; background: #181b1f; border: 1px solid #2c3036; border-radius: 3px; overflow: hidden; }
.title { font-size: 12.5px; font-weight: 600; padding: 8px 10px 0; height: 20px; white-space: nowrap; }
.row { position: absolute; font-size: 14px; font-weight: 600; padding-top: 9px; }
.legend { position: absolute; left: 10px; right: 6px; bottom: 5px; font-size: 10.5px; line-height: 17px;
  overflow: hidden; }
.legend span { margin-right: 11px; white-space: nowrap; } .legend i { display: inline-block; width: 11px; height: 3px;
  margin-right: 4px; vertical-align: middle; }
.none { position: absolute; top: 42%%; width: 100%%; text-align: center; color: #7b7c8c; }
.stat { font-size: 30px; text-align: center; padding-top: 10px; font-weight: 600; }
text { fill: #9a9bad; font-size: 10px; }
"""


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]


def named(pattern: str, series: Sequence[Series]) -> list[Line]:
    """Return the series with the names that the panel's legend defines."""
    return [
        Line(re.sub(r"{{\s*(\w+)\s*}}", lambda m, one=one: one.labels.get(m[1], ""), pattern).strip(), one.points)  # type: ignore[misc]
        for one in series
    ]


def page(board: Mapping[str, Any], lines: Mapping[int, Sequence[Line]], start: float, end: float) -> str:
    """Return the dashboard with the series of its panels, by id, between two times."""
    panels = "".join(_panel(panel, lines.get(panel["id"], ()), start, end) for panel in board["panels"])
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) * ROW_PX + GAP_PX
    head = f"<h1>{html.escape(board['title'])}</h1><p>{html.escape(board['description'])}</p>"
    style = STYLE % WIDTH_PX
    content = f"{head}<div id=board style='height:{height}px'>{panels}</div>"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{content}"


def _panel(panel: Mapping[str, Any], lines: Sequence[Line], start: float, end: float) -> str:
    at = panel["gridPos"]
    left, top = at["x"] * COLUMN_PX + GAP_PX, at["y"] * ROW_PX
    width, height = at["w"] * COLUMN_PX - GAP_PX, at["h"] * ROW_PX - GAP_PX
    place = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
    title = html.escape(panel["title"])
    if panel["type"] == "row":
        return f"<div class=row style='{place}'>{title}</div>"
    if not lines:
        content = "<div class=none>nothing</div>"
    elif panel["type"] == "stat":
        content = _stat(panel, lines[0])
    else:
        content = _chart(panel, lines, (start, end), (width, height))
    return f"<div class=panel style='{place}'><div class=title>{title}</div>{content}</div>"


def _stat(panel: Mapping[str, Any], line: Line) -> str:
    value, defaults = line.points[-1][1], panel["fieldConfig"]["defaults"]
    colour = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    shade = {"green": COLOURS[0], "orange": COLOURS[3], "red": COLOURS[4]}[colour]
    return f"<div class=stat style='color:{shade}'>{said(value, defaults['unit'])}</div>"


def _chart(panel: Mapping[str, Any], lines: Sequence[Line], times: tuple[float, float], size: tuple[int, int]) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    shown = sorted(lines, key=lambda line: -max(value for _, value in line.points))[:MOST_IN_LEGEND]
    legend = "".join(
        f"<span><i style='background:{COLOURS[n % len(COLOURS)]}'></i>{html.escape(line.name)}</span>"
        for n, line in enumerate(shown)
    )
    letters = sum(len(line.name) + 5 for line in shown)
    legend_px = LEGEND_LINE_PX * min(4, math.ceil(letters * 6.2 / (size[0] - 16))) + 4
    plot = (MARGIN_LEFT, 6, size[0] - 12, size[1] - TITLE_PX - legend_px - MARGIN_BOTTOM)
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    drawn = _stacked(shown) if stacked else [(line.points, None) for line in shown]
    top = _round_up(max(value for points, _ in drawn for _, value in points) or 1)
    marks = _axes(plot, times, top, defaults["unit"])
    curves = "".join(
        _curve(points, below, COLOURS[n % len(COLOURS)], plot, times, top) for n, (points, below) in enumerate(drawn)
    )
    svg = f"<svg width={size[0]} height={size[1] - TITLE_PX - legend_px}>{marks}{curves}</svg>"
    return f"{svg}<div class=legend style='height:{legend_px - 4}px'>{legend}</div>"


Points = Sequence[tuple[float, float]]
Plot = tuple[int, int, int, int]


def _stacked(lines: Sequence[Line]) -> list[tuple[Points, Points | None]]:
    moments = sorted({at for line in lines for at, _ in line.points})
    below = dict.fromkeys(moments, 0.0)
    found: list[tuple[Points, Points | None]] = []
    for line in lines:
        own = dict(line.points)
        above = {at: below[at] + own.get(at, 0.0) for at in moments}
        found.append((list(above.items()), list(below.items())))
        below = above
    return found


def _curve(
    points: Points, below: Points | None, colour: str, plot: Plot, times: tuple[float, float], top: float
) -> str:
    def spot(at: float, value: float) -> str:
        x = plot[0] + (at - times[0]) / (times[1] - times[0]) * (plot[2] - plot[0])
        y = plot[3] - min(value / top, 1) * (plot[3] - plot[1])
        return f"{x:.1f},{y:.1f}"

    line = " ".join(spot(*point) for point in points)
    dot = f"<circle cx={line.split(',')[0]} cy={line.split(',')[1]} r=2 fill='{colour}'/>" if len(points) == 1 else ""
    area = ""
    if below is not None:
        back = " ".join(spot(*point) for point in reversed(below))
        area = f"<polygon points='{line} {back}' fill='{colour}' fill-opacity=.25 />"
    return f"{area}<polyline points='{line}' fill=none stroke='{colour}' stroke-width=1.4 />{dot}"


def _axes(plot: Plot, times: tuple[float, float], top: float, unit: str) -> str:
    left, upper, right, lower = plot
    marks = []
    for step in range(5):
        y = lower - step / 4 * (lower - upper)
        label = said(top * step / 4, unit)
        marks.append(f"<line x1={left} x2={right} y1={y:.1f} y2={y:.1f} stroke='#2c3036'/>")
        marks.append(f"<text x={left - 6} y={y + 3:.1f} text-anchor=end>{label}</text>")
    for step in range(5):
        at = times[0] + step / 4 * (times[1] - times[0])
        x = left + step / 4 * (right - left)
        label = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        marks.append(f"<text x={x:.1f} y={lower + 15} text-anchor={'end' if step == 4 else 'middle'}>{label}</text>")
    return "".join(marks)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * power >= value * 0.999)


def said(value: float, unit: str) -> str:
    """Format a value roughly as Grafana does."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    suffix = {"reqps": " req/s", "ops": " /s"}.get(unit, "")
    return f"{value / 1000:.3g} K{suffix}" if value >= 1000 else f"{value:.3g}{suffix}"


def _seconds(value: float) -> str:
    if value >= 120:
        return f"{value / 60:.3g} min"
    if value >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{value * 1000:.3g} ms" if value >= 0.001 else f"{value * 1e6:.3g} µs"
