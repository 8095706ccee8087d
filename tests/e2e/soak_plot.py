"""Memory and descriptors over time, as an SVG of two panels; no library draws it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, PANEL, MARGIN = 900, 260, 60
COLOURS = ("#1f6fb4", "#d1592a", "#3a8f3a", "#8b4fae")


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment, seconds since the soak began."""

    at: float
    process: str
    rss_bytes: int
    descriptors: int


def draw(samples: Sequence[Sample], target: Path) -> None:
    """Write the SVG: points, since each process of a name begins anew."""
    names = sorted({sample.process for sample in samples})
    end = max(sample.at for sample in samples)
    panels = (
        ("resident memory, MiB", [(sample, sample.rss_bytes / 2**20) for sample in samples]),
        ("open descriptors", [(sample, float(sample.descriptors)) for sample in samples]),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * PANEL}" font-family="sans-serif"'
        f' font-size="12"><rect width="{WIDTH}" height="{2 * PANEL}" fill="white"/>'
    ]
    for number, (title, points) in enumerate(panels):
        top, bottom = number * PANEL + 30, (number + 1) * PANEL - 30
        most = max(value for _, value in points) * 1.1
        parts.append(f'<text x="{MARGIN}" y="{top - 10}">{title}, over {end / 60:.1f} minutes</text>')
        parts.append(f'<path d="M{MARGIN} {top}V{bottom}H{WIDTH - 20}" fill="none" stroke="black"/>')
        for share in (0.0, 0.5, 1.0):
            y = bottom - share * (bottom - top)
            parts.append(f'<text x="{MARGIN - 8}" y="{y + 4:.0f}" text-anchor="end">{most * share:.0f}</text>')
        for sample, value in points:
            x = MARGIN + sample.at / end * (WIDTH - 20 - MARGIN)
            y = bottom - value / most * (bottom - top)
            colour = COLOURS[names.index(sample.process) % len(COLOURS)]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="{colour}"/>')
    for number, name in enumerate(names):
        x = WIDTH - 130 * (len(names) - number)
        parts.append(f'<text x="{x}" y="20" fill="{COLOURS[number % len(COLOURS)]}">● {name}</text>')
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([*parts, "</svg>"]) + "\n")
