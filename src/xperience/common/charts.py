"""Charts as SVG text: no script, no font, no address; colours come from the page's own style."""

from collections.abc import Mapping, Sequence
from html import escape

# Narrow, so that text in it stays readable on a phone.
WIDTH = 440
LABEL = 122
ROW = 22
COLOURS = 12


def stacked(shares: Mapping[str, Mapping[str, float]], order: Sequence[str], title: str) -> str:
    """One bar per key, parts of 1 in the given order; the page's classes c0 … c11 colour them."""
    height = len(shares) * (ROW + 8) + 4
    lines = [_open(height, title)]
    for number, (name, parts) in enumerate(shares.items()):
        top, left = number * (ROW + 8) + 2, float(LABEL)
        lines.append(_label(name, top))
        for place, part in enumerate(order):
            share = parts.get(part, 0.0)
            if share <= 0:
                continue
            width = share * (WIDTH - LABEL)
            tip = f"<title>{escape(f'{name}: {part} {share:.1%}')}</title>"
            lines.append(
                f'<rect class="c{place % COLOURS}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}">{tip}'
                "</rect>"
            )
            if share >= 0.08:
                lines.append(
                    f'<text class="in" x="{left + width / 2:.1f}" y="{top + ROW / 2 + 4:.1f}">{share:.0%}</text>'
                )
            left += width
    return "".join([*lines, "</svg>"])


def legend(order: Sequence[str]) -> str:
    """The colours' names."""
    items = "".join(
        f'<li><span class="key c{place % COLOURS}"></span>{escape(name)}</li>' for place, name in enumerate(order)
    )
    return f'<ul class="legend">{items}</ul>'


def bars(rows: Sequence[tuple[str, float, str]], title: str, *, marks: Mapping[str, float] | None = None) -> str:
    """Bars of (name, value, text beside it) from 0; `marks` draws a line at a value of the bar of that name."""
    most = max([value for _, value, _ in rows] + list((marks or {}).values()) + [1e-9])
    height, room = len(rows) * (ROW + 6) + 4, WIDTH - LABEL - 92
    lines = [_open(height, title)]
    for number, (name, value, text) in enumerate(rows):
        top, width = number * (ROW + 6) + 2, max(0.0, value) / most * room
        lines.append(_label(name, top))
        lines.append(f'<rect class="c0" x="{LABEL}" y="{top}" width="{width:.1f}" height="{ROW}"></rect>')
        lines.append(f'<text class="beside" x="{WIDTH - 86}" y="{top + ROW / 2 + 4:.1f}">{escape(text)}</text>')
        mark = (marks or {}).get(name)
        if mark is not None:
            place = LABEL + mark / most * room
            lines.append(f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{top - 1}" y2="{top + ROW + 1}"/>')
    return "".join([*lines, "</svg>"])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """A line per name through its (x, y), y from 0, with the largest of both axes written at them."""
    points = [point for of_one in series.values() for point in of_one]
    most_x, most_y = (max([1e-9, *(point[axis] for point in points)]) for axis in (0, 1))
    left, top, width, height = 44, 10, WIDTH - 60, 160
    drawn = [_open(height + 34, title)]
    drawn.append(f'<text x="{left - 6}" y="{top + 6}" text-anchor="end">{most_y:.3g}</text>')
    drawn.append(f'<text x="{left - 6}" y="{top + height}" text-anchor="end">0</text>')
    drawn.append(f'<text x="{left + width}" y="{top + height + 18}" text-anchor="end">{most_x:.0f}</text>')
    drawn.append(f'<path class="axis" d="M{left} {top}V{top + height}H{left + width}"/>')
    for place, (name, of_one) in enumerate(series.items()):
        path = " ".join(f"{left + x / most_x * width:.1f},{top + height - y / most_y * height:.1f}" for x, y in of_one)
        drawn.append(f'<polyline class="l{place % COLOURS}" points="{path}"><title>{escape(name)}</title></polyline>')
    return "".join([*drawn, "</svg>"])


def projections(paths: Mapping[str, Sequence[Sequence[float]]], title: str) -> str:
    """Paths in space, points of (x, y, z), seen along each axis; one scale for all three views, a dot at the start."""
    points = [point for path in paths.values() for point in path]
    lows = [min((point[axis] for point in points), default=0.0) for axis in range(3)]
    span = max([1e-9, *(max((p[axis] for p in points), default=0.0) - lows[axis] for axis in range(3))])
    side, gap = (WIDTH - 40) / 3, 20
    drawn = [_open(round(side) + 26, f"{title}; a side is {span:.3g} m")]
    for number, (across, up) in enumerate(((0, 1), (0, 2), (2, 1))):
        left = number * (side + gap)
        drawn.append(f'<path class="axis" d="M{left:.1f} 0V{side:.1f}H{left + side:.1f}"/>')
        label = f"{'xyz'[across]} → {'xyz'[up]}"
        drawn.append(f'<text x="{left + side / 2:.1f}" y="{side + 16:.1f}" text-anchor="middle">{label}</text>')
        for place, (name, path) in enumerate(paths.items()):
            seen = [
                (left + (point[across] - lows[across]) / span * side, side - (point[up] - lows[up]) / span * side)
                for point in path
            ]
            spots = " ".join(f"{x:.1f},{y:.1f}" for x, y in seen)
            drawn.append(
                f'<polyline class="l{place % COLOURS}" points="{spots}"><title>{escape(name)}</title></polyline>'
            )
            drawn += [f'<circle class="c{place % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in seen[:1]]
    return "".join([*drawn, "</svg>"])


def _open(height: int, title: str) -> str:
    return f'<svg role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(title)}"><title>{escape(title)}</title>'


def _label(name: str, top: float) -> str:
    shown = name if len(name) <= 18 else f"{name[:17]}…"
    return f'<text x="{LABEL - 8}" y="{top + ROW / 2 + 4:.1f}" text-anchor="end">{escape(shown)}</text>'
