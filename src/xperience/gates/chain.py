"""The gate on reproducibility: every artefact is whole and names the very inputs that lie here."""

from collections.abc import Iterator

from xperience.common.transfer import TransferManifest
from xperience.gates.bundle import Bundle
from xperience.gates.verdict import Verdict, judge, not_run

# Which inputs an artefact has to name where they are there, and which it may.
REQUIRED = {
    "transfer_manifest": ("selection",),
    "probe": ("selection",),
    "check": (),
    "manifest": ("selection", "transfer_manifest", "check"),
    "audit": ("selection", "manifest"),
    "review": ("audit",),
    "evaluation": ("manifest",),
    "compatibility": ("manifest",),
    "post_training": ("manifest", "compatibility"),
}
# Names under which artefacts know the episode manifest and the transfer.
ALIASES = {"episode_manifest": "manifest", "transfer": "transfer_manifest"}


def reproducible_chain(bundle: Bundle) -> Verdict:
    """Selection, transfer, probe, check, manifest, audit, review: each carries the hash of what it was made from."""
    if "manifest" not in bundle.artefacts and "manifest" not in bundle.faults:
        return not_run("no episode manifest")
    findings = [f"{name}: {fault}" for name, fault in sorted(bundle.faults.items())]
    links = 0
    for name, artefact in sorted(bundle.artefacts.items()):
        inputs: dict[str, str] = {
            ALIASES.get(key, key): value for key, value in getattr(artefact, "inputs", {}).items()
        }
        findings += [
            f"{name} carries no hash of {needed}"
            for needed in REQUIRED[name]
            if needed not in inputs and _there(bundle, needed)
        ]
        for needed, digest in sorted(inputs.items()):
            known = _identities(bundle, needed)
            if known and digest not in known:
                findings.append(f"{name} was made from another {needed} ({digest[:12]}…) than the one here")
            links += bool(known)
    return judge(findings, f"{links} links between {len(bundle.artefacts)} artefacts")


def _there(bundle: Bundle, name: str) -> bool:
    return bundle.known_by(name) is not None


def _identities(bundle: Bundle, name: str) -> set[str]:
    """What an artefact may know this input by: a selection also by the one that it was pinned or made from."""
    return set(_known(bundle, name))


def _known(bundle: Bundle, name: str) -> Iterator[str]:
    known = bundle.known_by(name)
    if known is not None:
        yield known
    if name == "selection" and bundle.selection is not None:
        if bundle.selection.parent_sha256:
            yield bundle.selection.parent_sha256
        transfer = bundle.get("transfer_manifest", TransferManifest)
        # The plan's own file was given here, and the relay pinned it: the transfer knows both.
        if transfer is not None and known in transfer.selections:
            yield from transfer.selections
