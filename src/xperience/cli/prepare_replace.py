"""`xperience prepare replace`."""

from typing import TYPE_CHECKING

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError, UsageError
from xperience.common.evidence import artefact_in
from xperience.common.log import configure_log
from xperience.common.settings.prepare import PrepareReplaceSettings
from xperience.common.signals import stop_on_signal
from xperience.common.verdicts import CheckView, ProbeView
from xperience.hub.opening import open_hub
from xperience.prepare.content import ContentAudit
from xperience.prepare.verdicts import Verdicts, read_verdicts
from xperience.selection.document import PinnedSelection, PlanDocument, RepositorySelection
from xperience.selection.plan_file import read_document, sha256_of_selection
from xperience.selection.swap import Pool, Swap, apply

if TYPE_CHECKING:
    from xperience.prepare.replace import Prober, ReplacementPlan

app = typer.Typer()


@command(app, "replace", PrepareReplaceSettings)
def replace(settings: PrepareReplaceSettings) -> None:
    """Swap unusable, named or unbalancing episodes for probed ones of the same split and band; shows, and writes."""
    from xperience.prepare.candidates import prober
    from xperience.prepare.replace import ReplacementPlan, offenders, proposal, swap_offenders
    from xperience.prepare.usable import purposes_of

    purposes = purposes_of(settings.purposes)
    configure_log(settings.log_format, settings.log_level)
    parent = read_document(settings.selection_json)
    if isinstance(parent, RepositorySelection):
        raise UsageError("the selection has no episodes", where=str(settings.selection_json))
    parent_sha256 = sha256_of_selection(settings.selection_json)
    beside = settings.output.expanduser().parent
    verdicts = read_verdicts(
        settings.probe_json or artefact_in(beside, ProbeView.SCHEMA, flag="--probe-json"),
        settings.check_json or artefact_in(beside, CheckView.SCHEMA, flag="--check-json"),
    )
    audit_json = settings.audit_json
    if settings.until_balanced and audit_json is None:
        audit_json = artefact_in(beside, ContentAudit.SCHEMA, flag="--audit-json")
    audit = ContentAudit.read(audit_json) if audit_json else None
    _refuse(settings, verdicts, audit)
    inputs = {**verdicts.sources, **({"audit": audit.content_sha256} if audit else {})}
    with stop_on_signal() as stop:
        hub = open_hub(settings, parent.repo_id, "dataset")
        pool = Pool(parent, hub.listing(parent.repo_sha), excluded=settings.exclude)
        probe = prober(settings, parent, pool, hub, stop, with_category=settings.until_balanced)
        if settings.until_balanced and audit is not None:
            swaps, plan = _balanced(settings, parent, audit, pool, probe)
        else:
            bad = {path: "; ".join(verdict.why_not) for path, verdict in verdicts.by_path.items()
                   if not verdicts.usable_for(path, purposes)}  # fmt: skip
            wanted = offenders(parent, settings.episode, settings.reason, bad)
            swaps, unmended, passed_over = swap_offenders(wanted, pool, probe, most_probes=settings.most_probes)
            plan = ReplacementPlan(
                mode="quality", swaps=[proposal(swap) for swap in swaps], unmended=unmended, passed_over=passed_over,
                findings_before=[], findings_after=[],
            )  # fmt: skip
    plan = plan.model_copy(update={"inputs": {**inputs, "selection": parent_sha256}})
    plan.write(settings.output)
    written = None
    if settings.selection_output is not None and swaps:
        written = apply(parent, swaps, pool.identities, parent_sha256=parent_sha256, inputs=inputs)
        written.write(settings.selection_output)
    _print(settings, plan, written)
    if plan.unmended:
        raise BadDataError(
            "not everything can be mended by a swap", where=plan.unmended[0].what, why=plan.unmended[0].why,
            fix="Give more --most-probes, or accept what is left: `prepare review --decision accept-with-exception`.",
        )  # fmt: skip


def _refuse(settings: PrepareReplaceSettings, verdicts: Verdicts, audit: ContentAudit | None) -> None:
    if settings.until_balanced and audit is None:
        raise UsageError("no audit to mend", where="--until-balanced", fix="Give --audit-json.")
    if settings.until_balanced and settings.episode:
        raise UsageError("two things at once", where="--episode", fix="Swap named episodes first, then balance.")
    if not settings.until_balanced and not settings.episode and not verdicts.known:
        raise UsageError(
            "nothing to replace", where="--probe-json",
            fix="Give what probe or check found, name episodes with --episode, or balance with --until-balanced.",
        )  # fmt: skip


def _balanced(
    settings: PrepareReplaceSettings, parent: PlanDocument | PinnedSelection, audit: ContentAudit, pool: Pool,
    probe: "Prober",
) -> "tuple[list[Swap], ReplacementPlan]":  # fmt: skip
    from xperience.prepare.replace import ReplacementPlan, balance, proposal

    found = balance(parent, audit, pool, probe, most_probes=settings.most_probes, most_swaps=settings.most_swaps)
    plan = ReplacementPlan(
        mode="balance", swaps=[proposal(swap, found.categories) for swap in found.swaps], unmended=found.unmended,
        passed_over=found.passed_over, findings_before=found.before, findings_after=found.after,
    )  # fmt: skip
    return found.swaps, plan


def _print(settings: PrepareReplaceSettings, plan: "ReplacementPlan", written: PinnedSelection | None) -> None:
    if settings.json_output:
        print_json(plan.document())
        return
    print_table(
        f"{len(plan.swaps)} swaps",
        ("out", "in", "split", "band", "why"),
        [(swap.removed, swap.added, swap.split, swap.size_band, swap.reason) for swap in plan.swaps],
    )
    for finding in plan.findings_before:
        out.print(f"  before: {finding}")
    for left in plan.unmended:
        out.print(f"  left: {left.what}: {left.why}")
    if plan.mode == "balance" and not plan.findings_before:
        out.print("the audit is in balance: nothing to do")
    if written is None:
        out.print(
            f"nothing is changed; in {settings.output}" + ("; --selection-output writes it" if plan.swaps else "")
        )
        return
    out.print(
        f"new selection in {settings.selection_output}; `xperience relay run` with it moves the difference alone. Then"
        " delete what went from the data root:"
    )
    for swap in plan.swaps:
        out.print(f"  {swap.removed}")
