"""Two kinds of drawings on logarithmic axes, as SVG that reads well on light and dark pages. The same numbers give the same
bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .limit { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .strong { font-weight: 600; }
  .c0 { fill: #0969da; stroke: #0969da; } .c1 { fill: #bc4c00; stroke: #bc4c00; } .c2 { fill: #6e7781; stroke: #6e7781; }
  .c3 { fill: #1a7f37; stroke: #1a7f37; } .c4 { fill: #cf222e; stroke: #cf222e; }
  .stem { stroke-width: 2; stroke-opacity: 0.45; } .line { fill: none; stroke-width: 2; }
  .key { stroke: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; } .limit { stroke: #9198a1; }
    .c0 { fill: #4493f8; stroke: #4493f8; } .c1 { fill: #f0883e; stroke: #f0883e; } .c2 { fill: #9198a1; stroke: #9198a1; }
    .c3 { fill: #3fb950; stroke: #3fb950; } .c4 { fill: #f85149; stroke: #f85149; }
    .key { stroke: none; } .line { fill: none; }
  }
"""


@dataclass(frozen=True)
class Dot:
    label: str
    value: float
    text: str  # what stands beside the dot
    colour: int = 2
    strong: bool = False


@dataclass(frozen=True)
class Line:
    label: str
    points: Sequence[tuple[float, float]]
    colour: int


class _Axis:
    """Logarithmic, between powers of ten, or of ten times two and five when there are few of those."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.low = 10 ** math.floor(math.log10(min(values)) + 1e-9)
        self.high = 10 ** math.ceil(math.log10(max(values)) - 1e-9)
        if self.high <= self.low:
            self.high = self.low * 10
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        part = math.log10(value / self.low) / math.log10(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        decades = round(math.log10(self.high / self.low))
        steps = (1, 2, 5) if decades <= 1 else (1, 3) if decades == 2 else (1,)
        first = round(math.log10(self.low))
        all_of_them = [step * 10.0 ** (first + decade) for decade in range(decades + 1) for step in steps]
        return [tick for tick in all_of_them if tick <= self.high * 1.0001]


def time_label(microseconds: float) -> str:
    for scale, unit in ((1e6, "s"), (1e3, "ms"), (1.0, "µs")):
        if microseconds >= scale:
            return f"{microseconds / scale:.3g} {unit}"
    return f"{microseconds * 1e3:.3g} ns"


def ratio_label(value: float) -> str:
    return f"{value:.3g} x"


def size_label(size: float) -> str:
    for scale, unit in ((1e6, "MB"), (1e3, "kB")):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.3g} B"


def _document(width: float, height: float, title: str, subtitle: str, body: list[str]) -> str:
    heading = [
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
        f'<text class="quiet" x="16" y="48">{escape(subtitle)}</text>',
    ]
    lines = "\n".join(heading + body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title, quote=True)}">\n<style>{STYLE}</style>\n{lines}\n</svg>\n'
    )


def dots(title: str, subtitle: str, rows: Sequence[Dot], tick_label=time_label, limit: float | None = None) -> str:
    """A row for each value, on one axis; a dashed line at `limit`."""
    width, left, top, step = 760, 290, 72, 26
    bottom = top + step * len(rows)
    values = [row.value for row in rows] + ([limit] if limit else [])
    axis = _Axis(values, left, width - 90)
    body = []
    for tick in axis.ticks():
        x = axis.at(tick)
        body.append(f'<line class="grid" x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{bottom}"/>')
        body.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick_label(tick)}</text>')
    if limit:
        x = axis.at(limit)
        body.append(f'<line class="limit" x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{bottom}"/>')
    for index, row in enumerate(rows):
        y = top + step * index + step / 2
        x = axis.at(row.value)
        strong = ' class="strong"' if row.strong else ""
        body.append(f'<text{strong} x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(row.label)}</text>')
        body.append(f'<line class="c{row.colour} stem" x1="{left}" y1="{y:.1f}" x2="{x:.1f}" y2="{y:.1f}"/>')
        body.append(f'<circle class="c{row.colour}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        body.append(f'<text{strong} x="{x + 11:.1f}" y="{y + 4:.1f}">{escape(row.text)}</text>')
    return _document(width, bottom + 32, title, subtitle, body)


def lines(title: str, subtitle: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Panels side by side with the same axes: sizes across, times up."""
    width, top, height, gap, left = 860, 92, 270, 40, 72
    panel_width = (width - left - 24 - gap * (len(panels) - 1)) / len(panels)
    points = [point for _, drawn in panels for line in drawn for point in line.points]
    body = []
    up = _Axis([y for _, y in points], top + height, top)
    key_at = left
    for line in panels[0][1]:
        body.append(f'<circle class="c{line.colour} key" cx="{key_at}" cy="66" r="5"/>')
        body.append(f'<text x="{key_at + 10}" y="70">{escape(line.label)}</text>')
        key_at += 30 + 8 * len(line.label)
    for number, (name, drawn) in enumerate(panels):
        start = left + number * (panel_width + gap)
        across = _Axis([x for x, _ in points], start + 12, start + panel_width - 12)
        body.append(f'<text class="strong" x="{start + panel_width / 2:.1f}" y="{top - 8}" text-anchor="middle">{name}</text>')
        for tick in up.ticks():
            y = up.at(tick)
            body.append(f'<line class="grid" x1="{start:.1f}" y1="{y:.1f}" x2="{start + panel_width:.1f}" y2="{y:.1f}"/>')
            if number == 0:
                body.append(
                    f'<text class="quiet" x="{start - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{time_label(tick)}</text>'
                )
        for tick in across.ticks():
            x = across.at(tick)
            body.append(
                f'<text class="quiet" x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">{size_label(tick)}</text>'
            )
        for line in reversed(drawn):
            places = [(across.at(x), up.at(y)) for x, y in line.points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            body.append(f'<polyline class="c{line.colour} line" points="{path}"/>')
            body += [f'<circle class="c{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places]
    return _document(width, top + height + 34, title, subtitle, body)
