"""The report: one page over all artefacts, for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from xperience.common.charts import bars, legend, lines, projections, stacked
from xperience.common.evidence import now_utc
from xperience.common.page import render
from xperience.gates.bundle import Bundle, CompatibilityView, EvaluationView, PostTrainingView, RelayView
from xperience.gates.cosmos import CosmosResults
from xperience.gates.evaluate import Step, evaluate
from xperience.prepare.audit_report import charts_of
from xperience.prepare.content import ContentAudit
from xperience.prepare.manifest import EpisodeManifest, fit
from xperience.prepare.review import AuditReview
from xperience.selection.document import BANDS, SPLITS
from xperience.selection.model import Selection

Losses = Mapping[str, Sequence[tuple[int, float]]]


def page(
    bundle: Bundle, step: Step, title: str, losses: Losses | None = None, cosmos: CosmosResults | None = None
) -> str:
    """HTML; a stage without artefact says so. `losses`: of training steps and of validations, as (step, loss)."""
    audit, relay = bundle.get("audit", ContentAudit), bundle.get("relay", RelayView)
    manifest = bundle.get("manifest", EpisodeManifest)
    review = bundle.get("review", AuditReview)
    return render(
        "report.html.j2",
        title=title,
        generated_at=now_utc(),
        gates=evaluate(bundle, step),
        faults=bundle.faults,
        selection=_selection(bundle.selection) if bundle.selection else None,
        relay=relay,
        relay_charts=_relay_charts(relay) if relay else None,
        manifest=manifest,
        usable=_usable(manifest) if manifest else None,
        audit=audit,
        audit_charts=charts_of(audit) if audit else None,
        review=review,
        review_stands=bool(review and audit and review.is_of(audit)),
        training=_training(losses) if losses else None,
        evaluation=bundle.get("evaluation", EvaluationView),
        compatibility=bundle.get("compatibility", CompatibilityView),
        post_training=_results(bundle.get("post_training", PostTrainingView)),
        cosmos=cosmos.evaluations if cosmos else None,
        clips=_clips(cosmos) if cosmos else [],
    )


def _selection(selection: Selection) -> dict[str, Any]:
    counts = Counter((episode.split, episode.size_band) for episode in selection.episodes)
    shares = {
        f"{split} ({total})": {band: counts[split, band] / total for band in BANDS}
        for split in SPLITS
        if (total := sum(counts[split, band] for band in BANDS))
    }
    return {
        "of": selection,
        "sessions": len({episode.session for episode in selection.episodes}),
        "splits": {split: sum(counts[split, band] for band in BANDS) for split in SPLITS},
        "chart": stacked(shares, BANDS, "Size bands in each split"),
        "legend": legend(BANDS),
    }


def _relay_charts(relay: RelayView) -> dict[str, str]:
    timed = [batch for batch in relay.batches if batch.wall_seconds is not None]
    return {
        "legs": bars(
            [
                (name, leg.bytes_per_second / 1e6, f"{leg.bytes_per_second / 1e6:.1f} MB/s")
                for name, leg in (("download", relay.download), ("transfer", relay.transfer))
            ],
            "Rate of each leg while it was busy",
        ),
        "batches": bars(
            [(f"batch {b.index}: {b.files} files", b.wall_seconds or 0.0, f"{b.wall_seconds:.0f} s") for b in timed],
            "Wall time of each batch",
        )
        if timed
        else "",
    }


def _usable(manifest: EpisodeManifest) -> dict[str, Any]:
    known = manifest.summary.usable_episodes is not None
    rows = []
    for split in SPLITS:
        listed = [episode for episode in manifest.episodes if episode.split == split]
        rows.append((split, len(listed), sum(e.staged for e in listed), sum(fit(e, manifest.purposes) for e in listed)))
    return {
        "known": known,
        "rows": rows,
        "unfit": [episode for episode in manifest.episodes if not fit(episode, manifest.purposes)] if known else [],
    }


def _training(losses: Losses) -> dict[str, Any]:
    named = {"training": losses["step"], "validation": losses["validation"]}
    there = {name: found for name, found in named.items() if found}
    return {
        "chart": lines(there, "Loss by step"),
        "legend": legend(list(there)),
        "steps": losses["step"][-1][0] if losses["step"] else 0,
        "best": min((loss for _, loss in losses["validation"]), default=None),
    }


def _clips(found: CosmosResults) -> list[dict[str, Any]]:
    return [
        {
            "of": clip,
            "what": f"{shown.mode}, {shown.split}",
            "chart": projections(clip.paths_metres, f"Path of the camera in {clip.record_id}"),
            "legend": legend(list(clip.paths_metres)),
        }
        for shown in found.shown
        for clip in shown.clips
    ]


def _results(found: PostTrainingView | None) -> dict[str, Any] | None:
    return None if found is None else {"of": found, "figures": dict(_figures(found.metrics))}


def _figures(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Every number of a nested table, by its dotted name."""
    found: list[tuple[str, float]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += _figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{name}", float(value)))
    return found
