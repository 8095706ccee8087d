"""What an image holds, as one hash: `image_contents.py IMAGE [LISTING]`; LISTING gets all of it, line by line.

Every file's name, kind, mode, owner, target and content, and how the image starts. Not when: Docker's classic builder
writes its own clock into layers and configuration, so that two builds of the same have two digests.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

CONFIG = ("Env", "Entrypoint", "Cmd", "User", "WorkingDir", "StopSignal", "Labels", "ExposedPorts", "Volumes")


def contents(image: str) -> list[str]:
    """A line per file, sorted; the first one is the configuration."""
    config = json.loads(_docker("image", "inspect", image))[0]["Config"]
    container = _docker("create", image).strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
                lines = [_line(tar, member) for member in tar]
    finally:
        _docker("rm", container)
    return [json.dumps({name: config.get(name) for name in CONFIG}, sort_keys=True), *sorted(lines)]


def _line(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = tar.extractfile(member) if member.isfile() else None
    digest = hashlib.file_digest(content, "sha256").hexdigest() if content else "-"
    return f"{member.name} {member.type!r} {member.mode:o} {member.uid}:{member.gid} {member.linkname or '-'} {digest}"


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    found = contents(sys.argv[1])
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text("\n".join(found) + "\n")
    print(hashlib.sha256("\n".join(found).encode()).hexdigest(), sys.argv[1])
