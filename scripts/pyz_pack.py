"""Pack installed trees, one per target, into one zip that Python starts: `pyz_pack.py TREES GLIBC FILE`.

A file that several targets share is stored once: `any/`, `<machine>/`, `<python>/`, else `<python>-<machine>/`.
The same trees give the same bytes.
"""

import hashlib
import json
import os
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

START = Path(__file__).parent / "pyz_start.py"
# The relay downloads by its own client; huggingface_hub runs without it. 8 MB.
LEFT_OUT = ("hf_xet", "hf_xet-*.dist-info", "bin", "__pycache__")
# What installers note: machine paths, and hashes of files that are left out here.
INSTALLER_NOTES = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
# S3 and the services that give credentials for it; botocore carries 400 more, 14 MB.
AWS_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")


def goes_in(path: Path) -> bool:
    """Whether the file of a tree, by its path there, belongs into the zip."""
    if any(Path(part).match(pattern) for part in path.parts for pattern in LEFT_OUT):
        return False
    if path.parent.suffix == ".dist-info":
        return path.name not in INSTALLER_NOTES
    if len(path.parts) > 3 and path.parts[1] == "data" and path.parts[0] in ("boto3", "botocore"):
        return path.parts[2] in AWS_SERVICES
    return True


def shared_by(targets: set[str], having: set[str]) -> Iterator[str]:
    """The zip's folders that bring one file to the targets that have it, and to no other."""
    if having == targets:
        yield "any"
        return
    for part in (1, 0):
        for name in sorted({target.split("-")[part] for target in having}):
            of_name = {target for target in targets if target.split("-")[part] == name}
            if of_name <= having:
                yield name
                having = having - of_name
    yield from sorted(having)


def pack(trees: Path, glibc: str, file: Path) -> None:
    targets = {tree.name for tree in trees.glob("cp*-*")}
    having: dict[tuple[Path, bytes], set[str]] = defaultdict(set)
    for target in targets:
        for place in (trees / target).rglob("*"):
            path = place.relative_to(trees / target)
            if place.is_file() and goes_in(path):
                having[path, place.read_bytes()].add(target)
    content = {
        f"{folder}/{path}": data for (path, data), found in having.items() for folder in shared_by(targets, found)
    }
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content[name]).digest())
    inside = {"targets": sorted(targets), "glibc": glibc, "digest": digest.hexdigest()}
    content["inside.json"] = json.dumps(inside).encode()
    content["__main__.py"] = START.read_bytes()

    epoch = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)  # a zip knows no date before 1980
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    with partial.open("wb") as out:
        out.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for name in sorted(content):
                entry = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
                entry.external_attr = 0o100644 << 16
                packed.writestr(entry, content[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    partial.chmod(0o755)
    partial.replace(file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB for {', '.join(sorted(targets))}")


if __name__ == "__main__":
    pack(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
