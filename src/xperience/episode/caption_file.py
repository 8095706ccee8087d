"""A caption's JSON, also where the annotation holds the relative path of a file beside it."""

import stat
from pathlib import Path

from xperience.common.errors import BadDataError

LONGEST_PATH = 256
MOST_BYTES = 64 << 20


def path_of(text: str | bytes) -> str | None:
    """The text as a relative path, where it is one and no JSON."""
    if len(text) > LONGEST_PATH:
        return None
    name = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip()
    parts = name.split("/")
    is_path = name.endswith(".json") and not set("{}\n\0\\") & set(name) and not {"", ".", ".."} & set(parts)
    return name if is_path else None


def local_sibling(folder: Path, name: str) -> bytes | None:
    """The content of a plain file in the folder; None where there is none, or where it would lie elsewhere."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return None
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None


def caption_json(text: str | bytes, folder: Path) -> str | bytes:
    """The JSON that a caption's text is or names; BadDataError where the file is not there."""
    name = path_of(text)
    if name is None:
        return text
    content = local_sibling(folder, name)
    if content is None:
        raise BadDataError("the caption's file is not there", where=name)
    return content
