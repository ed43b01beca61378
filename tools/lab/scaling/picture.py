"""The 99th percentile by utilisation, as an SVG with a curve for each number of replicas."""

from math import log10
from pathlib import Path

from tools.lab.scaling.figures import Measured
from tools.lab.scaling.stations import one_station, quantile

PICTURE = Path("docs/images/scaling.svg")
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 320, 56, 40
CURVES = {1: "#b3261e", 3: "#7a5af5", 12: "#0b7a5b"}
"""The numbers of replicas, each with its colour."""
STEPS = tuple(part / 100 for part in (10, 30, 50, 60, 70, 80, 85, 90, 95))
MARKS_MS = (1, 2, 5, 10, 20, 50)


def picture(measured: Measured, many: int = 8_000) -> None:
    service = measured.dashboard.gateway / 1e6
    curves = []
    for row, (servers, colour) in enumerate(CURVES.items()):
        stays = {step: one_station(step, servers, service, shared=False, many=many) for step in STEPS}
        times = {step: quantile((visit.took_s for visit in stay), 0.99) * 1000 for step, stay in stays.items()}
        points = " ".join(f"{_x(step):.0f},{_y(time):.0f}" for step, time in times.items())
        curves.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        curves.append(_text(LEFT + 12, 24 + 18 * row, f"{servers} replicas", f'fill="{colour}"'))
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{_axes()}{"".join(curves)}</svg>\n'
    )


def _axes() -> str:
    lines = [
        f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{_y(mark):.0f}" y2="{_y(mark):.0f}" stroke="#ddd"/>'
        + _text(LEFT - 8, _y(mark) + 4, f"{mark} ms", 'text-anchor="end"')
        for mark in MARKS_MS
    ]
    lines += [_text(_x(part / 10), HEIGHT - 20, f"{part}0 %", 'text-anchor="middle"') for part in range(1, 10)]
    lines.append(_text(WIDTH / 2, HEIGHT - 4, "how busy the gateways are; p99 of a dashboard", 'text-anchor="middle"'))
    return "".join(lines)


def _text(x: float, y: float, text: str, more: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{text}</text>'


def _x(utilisation: float) -> float:
    return LEFT + utilisation * (WIDTH - LEFT - 12)


def _y(milliseconds: float) -> float:
    top, low, high = 12, log10(MARKS_MS[0]), log10(MARKS_MS[-1])
    return HEIGHT - BOTTOM - (log10(milliseconds) - low) / (high - low) * (HEIGHT - BOTTOM - top)
