"""Gates on the data: staged, no recordings, sessions, splits, usable."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations

from xperience.common.files import sha256_of_file
from xperience.common.transfer import TransferManifest
from xperience.common.verdicts import CheckView
from xperience.gates.bundle import Bundle
from xperience.gates.verdict import Verdict, judge, not_run
from xperience.prepare.manifest import EpisodeManifest, fit
from xperience.selection.document import SPLITS

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _needs_manifest(gate: Callable[[Bundle, EpisodeManifest], Verdict]) -> Callable[[Bundle], Verdict]:
    def run(bundle: Bundle) -> Verdict:
        manifest = bundle.get("manifest", EpisodeManifest)
        if manifest is not None:
            return gate(bundle, manifest)
        fault = bundle.faults.get("manifest")
        return judge([fault], "") if fault else not_run("no episode manifest")

    run.__doc__ = gate.__doc__
    return run


@_needs_manifest
def staged(bundle: Bundle, manifest: EpisodeManifest) -> Verdict:
    """Every selected file is on the training host with its size and a hash that was proven there; nothing else is."""
    selection = bundle.selection
    if selection is None:
        return judge([bundle.faults["selection"]], "") if "selection" in bundle.faults else not_run("no selection")
    findings = [f"{lack.episode_path}: {', '.join(lack.missing)}" for lack in manifest.missing_or_incomplete]
    selected = {episode.path for episode in selection.episodes}
    listed = {episode.episode_path for episode in manifest.episodes}
    findings += [f"{path}: selected, not in the manifest" for path in sorted(selected - listed)]
    findings += [f"{path}: in the manifest, not selected" for path in sorted(listed - selected)]
    findings += [f"{path}: on disk, not selected" for path in manifest.unexpected_episodes]
    findings += _hash_faults(bundle, manifest)
    findings += _disk_faults(bundle, manifest)
    files = sum(len(episode.files) for episode in manifest.episodes)
    looked = "" if bundle.disk is None else ", looked at on disk" + (" by hash" if bundle.rehash else "")
    return judge(findings, f"{len(listed)} episodes, {files} files, {manifest.summary.total_bytes} bytes{looked}")


def _hash_faults(bundle: Bundle, manifest: EpisodeManifest) -> Iterator[str]:
    """Files without proof, and files whose hash is not that of selection or transfer."""
    transfer = bundle.get("transfer_manifest", TransferManifest)
    moved = {file.path: file.sha256 for file in transfer.files} if transfer else {}
    pinned = {file.path: file.sha256 for file in bundle.selection.files} if bundle.selection else {}
    check = bundle.get("check", CheckView)
    read: dict[str, str] = {}
    for checked in check.episodes if check else ():
        read |= {f"{checked.path}/{name}": file.sha256 for name, file in checked.files.items() if file.sha256}
        yield from (f"{checked.path}/{name}: {file.fault}" for name, file in checked.files.items() if file.fault)
    for episode in manifest.episodes:
        for file in episode.files:
            path = f"{episode.episode_path}/{file.name}"
            known = {digest for digest in (moved.get(path), pinned.get(path), read.get(path), file.sha256) if digest}
            if len(known) > 1:
                yield f"{path}: hashes differ between selection, transfer, check and manifest"
            elif path not in moved and path not in read:
                yield f"{path}: no transfer and no check has proven its hash"


def _disk_faults(bundle: Bundle, manifest: EpisodeManifest) -> Iterator[str]:
    """The disk, where it is looked at, against the manifest: gone, another size, changed; with rehash the bytes."""
    disk, root = bundle.disk, bundle.data_root
    if disk is None or root is None:
        return
    listed = {episode.episode_path for episode in manifest.episodes}
    for path in sorted(set(disk.episodes) - listed - set(manifest.unexpected_episodes)):
        yield f"{path}: on disk now, not in the manifest"
    for episode in manifest.episodes:
        found = disk.episodes.get(episode.episode_path, {})
        for file in episode.files:
            path, now = f"{episode.episode_path}/{file.name}", found.get(file.name)
            if now is None:
                yield f"{path}: gone since the manifest"
            elif now.size_bytes != file.size_bytes:
                yield f"{path}: {now.size_bytes} bytes, the manifest has {file.size_bytes}"
            elif bundle.rehash:
                if file.sha256 and sha256_of_file(root / path) != file.sha256:
                    yield f"{path}: its bytes are not those of the manifest's hash"
            elif now.changed_seconds != file.changed_seconds:
                yield f"{path}: changed since the manifest; run `prepare check` and `manifest` again, or use --rehash"


@_needs_manifest
def no_rrd(bundle: Bundle, manifest: EpisodeManifest) -> Verdict:
    """No visualization.rrd, and no cache or partial file, lies in the training data."""
    transfer = bundle.get("transfer_manifest", TransferManifest)
    excluded, leftovers = set(manifest.excluded_files), set(manifest.leftovers)
    if bundle.disk is not None:
        excluded |= set(bundle.disk.rrd)
        leftovers |= set(bundle.disk.leftovers)
    findings = [f"{path}: must not be here" for path in sorted(excluded)]
    findings += [f"{path}: left by a transfer that did not end" for path in sorted(leftovers)]
    findings += [f"{file.path}: transferred" for file in (transfer.files if transfer else ()) if ".rrd" in file.path]
    return judge(findings, "none")


@_needs_manifest
def unique_sessions(bundle: Bundle, manifest: EpisodeManifest) -> Verdict:
    """One episode per session, every session a UUID; on disk too."""
    counts = Counter(episode.top_level_session for episode in manifest.episodes)
    findings = [f"session {session}: {count} episodes" for session, count in counts.items() if count > 1]
    findings += [f"session {session!r} is no UUID" for session in counts if not UUID.fullmatch(session)]
    ids = Counter(episode.id for episode in manifest.episodes)
    findings += [f"id {name}: {count} times" for name, count in ids.items() if count > 1]
    findings += [
        f"{episode.episode_path}: its session is said to be {episode.top_level_session}"
        for episode in manifest.episodes
        if episode.episode_path.partition("/")[0] != episode.top_level_session
    ]
    if bundle.disk is not None:
        there = Counter(path.partition("/")[0] for path in bundle.disk.episodes)
        findings += [f"session {name}: {count} episodes on disk" for name, count in there.items() if count > 1]
    return judge(findings, f"{len(counts)} sessions")


@_needs_manifest
def split_leakage(bundle: Bundle, manifest: EpisodeManifest) -> Verdict:
    """No session in two splits, and every episode where the selection and the transfer have it."""
    sessions: dict[str, set[str]] = {split: set() for split in SPLITS}
    findings = []
    for episode in manifest.episodes:
        if episode.split in sessions:
            sessions[episode.split].add(episode.episode_path.partition("/")[0])
        else:
            findings.append(f"{episode.episode_path}: unknown split {episode.split}")
    for one, other in combinations(SPLITS, 2):
        findings += [f"session {found} is in {one} and {other}" for found in sorted(sessions[one] & sessions[other])]
    transfer = bundle.get("transfer_manifest", TransferManifest)
    own = {episode.episode_path: episode.split for episode in manifest.episodes}
    for name, known in (
        ("selection", {e.path: e.split for e in bundle.selection.episodes} if bundle.selection else {}),
        ("transfer", {e.path: e.split for e in transfer.episodes} if transfer else {}),
    ):
        findings += [
            f"{path}: {own[path]} here, {split} in the {name}"
            for path, split in known.items()
            if path in own and own[path] != split
        ]
    if manifest.split.source == "drawn" and bundle.selection is not None:
        findings.append("the split was drawn anew although there is a selection")
    return judge(findings, "/".join(f"{len(sessions[split])} {split}" for split in SPLITS))


@_needs_manifest
def usable_data(bundle: Bundle, manifest: EpisodeManifest) -> Verdict:
    """Every selected episode is fit for every purpose, by a check that read it in full."""
    if "check" in bundle.faults:
        return judge([bundle.faults["check"]], "")
    check = bundle.get("check", CheckView)
    if check is None:
        return not_run("no check of the staged files: run `xperience prepare check`")
    verdicts = {episode.path: episode for episode in check.episodes}
    findings = []
    for episode in manifest.episodes:
        verdict = verdicts.get(episode.episode_path)
        if verdict is None:
            findings.append(f"{episode.episode_path}: not checked")
        elif verdict.usable != episode.usable:
            findings.append(f"{episode.episode_path}: manifest and check differ on what it is usable for")
        elif not fit(episode, manifest.purposes):
            lacks = [purpose for purpose in manifest.purposes if purpose not in verdict.verdict.usable_for]
            why = "; ".join(verdict.why_not) or "not staged"
            findings.append(f"{episode.episode_path}: not fit for {', '.join(lacks) or 'anything'}: {why}")
    usable = len(manifest.episodes) - len(findings)
    found = judge(findings, f"{usable} of {len(manifest.episodes)} usable for {', '.join(manifest.purposes)}")
    return found.model_copy(update={"detail": f"{usable} of {len(manifest.episodes)} usable"}) if findings else found
