"""Two kinds of drawings on logarithmic axes, as SVG that reads well on light and dark pages. The same numbers give the
same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .limit { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 4 3; }
  .strong { font-weight: 600; }
  .c0 { fill: #0969da; stroke: #0969da; } .c1 { fill: #bc4c00; stroke: #bc4c00; }
  .c2 { fill: #6e7781; stroke: #6e7781; }
  .c3 { fill: #1a7f37; stroke: #1a7f37; } .c4 { fill: #cf222e; stroke: #cf222e; }
  .stem { stroke-width: 2; stroke-opacity: 0.45; } .line { fill: none; stroke-width: 2; }
  .key { stroke: none; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; } .limit { stroke: #9198a1; }
    .c0 { fill: #4493f8; stroke: #4493f8; } .c1 { fill: #f0883e; stroke: #f0883e; }
    .c2 { fill: #9198a1; stroke: #9198a1; }
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


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text{attributes} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _rule(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<line class="{kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'


def _dot(kind: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _document(width: float, height: float, title: str, subtitle: str, body: list[str]) -> str:
    everything = "\n".join([_text(16, 28, title, "title"), _text(16, 48, subtitle, "quiet"), *body])
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    label = f'role="img" aria-label="{escape(title, quote=True)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>\n<style>{STYLE}</style>\n{everything}\n</svg>\n'


def dots(
    title: str,
    subtitle: str,
    rows: Sequence[Dot],
    tick_label: Callable[[float], str] = time_label,
    limit: float | None = None,
) -> str:
    """A row for each value, on one axis; a dashed line at `limit`."""
    left = 40 + 7.2 * max(len(row.label) for row in rows)
    width, top, step = left + 480, 72, 26
    bottom = top + step * len(rows)
    axis = _Axis([row.value for row in rows] + ([limit] if limit else []), left, width - 90)
    body = []
    for tick in axis.ticks():
        x = axis.at(tick)
        body.append(_rule("grid", (x, top - 6), (x, bottom)))
        body.append(_text(x, bottom + 18, tick_label(tick), "quiet", "middle"))
    if limit:
        body.append(_rule("limit", (axis.at(limit), top - 6), (axis.at(limit), bottom)))
    for index, row in enumerate(rows):
        x, y = axis.at(row.value), top + step * index + step / 2
        kind = "strong" if row.strong else ""
        body.append(_text(left - 12, y + 4, row.label, kind, "end"))
        body.append(_rule(f"c{row.colour} stem", (left, y), (x, y)))
        body.append(_dot(f"c{row.colour}", x, y, 5))
        body.append(_text(x + 11, y + 4, row.text, kind))
    return _document(width, bottom + 32, title, subtitle, body)


def lines(title: str, subtitle: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Panels side by side with the same axes: sizes across, times up."""
    width, top, height, gap, left = 860, 100, 270, 40, 72
    panel_width = (width - left - 24 - gap * (len(panels) - 1)) / len(panels)
    points = [point for _, drawn in panels for line in drawn for point in line.points]
    up = _Axis([y for _, y in points], top + height, top)
    body = []
    key_at: float = left
    for line in panels[0][1]:
        body += [_dot(f"c{line.colour} key", key_at, 66, 5), _text(key_at + 10, 70, line.label)]
        key_at += 30 + 8 * len(line.label)
    for number, (name, drawn) in enumerate(panels):
        start = left + number * (panel_width + gap)
        end = start + panel_width
        across = _Axis([x for x, _ in points], start + 12, end - 12)
        body.append(_text((start + end) / 2, top - 10, name, "strong", "middle"))
        for tick in up.ticks():
            body.append(_rule("grid", (start, up.at(tick)), (end, up.at(tick))))
            if number == 0:
                body.append(_text(start - 8, up.at(tick) + 4, time_label(tick), "quiet", "end"))
        for tick in across.ticks():
            body.append(_text(across.at(tick), top + height + 18, size_label(tick), "quiet", "middle"))
        for line in reversed(drawn):
            places = [(across.at(x), up.at(y)) for x, y in line.points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            body.append(f'<polyline class="c{line.colour} line" points="{path}"/>')
            body += [_dot(f"c{line.colour}", x, y, 3.5) for x, y in places]
    return _document(width, top + height + 34, title, subtitle, body)
