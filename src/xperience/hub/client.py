"""The hub's API: token, gate, revision, and what the files of a repository are."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, RepoFile, RepoFolder, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from pydantic import SecretStr

from xperience import __version__
from xperience.common.errors import RefusedError, UnavailableError, UsageError, XperienceError
from xperience.common.identity import FileIdentity
from xperience.hub.answers import Asked, asked_pause_seconds, backoff_seconds, error_of_connection, error_of_status
from xperience.hub.pace import Pace

Answer = TypeVar("Answer")

# One paths-info call answers for a thousand paths.
PATHS_PER_CALL = 1000


class Hub:
    """One repository. Every method raises RefusedError, BadDataError or UnavailableError, each with its own message."""

    def __init__(
        self, repo_id: str, repo_type: str = "dataset", *, endpoint: str, token: SecretStr | None,
        timeout_seconds: float, retries: int = 3, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self.repo_id, self.repo_type, self.endpoint = repo_id, repo_type, endpoint.rstrip("/")
        self.timeout_seconds, self.retries = timeout_seconds, retries
        self._pace = pace
        self._token = token
        # False, not None: with None huggingface_hub would use a token that lies in the home folder.
        secret: str | bool = token.get_secret_value() if token else False
        self._api = HfApi(endpoint=self.endpoint, token=secret, library_name="xperience", library_version=__version__)
        # Both libraries log addresses and headers, and those hold signatures and the token.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        set_client_factory(self._make_client)

    def _make_client(self) -> httpx2.Client:
        def limit_silence(request: httpx2.Request) -> None:
            # huggingface_hub asks for listings without any timeout.
            request.extensions["timeout"] = httpx2.Timeout(self.timeout_seconds).as_dict()

        return httpx2.Client(follow_redirects=True, event_hooks={"request": [limit_silence]})

    @property
    def page(self) -> str:
        """Where a person reads about the repository and asks for access."""
        return f"{self.endpoint}/{'' if self.repo_type == 'model' else self.repo_type + 's/'}{self.repo_id}"

    def headers(self) -> dict[str, str]:
        """Headers of a request to the hub; they hold the token and belong to no other host."""
        secret: str | bool = self._token.get_secret_value() if self._token else False
        headers: dict[str, str] = build_hf_headers(token=secret, library_name="xperience", library_version=__version__)
        return headers

    def asked(self, what: str = "") -> Asked:
        """For messages: this repository, and the file or revision asked for."""
        where = f"{self.repo_type} {self.repo_id}" + (f", {what}" if what else "")
        return Asked(self.endpoint, self.page, where, with_token=self._token is not None)

    def turn_seconds(self) -> float:
        """Take one call of our share of the rate limit; the seconds to wait before it is made."""
        return self._pace.take() if self._pace else 0.0

    def check_token(self) -> str:
        """The user name that the token belongs to."""
        if self._token is None:
            raise RefusedError(
                "no hub token", where=self.endpoint, fix="Set HF_TOKEN, or --hf-token-path to a file that holds it."
            )
        answer = self._call(Asked(self.endpoint, self.page, "whoami", with_token=True), self._api.whoami)
        return str(answer.get("name", "unknown"))

    def check_access(self, revision: str, probe_path: str | None) -> None:
        """Gate approved, revision there, and the probe file can be read."""
        self._call(self.asked(), lambda: self._api.auth_check(self.repo_id, repo_type=self.repo_type))
        self.resolve_revision(revision)
        if probe_path is not None:
            address = self.resolve_url(probe_path, revision)
            self._call(
                self.asked(f"{probe_path} at {revision}"),
                lambda: self._api.get_hf_file_metadata(url=address, timeout=self.timeout_seconds),
            )

    def resolve_revision(self, revision: str) -> str:
        """The commit, 40 hex digits, that a branch, tag or commit names."""
        info = self._call(
            self.asked(f"revision {revision}"),
            lambda: self._api.repo_info(self.repo_id, revision=revision, repo_type=self.repo_type),
        )
        return str(info.sha)

    def identities(self, paths: Sequence[str], revision: str) -> dict[str, FileIdentity]:
        """Size and hash of each path that is there; a path that is not there is not in the answer."""
        found: dict[str, FileIdentity] = {}
        for begin in range(0, len(paths), PATHS_PER_CALL):
            asked_paths = list(paths[begin : begin + PATHS_PER_CALL])
            entries = self._call(self.asked(f"revision {revision}"), partial(self._paths, asked_paths, revision))
            found.update((identity.path, identity) for identity in map(identity_of, files_of(entries)))
        return found

    def _paths(self, paths: list[str], revision: str) -> list[RepoFile | RepoFolder]:
        return self._api.get_paths_info(self.repo_id, paths, revision=revision, repo_type=self.repo_type)

    def listing(self, revision: str) -> list[FileIdentity]:
        """Every file of the repository, in the hub's order."""
        entries = self._call(
            self.asked(f"revision {revision}"),
            lambda: list(
                self._api.list_repo_tree(self.repo_id, recursive=True, revision=revision, repo_type=self.repo_type)
            ),
        )
        return [identity_of(entry) for entry in files_of(entries)]

    def resolve_url(self, path: str, revision: str) -> str:
        """The address of a file; the hub answers it with content, or with a redirect to a signed address."""
        return hf_hub_url(self.repo_id, path, repo_type=self.repo_type, revision=revision, endpoint=self.endpoint)

    def _call(self, asked: Asked, call: Callable[[], Answer]) -> Answer:
        """Call; try again where the hub is unavailable, as often as `retries` says."""
        for failures in range(1, self.retries + 2):
            pause = backoff_seconds(failures)
            time.sleep(self.turn_seconds())
            try:
                return call()
            except HFValidationError as cause:
                raise UsageError("not a repository id", where=self.repo_id, why=str(cause)) from cause
            except HfHubHTTPError as cause:
                error: XperienceError = error_of_status(cause.response.status_code, cause.response.headers, asked)
                pause = asked_pause_seconds(cause.response.headers) or pause
                error.__cause__ = cause
            except (httpx2.TransportError, httpx2.InvalidURL) as cause:
                error = error_of_connection(cause, asked)
                error.__cause__ = cause
            except json.JSONDecodeError as cause:
                raise UnavailableError(
                    "the answer is not a hub's", where=self.endpoint, why="no JSON",
                    fix="Check HF_ENDPOINT; a proxy's sign-in page answers like this.",
                ) from cause  # fmt: skip
            if not isinstance(error, UnavailableError) or failures > self.retries:
                raise error
            time.sleep(pause)
        raise AssertionError("unreachable")


def files_of(entries: Iterable[RepoFile | RepoFolder]) -> list[RepoFile]:
    """The files among the entries of a tree."""
    return [entry for entry in entries if isinstance(entry, RepoFile)]


def identity_of(entry: RepoFile) -> FileIdentity:
    """LFS files by their sha256, others by their git blob id."""
    if entry.lfs is not None:
        return FileIdentity(entry.path, entry.size, sha256=entry.lfs.sha256)
    return FileIdentity(entry.path, entry.size, git_sha1=entry.blob_id)
