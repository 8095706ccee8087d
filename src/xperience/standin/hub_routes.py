"""The routes of the stand-in hub: its API, its resolve addresses, and the control of faults."""

import json
import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import ValidationError

from xperience.standin.hub_bodies import Handler
from xperience.standin.hub_faults import Fault


class HubHandler(Handler):
    """The first port: the API, and resolve addresses."""

    def do_GET(self) -> None:
        """Every route but paths-info and the control of faults."""
        parts = urlsplit(self.path)
        self.route = "resolve" if "/resolve/" in parts.path else "api"
        hub, prefix = self.hub, "" if self.hub.repo_type == "model" else f"{self.hub.repo_type}s/"
        if parts.path == "/_standin/served":
            self.answer_json(hub.log.served().document())
        elif match := re.fullmatch(f"/{prefix}{re.escape(hub.repo_id)}/resolve/([^/]+)/(.+)", parts.path):
            self._resolve(unquote(match[1]), unquote(match[2]))
        elif not self._admitted():
            return
        elif parts.path == "/api/whoami-v2":
            self._whoami()
        elif match := re.fullmatch(f"/api/{hub.repo_type}s/{re.escape(hub.repo_id)}(?:/(.*))?", parts.path):
            self._repository(match[1] or "", parse_qs(parts.query))
        else:
            self.refuse(404, "Repository not found", "RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """paths-info, and the control of faults from another process."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        if parts.path == "/_standin/faults":
            self._control(body)
        elif match := re.fullmatch(
            f"/api/{self.hub.repo_type}s/{re.escape(self.hub.repo_id)}/paths-info/([^/]+)", parts.path
        ):
            if self._admitted() and self._at_revision(unquote(match[1])):
                as_json = "json" in self.headers.get("Content-Type", "")
                paths = json.loads(body)["paths"] if as_json else parse_qs(body.decode()).get("paths", [])
                found = ((path, self.hub.contents.find(path)) for path in paths)
                self.answer_json([self.hub.entry(path, file) for path, file in found if file])
        else:
            self.refuse(404, "Repository not found", "RepoNotFound")

    def _control(self, body: bytes) -> None:
        """JSON: a list of faults, and of {"clear": true}, {"gate": …}, {"revoke_token": true}, {"rate": bytes/s}."""
        for order in json.loads(body):
            match order:
                case {"clear": True}:
                    self.hub.faults.clear()
                case {"gate": "open" | "token" | "not_approved" as gate}:
                    self.hub.gate = gate
                case {"revoke_token": True}:
                    self.hub.token = None
                case {"rate": float() | int() as rate}:
                    self.hub.rate.bytes_per_second = rate
                case _:
                    try:
                        self.hub.faults.add(**Fault.model_validate(order).model_dump())
                    except ValidationError as error:
                        self.refuse(400, f"no such fault: {error.errors()[0]['msg']}")
                        return
        self.answer_json({"ok": True})

    def _bearer(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _admitted(self) -> bool:
        """Whether an API call goes on: not overloaded, and no bad token."""
        self.hub.log.count_api(urlsplit(self.path).path)
        if self.overloaded(urlsplit(self.path).path):
            return False
        if self._bearer() and self._bearer() != self.hub.token:
            self.refuse(401, "Invalid credentials in Authorization header")
            return False
        return True

    def _through_gate(self) -> bool:
        where = f"{self.hub.repo_type} {self.hub.repo_id}"
        if self.hub.gate != "open" and not self._bearer():
            self.refuse(401, f"Access to {where} is restricted. You must be authenticated to access it.", "GatedRepo")
        elif self._bearer() and self._bearer() != self.hub.token:
            self.refuse(401, "Invalid credentials in Authorization header")
        elif self.hub.gate == "not_approved":
            self.refuse(403, f"Access to {where} is restricted and you are not in the authorized list.", "GatedRepo")
        else:
            return True
        return False

    def _at_revision(self, revision: str) -> bool:
        if revision in (self.hub.commit, "main"):
            return True
        self.refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return False

    def _whoami(self) -> None:
        if not self._bearer():
            self.refuse(401, "Invalid username or password.")
            return
        self.answer_json({"type": "user", "name": self.hub.user, "auth": {"type": "access_token"}})

    def _repository(self, rest: str, query: dict[str, list[str]]) -> None:
        kind, _, tail = rest.partition("/")
        revision, _, folder = tail.partition("/")
        if kind == "auth-check":
            if self._through_gate():
                self.answer_json({})
        elif kind == "":
            self._info()
        elif not self._at_revision(unquote(revision)):
            return
        elif kind == "revision":
            self._info()
        elif kind == "tree":
            self._tree(unquote(folder), query)
        else:
            self.refuse(404, "Not found")

    def _info(self) -> None:
        hub = self.hub
        siblings = [{"rfilename": path} for path in hub.contents.paths()]
        gated = False if hub.gate == "open" else "manual"
        document = {
            "_id": "0" * 24, "id": hub.repo_id, "sha": hub.commit, "gated": gated, "private": False, "disabled": False,
            "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
        }  # fmt: skip
        self.answer_json(document, {"X-Repo-Commit": hub.commit})

    def _tree(self, folder: str, query: dict[str, list[str]]) -> None:
        """Files and folders below `folder`, in pages; the cursor is the number of entries before the page."""
        prefix = f"{folder}/" if folder else ""
        recursive = query.get("recursive", ["false"])[0].lower() == "true"
        below = [path for path in self.hub.contents.paths() if path.startswith(prefix)]
        parents = {str(parent) for path in below for parent in PurePosixPath(path).parents if str(parent) != "."}
        names = sorted({*below, *(parent for parent in parents if parent.startswith(prefix))})
        if not recursive:
            names = [name for name in names if "/" not in name.removeprefix(prefix)]
        size, begin = int(query.get("limit", [str(self.hub.page_size)])[0]), int(query.get("cursor", ["0"])[0])
        entries = []
        for name in names[begin : begin + size]:
            file = self.hub.contents.find(name)
            folder_entry = {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
            entries.append(self.hub.entry(name, file) if file else folder_entry)
        path = urlsplit(self.path).path
        more = f"{self.hub.endpoint}{path}?recursive={recursive}&limit={size}&cursor={begin + size}"
        self.answer_json(entries, {"Link": f'<{more}>; rel="next"'} if begin + size < len(names) else None)

    def _resolve(self, revision: str, path: str) -> None:
        hub = self.hub
        hub.log.count_resolve(path)
        if self.overloaded(path) or not self._through_gate() or not self._at_revision(revision):
            return
        file = hub.contents.find(path)
        if file is None:
            self.refuse(404, "Entry not found", "EntryNotFound")
            return
        hashes, commit = hub.contents.hashes(file), {"X-Repo-Commit": hub.commit}
        if not hub.is_lfs(path, file.size_bytes):
            self.send_content(path, file, {**commit, "ETag": f'"{hashes.git_sha1}"'})
            return
        linked = {"X-Linked-Size": str(file.size_bytes), "X-Linked-Etag": f'"{hashes.sha256}"'}
        self.answer(302, headers={**commit, **linked, "Location": hub.signed_address(path)})
