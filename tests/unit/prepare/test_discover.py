import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from evidence_parts import REAL, SIZES

from xperience.common.errors import BadDataError
from xperience.prepare.discover import SourceDiscovery
from xperience.standin.episodes import write_repository
from xperience.standin.hub import StandinHub

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


def discover(run, root, folder, *arguments, workspace=None):
    run(
        "prepare", "discover", "--workspace", workspace or folder, "--data-root", root, "--output", "found.json",
        "--report-output", "found.md", "--hub-retries", "0", "--modelscope-endpoint", NOWHERE, *arguments,
    )  # fmt: skip
    return SourceDiscovery.read(folder / "found.json")


PLAN = ("--target-episodes", "128", "--skip-modelscope", "--skip-huggingface")


@pytest.fixture
def root(sparse_root, tmp_path):
    shutil.copytree(sparse_root, tmp_path / "root", copy_function=os.link)
    return tmp_path / "root"


def test_the_plans_command_finds_128_whole_episodes_of_the_selection(run, sparse_root, tmp_path):
    found = discover(run, sparse_root, tmp_path, *PLAN, "--selection-json", REAL)
    assert (found.ready, found.selected_source) == (True, "local")
    assert found.selection.staged_bytes == found.selection.expected_bytes == 298_189_759_263
    assert all(item.ok for item in found.data_status_items)
    assert (found.modelscope.status, found.huggingface.status) == ("skipped", "skipped")
    assert "Met by: **local**" in (tmp_path / "found.md").read_text()


def test_ids_hold_the_session_so_that_128_episodes_have_128(run, sparse_root, tmp_path):
    found = discover(run, sparse_root, tmp_path, *PLAN)
    assert len({episode.episode_id for episode in found.local.episodes}) == 128


def test_a_missing_an_empty_and_a_cut_file_each_cost_the_target_and_are_named(run, root, tmp_path):
    paths = [episode["episode_path"] for episode in SIZES["episodes"][:4]]
    (root / paths[0] / "stereo_left.mp4").unlink()
    for path, name, size in ((paths[1], "fisheye_cam1.mp4", 0), (paths[2], "annotation.hdf5", 9)):
        (root / path / name).unlink()
        (root / path / name).write_bytes(bytes(size))
    (root / paths[3] / "visualization.rrd").write_bytes(b"x")
    (root / paths[3] / "stereo_left.mp4.partial").write_bytes(b"x")
    shutil.copytree(root / paths[3], root / paths[3].split("/")[0] / "ep77", copy_function=os.link)
    with pytest.raises(BadDataError, match="125 of 128"):
        discover(run, root, tmp_path, *PLAN, "--selection-json", REAL)
    found = SourceDiscovery.read(tmp_path / "found.json")
    assert not found.ready
    assert set(found.selection.incomplete_episodes) == set(paths[:3])
    assert found.selection.extra_episodes == [f"{paths[3].split('/')[0]}/ep77"]
    assert found.selection.repeated_sessions == [paths[3].split("/")[0]]
    assert len(found.excluded_files) == 2
    by_path = {episode.episode_path: episode for episode in found.local.episodes}
    assert by_path[paths[1]].missing_views == ["fisheye_cam1.mp4"]
    assert by_path[paths[1]].is_degraded_valid
    assert not by_path[paths[1]].is_complete
    report = (tmp_path / "found.md").read_text()
    assert "Not met by any source" in report
    assert f"{paths[2]}: annotation.hdf5: 9 bytes" in report


def test_degraded_episodes_do_not_make_data_ready(run, root, tmp_path):
    for episode in SIZES["episodes"]:
        (root / episode["episode_path"] / "stereo_right.mp4").unlink()
    with pytest.raises(BadDataError, match="0 of 128"):
        discover(run, root, tmp_path, *PLAN)
    assert SourceDiscovery.read(tmp_path / "found.json").local.num_degraded_valid_episodes == 128


def test_no_data_root_and_no_answer_from_anywhere_is_said_per_source(run, tmp_path):
    with pytest.raises(BadDataError, match="no source"):
        discover(run, tmp_path / "nothing", tmp_path, "--hf-endpoint", NOWHERE)
    found = SourceDiscovery.read(tmp_path / "found.json")
    assert found.modelscope.status == "not_run(no reachable endpoint)"
    assert found.huggingface.status.startswith("not_run(")
    assert found.huggingface.errors


def test_the_hubs_listing_is_a_source_before_anything_is_staged(run, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    write_repository(tmp_path / "hub", episodes=3, frames=8)
    next(iter((tmp_path / "hub").rglob("stereo_left.mp4"))).unlink()
    with StandinHub(tmp_path / "hub", "org/episodes") as hub:
        found = discover(
            run, tmp_path / "nothing", tmp_path, "--skip-modelscope", "--hf-endpoint", hub.endpoint,
            "--repo-id", "org/episodes", "--target-episodes", "2",
        )  # fmt: skip
    assert (found.selected_source, found.huggingface.num_complete_episodes) == ("huggingface", 2)


@pytest.fixture
def modelscope():
    """A server that speaks ModelScope's tree route, with two pages of files."""
    paths = [
        f"s{number:04}/ep1/{name}"
        for number in range(100)
        for name in ("annotation.hdf5", *(f"fisheye_cam{cam}.mp4" for cam in range(4)), "stereo_left.mp4")
    ] + [f"s{number:04}/ep1/stereo_right.mp4" for number in range(90)]
    files = [{"Path": path, "Type": "blob", "Size": 7} for path in paths] + [{"Path": "s0000", "Type": "tree"}]

    class Routes(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            size, page = int(query["PageSize"]), int(query["PageNumber"])
            known = parts.path == "/api/v1/datasets/org/episodes/repo/tree" and query["Recursive"] == "true"
            body = json.dumps({"Code": 200, "Data": {"Files": files[(page - 1) * size : page * size]}}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Routes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("repo_id", "status", "complete"),
    [
        pytest.param("org/episodes", "listed", 90, id="two-pages"),
        pytest.param("org/other", "not_run(ModelScope gives no listing)", 0, id="other-repository"),
    ],
)
def test_modelscope_is_listed_page_by_page(run, tmp_path, modelscope, repo_id, status, complete):
    with pytest.raises(BadDataError, match="no source"):
        discover(
            run, tmp_path / "none", tmp_path, "--skip-huggingface", "--repo-id", repo_id, "--modelscope-endpoint",
            modelscope,
        )  # fmt: skip
    found = SourceDiscovery.read(tmp_path / "found.json").modelscope
    assert (found.status, found.num_complete_episodes) == (status, complete)
