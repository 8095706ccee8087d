import copy
import gzip
import json
import random
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xperience.cli.main import app
from xperience.common.errors import BadDataError, UsageError
from xperience.common.identity import FileIdentity
from xperience.selection.pin import pin_file, select_repository
from xperience.selection.plan_file import pack, parse_document, read_selection
from xperience.selection.write import csv_of, txt_of

DATA = Path(__file__).parents[2] / "data"
REAL = DATA / "xperience10m_128_episode_selection.json"
SIZES = json.loads((DATA / "xperience10m_128_sizes.json").read_text())


@pytest.fixture(scope="module")
def real():
    return json.loads(REAL.read_text())


@pytest.fixture(scope="module")
def identities():
    return {
        f"{episode['episode_path']}/{name}": FileIdentity(f"{episode['episode_path']}/{name}", size, sha256="ab" * 32)
        for episode in SIZES["episodes"]
        for name, size in episode["files"].items()
    }


def test_select_verify_prints_the_figures_of_the_real_selection():
    printed = CliRunner().invoke(app, ["select", "verify", "--selection-json", str(REAL)]).output
    for figure in ("episodes             128", "sessions             128", "96/16/16", "files                896"):
        assert figure in printed
    assert "298,189,759,263 (277.71 GiB)" in printed


def test_the_embedded_selection_is_the_real_one():
    embedded = (files("xperience") / "data" / f"{REAL.name}.gz").read_bytes()
    assert gzip.decompress(embedded) == REAL.read_bytes()


def change_episode(number, **fields):
    def change(document):
        document["selected_episodes"][number].update(fields)

    return change


def put_in(path, value):
    def change(document):
        *parents, last = path
        place = document
        for part in parents:
            place = place[part]
        place[last] = value

    return change


def rename_file(new):
    def change(document):
        document["selected_episodes"][0]["download_files"][1] = new
        document["download_files"][1] = new

    return change


def drop_episode(document):
    gone = document["selected_episodes"].pop()
    document["download_files"] = document["download_files"][: -len(gone["download_files"])]


def repeat_session(document):
    first, second = document["selected_episodes"][:2]
    second["top_level_session"] = first["top_level_session"]
    second["split"] = first["split"]
    second["episode_path"] = f"{first['top_level_session']}/{second['episode_id']}"
    renamed = [f"{second['episode_path']}/{path.rpartition('/')[2]}" for path in second["download_files"]]
    second["download_files"] = renamed
    document["download_files"][7:14] = renamed


def session_in_two_splits(document):
    repeat_session(document)
    document["selected_episodes"][1]["split"] = "val"


def add_rrd(document):
    path = document["selected_episodes"][0]["episode_path"] + "/visualization.rrd"
    document["selected_episodes"][0]["download_files"].append(path)
    document["download_files"].insert(7, path)


def drop_file(document):
    document["selected_episodes"][0]["download_files"].pop()
    document["download_files"].pop(6)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("fewer-episodes", drop_episode, id="fewer"),
        pytest.param("repeated-session", repeat_session, id="repeated-session"),
        pytest.param("session-in-two-splits", session_in_two_splits, id="two-splits"),
        pytest.param("missing-file", drop_file, id="missing-file"),
        pytest.param("excluded-file", add_rrd, id="rrd"),
        pytest.param("sizes-do-not-add-up", change_episode(3, video_bytes=1), id="episode-sum"),
        pytest.param(
            "sizes-do-not-add-up", put_in(["selected_summary", "estimated_annotation_bytes"], 1), id="summary-sum"
        ),
        pytest.param("sizes-do-not-add-up", change_episode(5, split="val"), id="split-counts"),
        pytest.param("unknown-field", put_in(["colour"], "red"), id="unknown-field"),
        pytest.param("unknown-field", change_episode(0, colour="red"), id="unknown-episode-field"),
        pytest.param("malformed-field", put_in(["repo_sha"], "main"), id="unpinned-revision"),
        pytest.param("unsafe-path", rename_file("../../etc/passwd"), id="dot-dot"),
        pytest.param("unsafe-path", rename_file("/etc/passwd"), id="absolute"),
        pytest.param("unsafe-path", rename_file("a/b\x00c"), id="nul"),
        pytest.param("unsafe-path", rename_file("a//b"), id="empty-part"),
        pytest.param("unsafe-path", rename_file("a\\b"), id="backslash"),
        pytest.param("strange-file", rename_file("somewhere/else.mp4"), id="file-of-another-folder"),
        pytest.param("file-list-differs", lambda d: d["download_files"].reverse(), id="order"),
        pytest.param("ranks-out-of-order", change_episode(0, selection_rank=9), id="rank"),
        pytest.param("unknown-schema", put_in(["schema"], "xperience.other/1"), id="schema"),
    ],
)
def test_a_selection_is_refused_by_name(real, name, change):
    document = copy.deepcopy(real)
    change(document)
    with pytest.raises(BadDataError, match=rf"\[({name}|missing-file)\]" if name == "strange-file" else rf"\[{name}\]"):
        parse_document(json.dumps(document).encode(), "selection.json")


def test_a_packed_selection_reads_as_the_file_itself_and_is_small(tmp_path):
    packed = pack(REAL.read_bytes())
    assert len(packed) < 30_000
    assert packed == pack(REAL.read_bytes())
    (tmp_path / "packed").write_bytes(packed)
    (tmp_path / "zipped").write_bytes(gzip.compress(REAL.read_bytes()))
    assert read_selection(tmp_path / "packed") == read_selection(REAL) == read_selection(tmp_path / "zipped")
    with pytest.raises(UsageError, match="too large for a ConfigMap"):
        pack(random.Random(1).randbytes(700_000))
    (tmp_path / "packed").write_bytes(packed[:1000])
    with pytest.raises(BadDataError, match=r"\[not-json\]"):
        read_selection(tmp_path / "packed")


def test_total_bytes_may_count_the_excluded_file_of_six_episodes(real):
    with_rrd = [episode for episode in real["selected_episodes"] if episode["has_visualization_rrd"]]
    assert len(with_rrd) == 6
    parse_document(REAL.read_bytes(), "selection.json")


def test_csv_and_txt_are_written_byte_for_byte_as_the_plan_has_them(real):
    document = parse_document(REAL.read_bytes(), "selection.json")
    assert csv_of(document).encode() == (DATA / "xperience10m_128_episode_selection.csv").read_bytes()
    assert txt_of(document).encode() == (DATA / "xperience10m_128_episode_download_files.txt").read_bytes()


def test_a_pinned_selection_has_size_and_hash_of_every_file_and_names_its_parent(tmp_path, identities):
    pinned = pin_file(REAL, identities)
    pinned.write(tmp_path / "pinned.json")
    selection = read_selection(tmp_path / "pinned.json")
    assert selection.pinned
    assert selection.parent_sha256 == read_selection(REAL).source_sha256
    assert sum(file.size_bytes for file in selection.files) == 298_189_759_263
    assert [file.path for file in selection.files] == [file.path for file in read_selection(REAL).files]


def test_a_file_that_has_another_size_at_the_hub_is_refused(identities):
    path = next(iter(identities))
    changed = identities | {path: FileIdentity(path, identities[path].size_bytes + 1, sha256="ab" * 32)}
    with pytest.raises(BadDataError, match=r"\[size-differs-from-hub\]"):
        pin_file(REAL, changed)


def test_a_file_that_is_not_at_the_hub_is_named(identities):
    path = next(iter(identities))
    with pytest.raises(BadDataError, match=path):
        pin_file(REAL, {name: identity for name, identity in identities.items() if name != path})


def test_an_edited_pinned_selection_is_refused(tmp_path, identities):
    pin_file(REAL, identities).write(tmp_path / "pinned.json")
    document = json.loads((tmp_path / "pinned.json").read_text())
    document["files"][0]["sha256"] = "cd" * 32
    (tmp_path / "pinned.json").write_text(json.dumps(document))
    with pytest.raises(BadDataError, match="content_sha256"):
        read_selection(tmp_path / "pinned.json")


def test_a_repository_is_selected_by_patterns_and_never_its_rrd_files():
    listing = [FileIdentity(path, 1, sha256="ab" * 32) for path in ("b/x.bin", "a/y.bin", "a/z.rrd", "README.md")]
    found = select_repository(
        listing, repo_id="o/n", repo_type="model", revision="0" * 40, include=["*/*"], exclude=["b/*"]
    )
    assert [file.path for file in found.files] == ["a/y.bin"]
    everything = select_repository(listing, repo_id="o/n", repo_type="model", revision="0" * 40, include=[], exclude=[])
    assert [file.path for file in everything.files] == ["README.md", "a/y.bin", "b/x.bin"]
