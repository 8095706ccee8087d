"""What a run needs before it starts: its selection, pinned, and its settings, kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from xperience.common.errors import UsageError
from xperience.common.files import write_atomic
from xperience.common.settings.relay import RelayRunSettings
from xperience.hub.opening import open_hub
from xperience.selection.from_url import fetch_selection
from xperience.selection.model import Selection
from xperience.selection.pin import pin_file
from xperience.selection.plan_file import read_selection

PINNED_NAME = "relay_selection.json"
FETCHED_NAME = "relay_selection_source.json"
SETTINGS_NAME = "relay_settings.json"


def open_selection(settings: RelayRunSettings, *, offline: bool = False, keep: bool = True) -> Selection:
    """Read the selection; where it lacks sizes and hashes, pin it with one call and keep the result in scratch."""
    with _selection_file(settings, keep=keep) as path:
        selection = read_selection(path)
        if selection.pinned or offline:
            return selection
        pinned_path = settings.relay_root.expanduser() / PINNED_NAME
        if pinned_path.exists():
            known = read_selection(pinned_path)
            if known.parent_sha256 == selection.source_sha256:
                return known
        hub = open_hub(settings, selection.repo_id, selection.repo_type)
        identities = hub.identities([file.path for file in selection.files], selection.revision)
        artefact = pin_file(path, identities)
    if keep:
        artefact.write(pinned_path)
    return artefact.selection()


@contextmanager
def _selection_file(settings: RelayRunSettings, *, keep: bool) -> Iterator[Path]:
    """The file that the settings name, fetched into scratch where it is an address."""
    if not settings.selection_url:
        yield settings.selection_json.expanduser()
        return
    with TemporaryDirectory() as temporary:
        folder = settings.relay_root.expanduser() if keep else Path(temporary)
        yield fetch_selection(settings.selection_url, settings.selection_sha256, folder / FETCHED_NAME)


def save_settings(settings: RelayRunSettings) -> None:
    """Keep a run's settings for `relay resume`; there is no secret among them."""
    place = settings.relay_root.expanduser() / SETTINGS_NAME
    write_atomic(place, settings.model_dump_json(indent=2) + "\n")


def saved_settings(relay_root: Path) -> RelayRunSettings:
    """The settings of the run that was last begun in this scratch, wherever it lies as seen from here."""
    place = relay_root.expanduser() / SETTINGS_NAME
    if not place.exists():
        raise UsageError(
            "nothing to resume", where=str(relay_root), why=f"no {SETTINGS_NAME} there", fix="Begin with `relay run`."
        )
    try:
        saved = RelayRunSettings.model_validate_json(place.read_bytes())
    except ValidationError as error:
        raise UsageError(
            "nothing to resume", where=str(place), why="they are the settings of another version, or damaged",
            fix="Give them to `relay run` as flags.",
        ) from error  # fmt: skip
    return saved.model_copy(update={"relay_root": relay_root})
