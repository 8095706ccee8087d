"""`xperience prepare run`: every step on staged data, one after the other."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer

from xperience.cli.console import out, terminate_with
from xperience.cli.flags import command
from xperience.cli.gates import gates
from xperience.cli.prepare import check_data_root
from xperience.cli.prepare_content import audit
from xperience.cli.prepare_data import discover, manifest
from xperience.cluster.progress import JobProgress, Reporter, reporting
from xperience.common.errors import BadDataError, TryAgainError
from xperience.common.files import write_atomic
from xperience.common.log import configure_log
from xperience.common.settings import Settings
from xperience.common.settings.gates import GatesSettings
from xperience.common.settings.prepare import (
    PrepareAuditSettings,
    PrepareCheckSettings,
    PrepareDiscoverSettings,
    PrepareManifestSettings,
    PrepareRunSettings,
)
from xperience.gates.bundle import SELECTION
from xperience.selection.plan_file import read_bytes

app = typer.Typer()

Wanted = TypeVar("Wanted", bound=Settings)
POLL_SECONDS = 1.0


@command(app, "run", PrepareRunSettings)
def run(settings: PrepareRunSettings) -> None:
    """Check, discover, manifest, audit, gates: each writes its artefact, whatever it finds; the gates decide (77).

    Of several shards each checks its share; shard 0 waits for the others and does the rest.
    """
    from xperience.common.shards import Shard, shard_of
    from xperience.prepare.merge import merge_shards

    configure_log(settings.log_format, settings.log_level)
    shard = shard_of(settings.shard if settings.shards > 1 else "", settings.shards)
    evidence, root = settings.evidence.expanduser().absolute(), settings.data_root.expanduser().absolute()
    checked, verdicts = evidence / "check.json", evidence / f"gates_{settings.step}.json"
    parts = evidence / "shards" / (settings.run or "by-hand") / checked.name

    def part(model: type[Wanted], **own: Any) -> Wanted:
        """A step's settings: ours where it has the same, artefacts in the evidence folder under the plan's names."""
        ours = {name: getattr(settings, name) for name in model.model_fields if name in PrepareRunSettings.model_fields}
        outputs: dict[str, Any] = {
            name: evidence / model.model_fields[name].default.name
            for name in ("output", "report_output", "output_json", "output_csv")
            if name in model.model_fields and model is not GatesSettings
        }
        return model(**{**ours, **outputs, "data_root": root, **own})

    with reporting(settings, "prepare", "running") as reporter:
        if settings.selection_json is not None and shard.index == 0:
            write_atomic(evidence / SELECTION, read_bytes(settings.selection_json))
        where = parts if shard.count > 1 else checked
        _step("check", lambda: check_data_root(part(PrepareCheckSettings, output=where)))
        if shard.index > 0:
            terminate_with(f"prepare: shard {shard.name} checked")
            return
        if shard.count > 1:
            others = [Shard(index, shard.count).path(parts) for index in range(1, shard.count)]
            _wait(others, settings.wait_for_shards_seconds)
            merge_shards(parts, shard.count).write(checked)
        _step("discover", lambda: discover(part(PrepareDiscoverSettings, skip_modelscope=True, skip_huggingface=True)))
        _step("manifest", lambda: manifest(part(PrepareManifestSettings, max_episodes=0)))
        _step("audit", lambda: audit(part(PrepareAuditSettings)))
        out.print("== gates")
        try:
            gates(part(GatesSettings, output=verdicts))
        finally:
            _publish(reporter, verdicts)
        line = f"prepare complete: gates for {settings.step} pass, artefacts in {evidence}"
        if reporter:
            reporter.tell("PrepareComplete", line, state="complete")
    terminate_with(line)
    out.print(line)


def _step(name: str, call: Callable[[], None]) -> None:
    """One step under its heading; what it finds wrong with the data is printed and left to the gates."""
    out.print(f"== {name}")
    try:
        call()
    except BadDataError as error:
        out.print(f"{name}: {error}")


def _wait(places: list[Path], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while missing := [place for place in places if not place.exists()]:
        if time.monotonic() > deadline:
            raise TryAgainError(
                "checks of other shards are not there", where=str(missing[0]), why=f"after {seconds:.0f} s",
                fix="Run the other shards.",
            )  # fmt: skip
        time.sleep(POLL_SECONDS)


def _publish(reporter: Reporter | None, place: Path) -> None:
    """The gates' verdicts into the Job's ConfigMap."""
    if reporter is None or not place.exists():
        return
    found = json.loads(place.read_text())
    verdicts = {gate["gate"]: gate["verdict"] for gate in found["gates"] if gate["due"]}
    passed = sum(gate["status"] == "pass" for gate in found["gates"] if gate["due"])
    reporter.show(JobProgress(state="running", done=passed, total=len(verdicts), unit="gates"))
    reporter.publish("gates", json.dumps(verdicts, indent=1))
