"""ModelScope's listing of a data set: paths and sizes, page by page."""

from typing import Any

import httpx2

from xperience.common.errors import BadDataError, UnavailableError
from xperience.common.identity import FileIdentity

PAGE_FILES = 500
MOST_PAGES = 10_000


def modelscope_listing(endpoint: str, repo_id: str, *, revision: str, timeout_seconds: float) -> list[FileIdentity]:
    """Every file of a data set. UnavailableError where nothing answers, BadDataError where the answer is no listing."""
    found: list[FileIdentity] = []
    address = f"{endpoint.rstrip('/')}/api/v1/datasets/{repo_id}/repo/tree"
    with httpx2.Client(timeout=timeout_seconds, follow_redirects=True) as client:
        for page in range(1, MOST_PAGES):
            query: dict[str, str | int] = {
                "Revision": revision, "Root": "/", "Recursive": "true", "PageNumber": page, "PageSize": PAGE_FILES,
            }  # fmt: skip
            try:
                answer = client.get(address, params=query)
                answer.raise_for_status()
                document = answer.json()
            except httpx2.HTTPStatusError as error:
                why = f"HTTP {error.response.status_code}"
                raise BadDataError("ModelScope gives no listing", where=repo_id, why=why) from error
            except httpx2.HTTPError as error:
                raise UnavailableError("no reachable endpoint", where=endpoint, why=str(error)) from error
            except ValueError as error:
                raise BadDataError("ModelScope gives no listing", where=repo_id, why="no JSON") from error
            files = _files(document, repo_id)
            found += [FileIdentity(file["Path"], int(file.get("Size") or 0)) for file in files if _is_file(file)]
            if len(files) < PAGE_FILES:
                return found
    raise BadDataError("ModelScope's listing has no end", where=repo_id, why=f"{MOST_PAGES} pages")


def _files(document: Any, repo_id: str) -> list[dict[str, Any]]:
    data = document.get("Data") if isinstance(document, dict) else None
    files = data.get("Files") if isinstance(data, dict) else None
    if not isinstance(files, list):
        raise BadDataError("ModelScope gives no listing", where=repo_id, why=str(document)[:200])
    return [file for file in files if isinstance(file, dict)]


def _is_file(file: dict[str, Any]) -> bool:
    return isinstance(file.get("Path"), str) and file.get("Type") != "tree"
