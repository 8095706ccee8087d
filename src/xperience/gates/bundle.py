"""The artefacts that gates look at: found, read and checked once; what is wrong with one is a fact of the bundle."""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, Field

from xperience.common.errors import UsageError, XperienceError
from xperience.common.evidence import View, ViewPart, artefact_in
from xperience.common.files import sha256_of_file
from xperience.common.transfer import MANIFEST_NAME, TransferManifest
from xperience.common.verdicts import CheckView, ProbeView
from xperience.prepare.content import ContentAudit
from xperience.prepare.data_root import DataRoot, look_at
from xperience.prepare.manifest import EpisodeManifest
from xperience.prepare.review import AuditReview
from xperience.selection.model import Selection
from xperience.selection.plan_file import read_selection

Found = TypeVar("Found", bound=BaseModel)


class BaselineView(ViewPart):
    """A baseline, and the 95 % interval of the paired difference to it."""

    score: float
    oracle: bool
    difference: float
    interval: tuple[float, float] | None
    verdict: str


class FieldView(ViewPart):
    """One field of the answers, beside its baselines."""

    windows: int
    accuracy: float
    macro_f1_supported: float
    ceiling: float
    baselines: dict[str, BaselineView]
    verdict: str


class ObjectsView(ViewPart):
    """Names of objects."""

    micro_f1: float
    ceiling: float
    baselines: dict[str, BaselineView]
    verdict: str


class SessionView(ViewPart):
    """One held-out session."""

    windows: int
    action_accuracy: float


class EvaluationView(View):
    """The held-out evaluation: episodes by id, each part of its protocol, and what the report shows of its figures."""

    SCHEMA: ClassVar[str] = "xperience.qwen3-omni-evaluation/1"

    train_episodes: list[str]
    test_episodes: list[str]
    protocol: dict[str, bool]
    windows: int = 0
    valid_answers: int = 0
    fields: dict[str, FieldView] = Field(default_factory=dict)
    objects: ObjectsView | None = None
    sessions: dict[str, SessionView] = Field(default_factory=dict)


class CheckRowView(ViewPart):
    """One row of the compatibility record."""

    number: int
    name: str
    level: str
    threshold: str
    verdict: str
    reason: str


class CompatibilityView(View):
    """The compatibility record of Cosmos3-Nano: level to verdict, the levels that this model needs."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-compatibility/1"

    model_sha256: str
    required_levels: list[str]
    levels: dict[str, str]
    checks: list[CheckRowView] = Field(default_factory=list)


class PostTrainingView(View):
    """A post-training run of Cosmos3-Nano; `inputs.compatibility` is the record that it started from."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-post-training/1"

    model_sha256: str
    metrics: dict[str, Any] = Field(default_factory=dict)


class LegView(ViewPart):
    """One leg of a relay."""

    moved_bytes: int
    busy_seconds: float
    bytes_per_second: float
    retries: dict[str, int]


class BatchView(ViewPart):
    """One batch of a relay."""

    index: int
    files: int
    size_bytes: int
    wall_seconds: float | None


class RelayView(View):
    """The relay's summary: for the report, no gate stands on it."""

    SCHEMA: ClassVar[str] = "xperience.relay-summary/1"

    status: str
    repo_id: str
    revision: str
    store: str
    files: int
    size_bytes: int
    arrived_files: int
    arrived_bytes: int
    wall_seconds: float
    overlap: float
    download: LegView
    transfer: LegView
    hash_mismatches: int
    peak_scratch_bytes: int
    scratch_budget_bytes: int
    batches: list[BatchView]


MODELS: dict[str, type[BaseModel]] = {
    "relay": RelayView,
    "probe": ProbeView,
    "check": CheckView,
    "manifest": EpisodeManifest,
    "audit": ContentAudit,
    "review": AuditReview,
    "evaluation": EvaluationView,
    "compatibility": CompatibilityView,
    "post_training": PostTrainingView,
}


# Where `prepare run` leaves the selection that it worked on, for later stages on other hosts.
SELECTION = "selection.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Artefacts by name; `faults` says why one that is there cannot be used, `damaged` has its file's hash."""

    artefacts: dict[str, BaseModel] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    selection: Selection | None = None
    disk: DataRoot | None = None
    data_root: Path | None = None
    rehash: bool = False

    def get(self, name: str, model: type[Found]) -> Found | None:
        """An artefact that is there and whole."""
        found = self.artefacts.get(name)
        return found if isinstance(found, model) else None

    def known_by(self, name: str) -> str | None:
        """The content hash of an artefact, or the selection's identity."""
        if name == "selection":
            return self.selection.source_sha256 if self.selection else None
        return getattr(self.artefacts.get(name), "content_sha256", None)

    def only(self, names: Set[str]) -> "Bundle":
        """The same with these artefacts alone, so that an early step is not held up by what a later one left."""
        kept = {name: found for name, found in self.artefacts.items() if name in names}
        faults = {name: why for name, why in self.faults.items() if name in names}
        return replace(self, artefacts=kept, faults=faults)

    def evidence_of(self, names: Iterable[str]) -> dict[str, str]:
        """Hashes of these artefacts: of the content, so that a rerun is equal; of the file where it is damaged."""
        found = {name: self.known_by(name) or self.damaged.get(name) for name in names}
        return {name: digest for name, digest in found.items() if digest}


def gather(
    *, evidence: Path, given: dict[str, Path], selection_json: Path | None, data_root: Path | None, rehash: bool
) -> Bundle:
    """Read every artefact: those given by name, else those in the evidence folder, told by their schema.

    The selection is the given one, else selection.json of the folder.
    UsageError where two in the folder have one schema and none is given; a damaged one is a fault, not an error.
    """
    paths = _in_folder(evidence, given.keys()) | given
    disk = look_at(data_root) if data_root is not None else None
    artefacts: dict[str, BaseModel] = {}
    faults: dict[str, str] = {}
    if data_root is not None and disk is not None and disk.has_transfer_manifest:
        paths["transfer_manifest"] = data_root / MANIFEST_NAME
    for name, path in sorted(paths.items()):
        try:
            artefacts[name] = _read(name, path)
        except XperienceError as error:
            faults[name] = str(error)
    selection = None
    if selection_json is None and (evidence / SELECTION).is_file():
        selection_json = evidence / SELECTION
    if selection_json is not None:
        try:
            paths["selection"] = selection_json
            selection = read_selection(selection_json)
        except XperienceError as error:
            faults["selection"] = str(error)
    damaged = {name: sha256_of_file(paths[name]) for name in faults if name in paths and paths[name].is_file()}
    return Bundle(artefacts, faults, damaged, selection, disk, data_root, rehash)


def _read(name: str, path: Path) -> BaseModel:
    model = TransferManifest if name == "transfer_manifest" else MODELS[name]
    if not path.is_file():
        raise UsageError("no such artefact", where=str(path))
    reader: Any = model
    found: BaseModel = reader.read(path)
    return found


def _in_folder(folder: Path, given: Set[str]) -> dict[str, Path]:
    """Artefacts of a folder, but those that are given."""
    found = {}
    for name, model in MODELS.items():
        if name not in given:
            path = artefact_in(folder, str(getattr(model, "SCHEMA", "")), flag=f"--{name.replace('_', '-')}-json")
            if path is not None:
                found[name] = path
    return found
