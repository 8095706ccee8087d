"""`xperience select`."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import Settings, setting
from xperience.common.settings.hub import HubSettings


class SelectionFileSettings(Settings):
    """Read one selection."""

    selection_json: Path = setting(
        Path("xperience10m_128_episode_selection.json"), "Selection: the plan's JSON, or one of `xperience select`."
    )
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SelectionPackSettings(SelectionFileSettings):
    """Pack a selection for a ConfigMap."""

    output: Path = setting(Path("selection.packed"), "Where the packed selection goes.")


class SelectionPinSettings(HubSettings, SelectionFileSettings):
    """Pin a selection at the hub."""

    output: Path = setting(Path("selection_pinned.json"), "Where the pinned selection goes.")


class SelectFromHubSettings(HubSettings):
    """Select episodes from a listing of the hub."""

    repo_id: str = setting("ropedia-ai/xperience-10m", "Repository on the hub.")
    revision: str = setting("main", "Commit, branch or tag; the commit that it names is pinned.")
    target_episodes: int = setting(128, "Episodes to select.", ge=1)
    seed: int = setting(7, "Seed of tie-breaks and splits.")
    train_fraction: float = setting(0.75, "Share of train.", ge=0, le=1)
    val_fraction: float = setting(0.125, "Share of val.", ge=0, le=1)
    test_fraction: float = setting(0.125, "Share of test.", ge=0, le=1)
    drop_percentile: float = setting(0.05, "Episodes below this quantile of size are left out.", ge=0, lt=1)
    least_annotation_mib: float = setting(512.0, "Annotations below this are left out in any case, in MiB.", ge=0)
    output: Path = setting(Path("selection"), "Folder for the JSON, CSV, TXT and the pinned JSON.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SelectFromRepoSettings(HubSettings):
    """Select files of any repository of the hub."""

    repo_id: str = setting("", "Repository on the hub.")
    repo_type: Literal["dataset", "model"] = setting("dataset", "Its type.")
    revision: str = setting("main", "Commit, branch or tag; the commit that it names is pinned.")
    include: list[str] = setting([], "Pattern of files to take, repeatable; without any, all.")
    exclude: list[str] = setting([], "Pattern of files to leave, repeatable; *.rrd is always left.")
    output: Path = setting(Path("selection.json"), "Where the selection goes.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")
