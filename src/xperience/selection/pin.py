"""Pin a selection: size and hash of every file at its revision, as the hub says."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

from xperience.common.errors import BadDataError, UsageError
from xperience.common.identity import FileIdentity
from xperience.selection.document import PinnedFile, PinnedSelection, PlanDocument, RepositorySelection
from xperience.selection.plan_file import read_document, sha256_of_selection
from xperience.selection.refusals import check_paths, check_plan

# Never moved: viewer recordings that no training reads (dataset.md 1.2); the downloader refuses them too.
NEVER = ("*.rrd",)


def pin_file(path: Path, identities: Mapping[str, FileIdentity]) -> PinnedSelection:
    """Pin the plan's selection in `path`; UsageError where it is pinned already or has no episodes."""
    document = read_document(path)
    if not isinstance(document, PlanDocument):
        raise UsageError("selection is pinned already", where=str(path))
    return pin(document, identities, source_sha256=sha256_of_selection(path))


def pin(document: PlanDocument, identities: Mapping[str, FileIdentity], *, source_sha256: str) -> PinnedSelection:
    """The plan's fields as they are, with size and hash per file; BadDataError where the hub has another file."""
    missing = [path for path in document.download_files if path not in identities]
    if missing:
        raise BadDataError(
            "selected files are not at the hub", where=missing[0], why=f"{len(missing)} at {document.repo_sha}"
        )
    pinned = PinnedSelection(
        inputs={"selection": source_sha256},
        files=[pinned_file(identities[path]) for path in document.download_files],
        **{name: getattr(document, name) for name in PlanDocument.model_fields},
    )
    check_plan(pinned)
    return pinned


def pinned_file(identity: FileIdentity) -> PinnedFile:
    """A file as the hub's listing gives it."""
    return PinnedFile(
        path=identity.path, size_bytes=identity.size_bytes, sha256=identity.sha256, git_sha1=identity.git_sha1
    )


def select_repository(
    listing: Iterable[FileIdentity], *, repo_id: str, repo_type: str, revision: str,
    include: Sequence[str], exclude: Sequence[str],
) -> RepositorySelection:  # fmt: skip
    """Files of any repository, by the hub client's own patterns (fnmatch, a trailing / is a folder); never *.rrd."""
    chosen = filter_repo_objects(
        listing,
        allow_patterns=list(include) or None,
        ignore_patterns=[*exclude, *NEVER],
        key=lambda identity: identity.path,
    )
    files = sorted((pinned_file(identity) for identity in chosen), key=lambda file: file.path)
    if not files:
        raise UsageError("no file is selected", where=repo_id, why="the patterns fit nothing", fix="See --include.")
    check_paths(file.path for file in files)
    return RepositorySelection(
        repo_id=repo_id, repo_type=repo_type, repo_sha=revision, include=list(include), exclude=list(exclude),
        files=files,
    )  # fmt: skip
