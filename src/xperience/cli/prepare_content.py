"""`xperience prepare audit | review`."""

from pathlib import Path

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError
from xperience.common.evidence import artefact_in
from xperience.common.files import write_atomic
from xperience.common.settings.prepare import BalanceSettings, PrepareAuditSettings, PrepareReviewSettings
from xperience.prepare.content import ContentAudit, Thresholds
from xperience.prepare.data_root import look_at
from xperience.prepare.manifest import EpisodeManifest
from xperience.prepare.planned import Sources, planned_episodes, read_transfer
from xperience.prepare.review import review as review_of
from xperience.prepare.splits import Fractions
from xperience.prepare.verdicts import Verdicts
from xperience.selection.plan_file import read_selection

app = typer.Typer()


def thresholds_of(settings: BalanceSettings) -> Thresholds:
    """What the settings call out of balance."""
    return Thresholds(
        dominant_share=settings.dominant_share, pool_margin=settings.pool_margin, null_quantile=settings.null_quantile,
        null_draws=settings.null_draws, unknown_share=settings.unknown_share, seed=settings.audit_seed,
    )  # fmt: skip


@command(app, "audit", PrepareAuditSettings)
def audit(settings: PrepareAuditSettings) -> None:
    """Say what the captions are about, split by split; 65 where a category dominates or splits differ."""
    from xperience.prepare.audit import audit as audit_content
    from xperience.prepare.audit import csv_of, pool_shares
    from xperience.prepare.audit_report import html, markdown
    from xperience.prepare.workers import Workers

    data_root, output = settings.place(settings.data_root), settings.place(settings.output_json)
    selection = read_selection(settings.place(settings.selection_json)) if settings.selection_json else None
    disk = look_at(data_root)
    sources = Sources(disk, selection, read_transfer(data_root, disk), Verdicts())
    planned, _ = planned_episodes(sources, Fractions(), 0, redraw=False)
    inputs = {"selection": selection.source_sha256} if selection else {}
    if sources.transfer is not None:
        inputs["transfer_manifest"] = sources.transfer.content_sha256
    manifest = settings.place(settings.manifest_json) if settings.manifest_json else None
    manifest = manifest or artefact_in(output.parent, EpisodeManifest.SCHEMA, flag="--manifest-json")
    if manifest is not None:
        inputs["manifest"] = EpisodeManifest.read(manifest).content_sha256
    pool = None
    if settings.pool_json is not None:
        wider = ContentAudit.read(settings.place(settings.pool_json))
        inputs["pool"] = wider.content_sha256
        pool = pool_shares(wider.rows)
    with Workers(
        timeout_seconds=settings.worker_timeout_seconds, memory_bytes=settings.worker_memory_mib << 20
    ) as workers:
        found = audit_content(
            planned, data_root, thresholds_of(settings), lambda path: workers.look_at_file("texts", path),
            jobs=settings.jobs, clusters=settings.clusters, pool=pool, inputs=inputs,
            selection_json=settings.selection_json.name if settings.selection_json else "",
        )  # fmt: skip
    found.write(output)
    report = settings.place(settings.report_output)
    write_atomic(settings.place(settings.output_csv), csv_of(found))
    write_atomic(report, markdown(found))
    write_atomic(report.with_suffix(".html"), html(found))
    if settings.json_output:
        print_json(found.model_dump(mode="json", exclude={"rows"}))
    else:
        _print_audit(found, report)
    if found.status == "fail":
        raise BadDataError(
            "the content audit fails", where=str(output), why="; ".join(found.findings),
            fix="Swap episodes (`xperience prepare replace --until-balanced`), then audit again.",
        )  # fmt: skip


def _print_audit(found: ContentAudit, report: Path) -> None:
    print_table(
        f"content audit: {found.status}",
        ("split", "episodes", "largest category", "share", "limit"),
        [(s.split, s.episodes, s.largest_category, f"{s.largest_share:.1%}", f"{s.limit:.1%}") for s in found.splits],
    )
    for line in (*found.findings, *found.warnings):
        out.print(f"  {line}")
    out.print(f"report in {report} and {report.with_suffix('.html').name}; next: `xperience prepare review`")


@command(app, "review", PrepareReviewSettings)
def review(settings: PrepareReviewSettings) -> None:
    """Record who accepts the audit; a failed one passes only by accept-with-exception and its reason."""
    audit_json = settings.audit_json.expanduser()
    found = review_of(
        ContentAudit.read(audit_json), reviewer=settings.reviewer, decision=settings.decision, reason=settings.reason
    )
    output = (settings.output or audit_json.parent / "audit_review.json").expanduser()
    found.write(output)
    out.print(f"{found.decision} by {found.reviewer} at {found.reviewed_at} of audit {found.inputs['audit'][:12]}…")
    out.print(f"in {output}; it is void as soon as the audit's content changes")
