"""Draw the Grafana dashboard's panels as a PNG, from a Prometheus that scraped a relay: URL START END OUTPUT."""

import json
import math
import re
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent.parent / "charts" / "relay" / "dashboards" / "relay.json"
RATE_INTERVAL = "5s"
UNITS = {"Bps": (1e6, "MB/s"), "bytes": (1e6, "MB"), "s": (1, "s"), "percentunit": (0.01, "%"), "short": (1, "")}


@dataclass(frozen=True)
class Series:
    """One line: legend, Unix times, values."""

    legend: str
    times: list[float]
    values: list[float]


def dashboard() -> dict[str, Any]:
    """The dashboard as the chart ships it."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def expand(expr: str, *, namespace: str = ".+", pod: str = ".+") -> str:
    """A query with Grafana's variables set; by default every namespace and pod."""
    expr = expr.replace("$__rate_interval", RATE_INTERVAL).replace(
        'namespace="$namespace"', f'namespace=~"{namespace}"'
    )
    return expr.replace("$pod", pod)


def ask(url: str, path: str, **fields: Any) -> Any:
    """Data of one call of Prometheus' API."""
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(fields)}", timeout=10) as answer:
        return json.load(answer)["data"]


def query(url: str, target: dict[str, str], start: float, end: float) -> list[Series]:
    """What one target of a panel shows; samples that are not numbers left out."""
    found = []
    for item in ask(url, "query_range", query=expand(target["expr"]), start=start, end=end, step=1)["result"]:
        samples = [(time, float(value)) for time, value in item["values"] if math.isfinite(float(value))]
        legend = re.sub(
            r"{{(\w+)}}", lambda match, labels=item["metric"]: labels.get(match[1], ""), target["legendFormat"]
        )
        if samples:
            found.append(Series(legend, [time for time, _ in samples], [value for _, value in samples]))
    return found


def draw(url: str, start: float, end: float, output: Path) -> None:
    """Every panel at its place in the grid."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = dashboard()["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = pyplot.figure(figsize=(15, height * 0.36))
    for panel in panels:
        place = panel["gridPos"]
        # Margins for title and ticks, in units of the grid.
        left, bottom, width, tall = place["x"] + 0.9, place["y"] + place["h"] - 1, place["w"] - 1.3, place["h"] - 2.2
        axes = figure.add_axes((left / 24, 1 - bottom / height, width / 24, tall / height))
        axes.set_title(panel["title"], fontsize=10, loc="left")
        lines = [series for target in panel["targets"] for series in query(url, target, start, end)]
        scale, word = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
        if panel["type"] == "stat":
            value = lines[0].values[-1] / scale if lines else math.nan
            axes.text(0.0, 0.4, f"{value:.4g} {word}".strip(), va="center", fontsize=20)
            axes.axis("off")
            continue
        if "stacking" in panel["fieldConfig"]["defaults"]["custom"]:
            times = sorted({time for line in lines for time in line.times})
            heights = [dict(zip(line.times, line.values, strict=True)) for line in lines]
            axes.stackplot(
                [time - start for time in times],
                [[found.get(time, 0) / scale for time in times] for found in heights],
                labels=[line.legend for line in lines],
            )
        else:
            for line in lines:
                axes.plot([time - start for time in line.times], [v / scale for v in line.values], label=line.legend)
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # the legend stands above the lines
        axes.set_xlim(0, end - start)
        axes.annotate(word, (0, 1), xycoords="axes fraction", xytext=(3, -11), textcoords="offset points", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, ncols=4, loc="upper right")
    figure.savefig(output, dpi=80)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
