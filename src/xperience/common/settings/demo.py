"""The demo."""

from pathlib import Path

from xperience.common.settings import Settings, setting


class DemoSettings(Settings):
    """`xperience demo`."""

    keep: Path | None = setting(None, "Folder in which everything of the demo stays; else a temporary one.")
