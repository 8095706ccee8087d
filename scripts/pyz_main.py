"""Start of the one-file relay: unpack the wheels for this Python into a cache once, then run the command."""

import os
import platform
import runpy
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path


def fail(message: str) -> None:
    """Say what is wrong, exit with the code for a wrong environment."""
    print(f"xperience-relay.pyz: {message}", file=sys.stderr)
    sys.exit(78)


def main() -> None:
    """Run `xperience` from the cache."""
    archive = Path(sys.argv[0]).resolve()
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        targets = sorted({name.split("/")[1] for name in names if name.startswith("targets/")})
        target = f"cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}"
        if platform.python_implementation() != "CPython" or target not in targets or sys.platform != "linux":
            fail(f"no wheels for {target} on {sys.platform}; inside are {', '.join(targets)} (Linux with glibc)")
        digest = file.read("digest").decode().strip()
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        cache = Path(os.environ.get("XPERIENCE_PYZ_CACHE") or caches / "xperience" / "pyz")
        ready = cache / f"{digest[:16]}-{target}"
        if not ready.exists():
            wheels = file.read(f"targets/{target}/wheels").decode().split()
            unpack(file, wheels, ready)
    sys.path.insert(0, str(ready))
    sys.argv[0] = "xperience"
    runpy.run_module("xperience", run_name="__main__", alter_sys=False)


def unpack(file: zipfile.ZipFile, wheels: list, ready: Path) -> None:
    """Into a folder of its own, renamed when it is whole: safe with two at once and after a kill."""
    try:
        ready.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=ready.parent))
    except OSError as error:
        fail(f"cannot write to {ready.parent}: {error.strerror}; set XPERIENCE_PYZ_CACHE to a folder that it may use")
    for name in wheels:
        with file.open(f"wheels/{name}") as stored, zipfile.ZipFile(stored) as wheel:
            wheel.extractall(temporary)
    try:
        temporary.rename(ready)
    except OSError:
        shutil.rmtree(temporary)
        if not ready.exists():
            raise


main()
