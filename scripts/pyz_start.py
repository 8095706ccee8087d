"""What xperience-relay.pyz does first: unpack the libraries of this Python and machine into a cache, once, and go on.

It is read by whatever Python starts the file, so it keeps to what Python 3.6 knows.
"""

import contextlib
import errno
import fcntl
import json
import os
import platform
import pwd
import shutil
import sys
import zipfile
from pathlib import Path

CONFIGURATION, NO_SPACE = 78, 73


def stop(message, exit_code=CONFIGURATION):
    print("xperience-relay.pyz: " + message, file=sys.stderr)
    sys.exit(exit_code)


def this_target():
    """Python, machine and C library of this process, in the words of the zip's folders."""
    if sys.implementation.name == "cpython":
        # a free-threaded Python has the flag t, and wheels of its own
        python = f"cp{sys.version_info[0]}{sys.version_info[1]}" + ("t" if "t" in sys.abiflags else "")
    else:
        python = sys.implementation.name
    machine = os.uname().machine if sys.maxsize > 2**32 else os.uname().machine + "-32bit"
    return python + "-" + machine


def glibc_version():
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except ValueError:
        return ()
    return tuple(int(number) for number in version.split(".")[:2]) if name == "glibc" else ()


def fitting(inside):
    """The target to unpack; stops with what is inside where none fits."""
    target, glibc = this_target(), glibc_version()
    if target in inside["targets"] and glibc >= tuple(map(int, inside["glibc"].split("."))):
        return target
    library = f"glibc {glibc[0]}.{glibc[1]}" if glibc else "another C library than glibc"
    return stop(
        f"not made for this host: {sys.executable or 'this Python'} is"
        f" {platform.python_implementation()} {platform.python_version()} on {os.uname().machine} with {library};"
        f" inside are {', '.join(inside['targets'])}, for glibc >= {inside['glibc']}."
        " Start it with one of these Pythons, or install the package from its source."
    )


def cache_folder():
    wanted = os.environ.get("XPERIENCE_PYZ_CACHE")
    if wanted:
        return Path(wanted).absolute()
    home = os.environ.get("HOME")
    with contextlib.suppress(KeyError):  # a container's user may have no entry
        home = home or pwd.getpwuid(os.getuid()).pw_dir
    cache = Path(os.environ.get("XDG_CACHE_HOME") or f"{home or ''}/.cache")
    if not cache.is_absolute() or not home:
        stop("this user has no home to unpack into. Set XPERIENCE_PYZ_CACHE to a folder that it may write to.")
    return cache / "xperience" / "pyz"


def is_whole(folder, entries):
    """Whether every file is there at its size: a power loss or a cleaner may have taken some."""
    try:
        if folder.stat().st_uid not in (0, os.getuid()):
            stop(f"{folder} belongs to another user. Set XPERIENCE_PYZ_CACHE to a folder of your own.")
        return all((folder / path).stat().st_size == entry.file_size for path, entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def alone(cache):
    """Hold the cache's lock; the kernel gives it back when this process ends, however it ends."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(packed, entries, folder):
    """Fill a folder beside, then rename it; what earlier starts left that were killed goes."""
    for left in folder.parent.glob(f"{folder.name}.*"):
        shutil.rmtree(str(left))
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    partial.mkdir(mode=0o700)
    try:
        for path, entry in entries:
            place = partial / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(entry) as source, place.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    except BaseException:
        shutil.rmtree(str(partial), ignore_errors=True)  # a full volume stays as full as it was
        raise
    broken = folder.with_name(f"{partial.name}.broken")
    if folder.exists():
        folder.rename(broken)
    partial.rename(folder)
    shutil.rmtree(str(broken), ignore_errors=True)


def libraries(archive):
    """The folder with this target's libraries, unpacked whole."""
    with zipfile.ZipFile(str(archive)) as packed:
        inside = json.loads(packed.read("inside.json").decode())
        target = fitting(inside)
        python, machine = target.split("-")
        entries = []
        for entry in packed.infolist():
            part, _, path = entry.filename.partition("/")
            if path and part in ("any", python, machine, target):
                entries.append((path, entry))
        cache = cache_folder()
        folder = cache / f"{inside['digest'][:16]}-{target}"
        try:
            if not is_whole(folder, entries):
                cache.mkdir(parents=True, exist_ok=True)
                with alone(cache):
                    if not is_whole(folder, entries):
                        unpack(packed, entries, folder)
        except OSError as error:
            stop(
                f"cannot unpack into {cache}: {error.strerror or error}. "
                "Set XPERIENCE_PYZ_CACHE to a folder with 100 MB of space.",
                NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else CONFIGURATION,
            )
    return folder


if __name__ == "__main__":
    sys.path.insert(0, str(libraries(Path(__file__).absolute().parent)))
    from xperience.cli.main import main

    main()
