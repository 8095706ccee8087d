"""What a run was trained on, and the refusal to evaluate on any of it."""

from collections.abc import Sequence
from typing import ClassVar

from xperience.common.errors import RefusedError
from xperience.common.evidence import Evidence
from xperience.qwen3_omni.sample import SampleFacts

RUN = "run.json"


class TrainedOn(Evidence):
    """What a run was trained on; sessions and episodes are those of train and of val, whose loss chose the adapter.

    `inputs` has the hash of the base model's files, `revision` the commit that they are of, where it is known.
    """

    SCHEMA: ClassVar[str] = "xperience.qwen3-omni-run/1"

    fingerprint: str
    sessions: list[str]
    episodes: list[str]
    trained_parameters: int
    revision: str = ""


def check_held_out(facts: Sequence[SampleFacts], run: TrainedOn, windows_sha256: str) -> None:
    """RefusedError unless the run is of these windows and met none of these sessions."""
    if run.inputs.get("windows") != windows_sha256:
        raise RefusedError(
            "the adapter was trained on other windows", where=RUN,
            why=f"{run.inputs.get('windows', 'none')[:16]}, these are {windows_sha256[:16]}",
            fix="Evaluate on the windows that it was trained on: their split is what was held out.",
        )  # fmt: skip
    met = sorted({fact.session for fact in facts} & set(run.sessions))
    if met:
        raise RefusedError("sessions are not held out", where=met[0], why=f"{len(met)} of them were trained on")
