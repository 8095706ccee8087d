"""All gates for one step, as evidence."""

from collections.abc import Callable
from typing import ClassVar, Literal

from xperience.common.errors import RefusedError
from xperience.common.evidence import Evidence, Part
from xperience.gates import data, later
from xperience.gates.bundle import Bundle
from xperience.gates.chain import reproducible_chain
from xperience.gates.verdict import Status, Verdict

Step = Literal["prepare", "train", "cosmos-compatibility", "cosmos-post-training", "release"]

CHAIN = "reproducible-chain"

# The plan's seven in its words and order, then the two that it lacked.
GATES: dict[str, tuple[str, Callable[[Bundle], Verdict], tuple[str, ...]]] = {
    "staged": (
        "128 selected episodes staged on the training host", data.staged,
        ("selection", "transfer_manifest", "check", "manifest"),
    ),
    "no-rrd": ("No visualization.rrd in training data", data.no_rrd, ("transfer_manifest", "manifest")),
    "unique-sessions": ("128 unique sessions preserved", data.unique_sessions, ("manifest",)),
    "split-leakage": (
        "Train/val/test session leakage is zero", data.split_leakage, ("selection", "transfer_manifest", "manifest"),
    ),
    "audit-reviewed": (
        "Content audit reviewed before training", later.audit_reviewed, ("manifest", "audit", "review"),
    ),
    "held-out-evaluation": (
        "Qwen3-Omni eval runs on held-out sessions", later.held_out_evaluation, ("manifest", "evaluation"),
    ),
    "cosmos-compatibility": (
        "Cosmos3-Nano branch starts with compatibility, not immediate full fine-tune", later.cosmos_compatibility,
        ("manifest", "compatibility", "post_training"),
    ),
    "usable-data": ("Every selected episode is usable, not only staged", data.usable_data, ("check", "manifest")),
    CHAIN: (
        "Every artefact carries the hash of its inputs", reproducible_chain,
        ("selection", "transfer_manifest", "probe", "check", "manifest", "audit", "review", "evaluation",
         "compatibility", "post_training"),
    ),
}  # fmt: skip

_DATA = ("staged", "no-rrd", "unique-sessions", "split-leakage", "usable-data", CHAIN)
DUE: dict[Step, tuple[str, ...]] = {
    "prepare": _DATA,
    "train": (*_DATA, "audit-reviewed"),
    "cosmos-compatibility": _DATA,
    "cosmos-post-training": (*_DATA, "audit-reviewed", "held-out-evaluation", "cosmos-compatibility"),
    "release": tuple(GATES),
}


class GateResult(Part):
    """One gate; `evidence` holds the hashes of the artefacts that it looked at."""

    gate: str
    title: str
    due: bool
    status: Status
    exception: bool
    verdict: str
    detail: str
    findings: list[str]
    evidence: dict[str, str]


class GateReport(Evidence):
    """Every gate; `passed` is that all due ones pass. A due gate that is `not_run` does not pass."""

    SCHEMA: ClassVar[str] = "xperience.gates/1"

    step: Step
    passed: bool
    gates: list[GateResult]


def evaluate(bundle: Bundle, step: Step) -> GateReport:
    """Run what is due, on the artefacts that it needs; the rest reads `not_run(not due)`."""
    bundle = bundle.only({"probe", *(need for name in DUE[step] if name != CHAIN for need in GATES[name][2])})
    results = [_result(name, bundle, due=name in DUE[step]) for name in GATES]
    return GateReport(
        inputs=bundle.evidence_of(sorted({*bundle.artefacts, "selection"})),
        step=step,
        passed=all(result.status == "pass" for result in results if result.due),
        gates=results,
    )


def require(report: GateReport, fix: str) -> None:
    """RefusedError with the reasons where a due gate does not pass."""
    failed = [gate for gate in report.gates if gate.due and gate.status != "pass"]
    if failed:
        raise RefusedError(
            f"gates for {report.step} do not pass", where=", ".join(gate.gate for gate in failed),
            why="; ".join(f"{gate.gate}: {gate.verdict}: {gate.detail}" for gate in failed), fix=fix,
        )  # fmt: skip


def _result(name: str, bundle: Bundle, *, due: bool) -> GateResult:
    title, gate, needs = GATES[name]
    verdict = gate(bundle) if due else Verdict(status="not_run", detail="not due")
    return GateResult(
        gate=name,
        title=title,
        due=due,
        status=verdict.status,
        exception=verdict.exception,
        verdict=verdict.text,
        detail=verdict.detail,
        findings=verdict.findings,
        evidence=bundle.evidence_of(needs) if due else {},
    )
