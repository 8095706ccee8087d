"""The demo."""

from pathlib import Path

from xperience.common.settings import Settings, setting


class DemoSettings(Settings):
    """`xperience demo`."""

    train: bool = setting(False, "Make windows, train a tiny model and evaluate it as well; needs torch.")
    keep: Path | None = setting(None, "Folder in which everything of the demo stays; else a temporary one.")
