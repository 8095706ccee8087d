"""Gates and report."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import EVIDENCE, Settings, setting


class EvidenceSettings(Settings):
    """Where the artefacts of all stages lie."""

    evidence: Path = setting(
        EVIDENCE,
        "Folder of artefacts, found there by their schema; a flag names a single one.",
    )
    data_root: Path | None = setting(
        None, "Staged episodes, to look at them again; without it the artefacts alone are judged.",
        env=("TRAINING_DATA_ROOT",),
    )  # fmt: skip
    selection_json: Path | None = setting(
        None, "The selection; without it selection.json of the evidence folder, which `prepare run` leaves there."
    )
    probe_json: Path | None = setting(None, "What `prepare probe` wrote.")
    check_json: Path | None = setting(None, "What `prepare check` wrote.")
    manifest_json: Path | None = setting(None, "What `prepare manifest` wrote.")
    audit_json: Path | None = setting(None, "What `prepare audit` wrote.")
    review_json: Path | None = setting(None, "What `prepare review` wrote.")
    relay_json: Path | None = setting(None, "The relay's summary, relay_summary.json of its scratch.")
    evaluation_json: Path | None = setting(None, "The held-out evaluation.")
    compatibility_json: Path | None = setting(None, "The compatibility record of Cosmos3-Nano.")
    post_training_json: Path | None = setting(None, "The post-training run of Cosmos3-Nano.")

    def given(self) -> dict[str, Path]:
        """Artefacts that a flag names."""
        named = {name.removesuffix("_json"): getattr(self, name) for name in EvidenceSettings.model_fields
                 if name.endswith("_json") and name != "selection_json"}  # fmt: skip
        return {name: path.expanduser() for name, path in named.items() if path is not None}


class GatesSettings(EvidenceSettings):
    """The acceptance gates."""

    step: Literal["prepare", "train", "cosmos-compatibility", "cosmos-post-training", "release"] = setting(
        "prepare", "The step whose gates are evaluated.", flag="--for"
    )
    rehash: bool = setting(False, "Read every staged file again and compare its hash.")
    output: Path | None = setting(None, "Where the result goes; gates_<step>.json in the evidence folder.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class ReportSettings(EvidenceSettings):
    """The report."""

    step: Literal["prepare", "train", "cosmos-compatibility", "cosmos-post-training", "release"] = setting(
        "release", "The step whose gates are shown.", flag="--for"
    )
    run: Path | None = setting(None, "The --output of `qwen3-omni train`, for its losses.")
    cosmos: Path | None = setting(None, "The --output of `cosmos3-nano evaluate`, for its figures and clips.")
    title: str = setting("Xperience-10M", "Title of the page.")
    output: Path = setting(Path("report.html"), "Where the page goes.")
