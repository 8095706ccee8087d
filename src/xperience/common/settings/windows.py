"""`xperience windows`."""

from pathlib import Path

from xperience.common.settings import CommonSettings, setting


class WindowsFolderSettings(CommonSettings):
    """Where windows lie."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows: windows.json, the index and media/.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class WindowsBuildSettings(WindowsFolderSettings):
    """`xperience windows build`."""

    manifest_json: Path = setting(
        Path("results/omni_finetune/episode_manifest_128.json"), "What `prepare manifest` wrote."
    )
    data_root: Path | None = setting(
        None, "Folder of the staged episodes; without it the manifest's.", env=("TRAINING_DATA_ROOT",)
    )
    scales: str = setting("20/20", "Windows as frames/stride; several with commas, as in 20/20,40/20,80/40.")
    least_label_share: float = setting(0.6, "Share of a window's labelled frames that its action has.", gt=0.5, le=1)
    longest_gap_seconds: float = setting(1.0, "Leave out windows across a longer hole of the device's clock.", gt=0)
    cap: int = setting(256, "Most windows of an episode in the index, evenly over its time, in every split.", ge=1)
    uncapped_test: bool = setting(True, "Write a second index of all test windows, the one that evaluation takes.")
    context_seconds: float = setting(6.0, "Frames and sound around a window that a model is to see.", gt=0)
    contact_threshold: float = setting(
        0.5, "A wrist (ankle or foot) touches from this value of full_body_mocap/contacts on.", gt=0, le=1
    )
    cameras: str = setting(
        "fisheye_cam0,fisheye_cam1,fisheye_cam2,fisheye_cam3,stereo_left,stereo_right",
        "Cameras whose frames are stored.", group="Media",
    )  # fmt: skip
    frame_rate_hz: float = setting(2.0, "Stored frames per second of the device's clock.", gt=0, le=60, group="Media")
    frame_pixels: int = setting(
        256, "Longer side of a stored frame; both become multiples of 32.", ge=32, le=4096, group="Media"
    )
    jpeg_scale: int = setting(3, "Quantiser of the stored JPEGs, from 1 (best) to 31.", ge=1, le=31, group="Media")
    jobs: int = setting(2, "Episodes that are decoded at the same time: one core each.", ge=1, le=128)
    shard: str = setting("", "Decode every N-th episode: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Decode nothing: write the index from the media of all shards.")


class WindowsVerifySettings(WindowsFolderSettings):
    """`xperience windows verify`."""

    manifest_json: Path | None = setting(None, "Manifest that the windows have to be made from; without it any.")
    report: Path | None = setting(None, "Where the report goes; verified.json beside windows.json.")


class WindowsStatsSettings(WindowsFolderSettings):
    """`xperience windows stats`."""
