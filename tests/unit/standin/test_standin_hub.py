import hashlib
import http.client
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import HfApi, RepoFile, RepoFolder, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RemoteEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers

from xperience.common.files import git_blob_sha1_of_file
from xperience.standin.hub import StandinHub
from xperience.standin.hub_contents import VirtualFile

TOKEN = "hf_secret_of_the_test"
DATA = bytes(range(256)) * 40


@pytest.fixture
def standin(tmp_path):
    (tmp_path / "root" / "s" / "ep1").mkdir(parents=True)
    (tmp_path / "root" / "s" / "ep1" / "annotation.hdf5").write_bytes(DATA)
    (tmp_path / "root" / "readme.md").write_text("small\n")
    (tmp_path / "outside.txt").write_text("not for the hub")
    (tmp_path / "root" / "link.txt").symlink_to(tmp_path / "outside.txt")
    with StandinHub(tmp_path / "root", "org/data", token=TOKEN, page_size=2) as hub:
        yield hub


@pytest.fixture
def api(standin):
    return HfApi(endpoint=standin.endpoint, token=TOKEN)


def fetch(standin, path, tmp_path, token: str | bool = TOKEN) -> Path:
    folder = tmp_path / "downloaded"
    repository = {"repo_type": "dataset", "revision": standin.commit, "endpoint": standin.endpoint}
    return Path(hf_hub_download("org/data", path, **repository, token=token, local_dir=folder))


def test_the_unmodified_client_downloads_large_and_small_files(standin, tmp_path):
    assert fetch(standin, "s/ep1/annotation.hdf5", tmp_path).read_bytes() == DATA
    assert fetch(standin, "readme.md", tmp_path).read_text() == "small\n"
    assert standin.log.served().cdn_authorizations == set()


def test_the_unmodified_client_lists_all_pages_with_files_and_folders(standin, api):
    entries = list(api.list_repo_tree("org/data", recursive=True, repo_type="dataset"))
    assert [(type(entry), entry.path) for entry in entries] == [
        (RepoFile, "readme.md"), (RepoFolder, "s"), (RepoFolder, "s/ep1"), (RepoFile, "s/ep1/annotation.hdf5"),
    ]  # fmt: skip
    top = list(api.list_repo_tree("org/data", repo_type="dataset"))
    assert [entry.path for entry in top] == ["readme.md", "s"]
    below = list(api.list_repo_tree("org/data", "s/ep1", repo_type="dataset"))
    assert [entry.path for entry in below] == ["s/ep1/annotation.hdf5"]


def test_paths_info_has_the_lfs_hash_and_the_git_blob_id(standin, api, tmp_path):
    large, small = api.get_paths_info("org/data", ["s/ep1/annotation.hdf5", "readme.md"], repo_type="dataset")
    assert (large.size, large.lfs.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert small.lfs is None
    assert small.blob_id == git_blob_sha1_of_file(tmp_path / "root" / "readme.md")


def test_the_client_verifies_what_it_downloaded_against_the_stand_in(standin, api, tmp_path):
    fetch(standin, "s/ep1/annotation.hdf5", tmp_path)
    fetch(standin, "readme.md", tmp_path)
    verified = api.verify_repo_checksums("org/data", repo_type="dataset", local_dir=tmp_path / "downloaded")
    assert verified.checked_count == 2
    assert not verified.mismatches


def test_a_given_commit_is_answered_for_and_another_is_not(tmp_path):
    sha = "ce943cf271a758b60240084892d05cf6dc12dd90"
    with StandinHub(tmp_path, "org/data", revision=sha, gate="open") as standin:
        api = HfApi(endpoint=standin.endpoint, token=False)
        assert api.repo_info("org/data", repo_type="dataset", revision=sha).sha == sha
        assert api.repo_info("org/data", repo_type="dataset").sha == sha
        with pytest.raises(RevisionNotFoundError):
            api.repo_info("org/data", repo_type="dataset", revision="0" * 40)


def test_the_commit_is_the_same_for_the_same_files(tmp_path):
    (tmp_path / "a").write_text("x")
    first, second = (StandinHub(tmp_path, "org/data").commit for _ in range(2))
    assert first == second
    assert len(first) == 40
    (tmp_path / "b").write_text("y")
    assert StandinHub(tmp_path, "org/data").commit != first


def test_a_model_repository_has_its_own_addresses(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with StandinHub(tmp_path, "org/model", repo_type="model", gate="open") as standin:
        found = hf_hub_download("org/model", "config.json", endpoint=standin.endpoint, local_dir=tmp_path / "d")
        assert Path(found).read_text() == "{}"


def test_the_gate_shows_the_client_its_four_states(standin, api, tmp_path):
    api.auth_check("org/data", repo_type="dataset")
    with pytest.raises(GatedRepoError) as without:
        fetch(standin, "readme.md", tmp_path, token=False)
    assert without.value.response.status_code == 401
    standin.gate = "not_approved"
    with pytest.raises(GatedRepoError) as not_approved:
        api.auth_check("org/data", repo_type="dataset")
    assert not_approved.value.response.status_code == 403
    assert api.get_paths_info("org/data", ["readme.md"], repo_type="dataset")  # the listing is public
    standin.token = None
    with pytest.raises(HfHubHTTPError) as revoked:
        api.whoami()
    assert revoked.value.response.status_code == 401
    standin.gate = "open"
    HfApi(endpoint=standin.endpoint, token=False).auth_check("org/data", repo_type="dataset")


@pytest.mark.parametrize("path", ["no/such", "../outside.txt", "link.txt", "s/../../outside.txt", "s"])
def test_what_is_not_a_file_of_the_root_is_not_found(standin, path):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(standin.endpoint).port)
    # http.client sends the path as it is, dots and all.
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connection.request("GET", f"/datasets/org/data/resolve/main/{path}", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")


def test_a_missing_entry_is_told_to_the_client(standin, tmp_path):
    with pytest.raises(RemoteEntryNotFoundError):
        fetch(standin, "no/such.file", tmp_path)


def signed(standin) -> str:
    url = f"{standin.endpoint}/datasets/org/data/resolve/main/s/ep1/annotation.hdf5"
    answer = httpx2.head(url, headers=build_hf_headers(token=TOKEN))
    assert answer.status_code == 302
    assert urlsplit(answer.headers["Location"]).port != urlsplit(standin.endpoint).port
    return answer.headers["Location"]


@pytest.mark.parametrize(
    ("header", "status", "content_range", "body"),
    [
        pytest.param(None, 200, None, DATA, id="whole"),
        pytest.param("bytes=10-19", 206, f"bytes 10-19/{len(DATA)}", DATA[10:20], id="inside"),
        pytest.param(f"bytes={len(DATA) - 1}-", 206, f"bytes {len(DATA) - 1}-{len(DATA) - 1}/{len(DATA)}", DATA[-1:],
                     id="open end"),
        pytest.param(f"bytes=0-{len(DATA) + 5}", 206, f"bytes 0-{len(DATA) - 1}/{len(DATA)}", DATA, id="over the end"),
        pytest.param(f"bytes={len(DATA)}-", 416, f"bytes */{len(DATA)}", b"", id="behind the end"),
    ],
)  # fmt: skip
def test_the_cdn_serves_ranges(standin, header, status, content_range, body):
    answer = httpx2.get(signed(standin), headers={"Range": header} if header else {})
    assert (answer.status_code, answer.headers.get("Content-Range"), answer.content) == (status, content_range, body)


def test_an_address_that_is_forged_expired_or_for_another_file_is_forbidden(standin):
    address = signed(standin)
    assert httpx2.get(address).status_code == 200
    assert httpx2.get(address[:-1] + ("0" if address[-1] != "0" else "1")).status_code == 403
    assert httpx2.get(address.replace("s/ep1/annotation.hdf5", "readme.md")).status_code == 403
    assert httpx2.get(address.partition("?")[0]).status_code == 403
    standin.address_seconds = -1
    assert httpx2.get(signed(standin)).status_code == 403


def test_the_log_notices_a_token_at_the_cdn(standin):
    httpx2.get(signed(standin), headers={"Authorization": "Bearer leaked"})
    assert standin.log.served().cdn_authorizations == {"Bearer leaked"}


@pytest.mark.alone
def test_the_total_rate_holds_over_all_connections(tmp_path):
    virtual = {f"{number}.bin": VirtualFile(500_000, number) for number in range(4)}
    tmp_path.joinpath("root").mkdir()
    with StandinHub(tmp_path / "root", "o/d", virtual=virtual, gate="open", rate_bytes_per_second=2e6) as standin:
        for file in virtual.values():
            standin.contents.hashes(file)
        urls = [f"{standin.endpoint}/datasets/o/d/resolve/main/{path}" for path in virtual]
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda url: httpx2.get(url, follow_redirects=True), urls))
        seconds = time.monotonic() - begun
    assert sum(len(answer.content) for answer in answers) == 2_000_000
    # One second, of which 0.05 s is the burst; with a rate of its own each: 0.25 s, one by one: 4 s.
    assert 0.95 <= seconds <= 2.0


def test_a_virtual_file_is_read_alike_in_any_ranges():
    file = VirtualFile(3_000_000, 7)
    whole = b"".join(file.read(0, file.size_bytes))
    assert len(whole) == 3_000_000
    assert b"".join(file.read(1_040_000, 1_060_000, block_bytes=777)) == whole[1_040_000:1_060_000]
    assert whole != b"".join(VirtualFile(3_000_000, 8).read(0, 3_000_000))


def test_as_a_process_it_says_where_it_is_and_takes_orders(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "root").mkdir()
    command = [sys.executable, "-m", "xperience.standin.hub", "--root", tmp_path / "root", "--repo-id", "org/data"]
    more = ["--token-path", tmp_path / "token", "--virtual", "a=b.bin=5000:1"]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["pid"] == process.pid
        api = HfApi(endpoint=said["endpoint"], token=TOKEN)
        assert api.repo_info("org/data", repo_type="dataset").sha == said["commit"]
        control, url = (
            f"{said['endpoint']}/_standin/faults",
            f"{said['endpoint']}/datasets/org/data/resolve/main/a%3Db.bin",
        )
        headers = build_hf_headers(token=TOKEN)
        assert httpx2.post(control, json=[{"kind": "unavailable"}, {"rate": 1e6}]).status_code == 200
        assert [httpx2.head(url, headers=headers).status_code for _ in range(2)] == [503, 302]
        assert httpx2.post(control, json=[{"kind": "earthquake"}]).status_code == 400
        assert httpx2.post(control, json=[{"gate": "not_approved"}]).status_code == 200
        assert httpx2.head(url, headers=headers).status_code == 403
        assert httpx2.post(control, json=[{"revoke_token": True}]).status_code == 200
        assert httpx2.head(url, headers=headers).status_code == 401
        assert httpx2.get(f"{said['endpoint']}/_standin/served").json()["resolve_calls"] == {"a=b.bin": 4}
        argv = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert TOKEN not in argv
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert list((tmp_path / "root").iterdir()) == []
