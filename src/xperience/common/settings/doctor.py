"""`xperience doctor`."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import setting
from xperience.common.settings.hub import HubSettings


class DoctorSettings(HubSettings):
    """`xperience doctor`."""

    purpose: Literal["relay", "prepare", "train", "cluster", "demo", "all"] = setting(
        "relay", "What this machine is to be good for.", flag="--for"
    )
    repo_id: str = setting("ropedia-ai/xperience-10m", "Repository whose gate is asked about.", group="Hub")
    relay_root: Path = setting(Path("relay"), "Scratch of the relay.", env=("RELAY_ROOT",))
    batch_max_gib: float = setting(40.0, "Largest batch, in GiB: what scratch has to hold.", gt=0)
    headroom_gib: float = setting(2.0, "Free space to leave on the scratch volume, in GiB.", ge=0)
    rclone: Path | None = setting(None, "The rclone program; else PATH, else what `make rclone` built.")
    namespace: str = setting("", "Namespace of the jobs; without one, that of the context.", group="Cluster")
    context: str = setting("", "Context of the kubeconfig; without one, the current.", group="Cluster")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")
