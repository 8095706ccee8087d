"""Charts as SVG text: no script, no font, no address; colours come from the page's own style."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 640
LABEL = 150
ROW = 26
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
    height, room = len(rows) * (ROW + 6) + 4, WIDTH - LABEL - 110
    lines = [_open(height, title)]
    for number, (name, value, text) in enumerate(rows):
        top, width = number * (ROW + 6) + 2, max(0.0, value) / most * room
        lines.append(_label(name, top))
        lines.append(f'<rect class="c0" x="{LABEL}" y="{top}" width="{width:.1f}" height="{ROW}"></rect>')
        lines.append(f'<text class="beside" x="{WIDTH - 104}" y="{top + ROW / 2 + 4:.1f}">{escape(text)}</text>')
        mark = (marks or {}).get(name)
        if mark is not None:
            place = LABEL + mark / most * room
            lines.append(f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{top - 1}" y2="{top + ROW + 1}"/>')
    return "".join([*lines, "</svg>"])


def curve(series: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Lines through (x, y) points on common axes; the ends of both axes are written."""
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    height, left, bottom = 220, 60, 24
    xs, ys = [x for x, _ in points], [y for _, y in points]
    wide, tall = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    lines = [_open(height, title)]
    for place, (name, line) in enumerate(series.items()):
        drawn = " ".join(
            f"{left + (x - min(xs)) / wide * (WIDTH - left - 10):.1f},"
            f"{8 + (max(ys) - y) / tall * (height - bottom - 16):.1f}"
            for x, y in line
        )
        lines.append(f'<polyline class="l{place % COLOURS}" points="{drawn}"><title>{escape(name)}</title></polyline>')
    for value, top in ((max(ys), 14), (min(ys), height - bottom)):
        lines.append(f'<text x="{left - 6}" y="{top}" text-anchor="end">{value:.4g}</text>')
    lines.append(f'<text x="{left}" y="{height - 6}">{min(xs):.4g}</text>')
    lines.append(f'<text x="{WIDTH - 10}" y="{height - 6}" text-anchor="end">{max(xs):.4g}</text>')
    return "".join([*lines, "</svg>"])


def _open(height: int, title: str) -> str:
    return f'<svg role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(title)}"><title>{escape(title)}</title>'


def _label(name: str, top: float) -> str:
    shown = name if len(name) <= 22 else f"{name[:21]}…"
    return f'<text x="{LABEL - 8}" y="{top + ROW / 2 + 4:.1f}" text-anchor="end">{escape(shown)}</text>'
