import csv
import json
import resource
import shutil

import h5py
import pytest
from evidence_parts import REAL, SIZES, captioned_root

from xperience.common.errors import BadDataError, RefusedError, UsageError
from xperience.prepare.content import ContentAudit
from xperience.prepare.manifest import EpisodeManifest
from xperience.prepare.review import AuditReview

PLAN_COLUMNS = [
    "episode_path", "split", "size_band", "category", "main_task", "segment_count", "actions", "objects",
    "annotation_path",
]  # fmt: skip
PATHS = [episode["episode_path"] for episode in SIZES["episodes"]]


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    """Captions for the real 128 episodes: six topics in turn within each split."""
    root = tmp_path_factory.mktemp("balanced")
    captioned_root(root)
    return root


@pytest.fixture
def root(balanced, tmp_path):
    shutil.copytree(balanced, tmp_path / "root")
    return tmp_path / "root"


def audit(run, root, folder, *arguments, expect=None):
    command = (
        "prepare", "audit", "--data-root", root, "--selection-json", REAL, "--output-json", folder / "audit.json",
        "--output-csv", folder / "audit.csv", "--report-output", folder / "AUDIT.md", *arguments,
    )  # fmt: skip
    if expect is None:
        run(*command)
    else:
        with pytest.raises(BadDataError, match=expect) as refused:
            run(*command)
        assert refused.value.exit_code == 65
    return ContentAudit.read(folder / "audit.json")


def write_caption(root, path, text):
    with h5py.File(root / path / "annotation.hdf5", "a") as file:
        del file["caption"]
        if text is not None:
            file["caption"] = text


def processor_seconds():
    """Of this process and of those that it waited for: a busy machine does not count."""
    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime


@pytest.mark.alone
def test_balanced_data_passes_with_the_plans_outputs_in_its_columns_within_20_seconds(run, balanced, tmp_path):
    started = processor_seconds()
    found = audit(run, balanced, tmp_path)
    taken = processor_seconds() - started
    print(f"\naudit of 128 episodes: {taken:.1f} s of processor time")
    assert taken < 20
    assert (found.status, found.episode_count, found.findings) == ("pass", 128, [])
    rows = list(csv.DictReader((tmp_path / "audit.csv").open()))
    assert list(rows[0])[:9] == PLAN_COLUMNS
    assert len(rows) == 128
    assert "; " in rows[0]["actions"]
    document = json.loads((tmp_path / "audit.json").read_text())
    for name in ("status", "data_root", "selection_json", "episode_count", "category_counts", "split_category_counts",
                 "note"):  # fmt: skip
        assert name in document
    for name in ("episode_path", "annotation_path", "split", "size_band", "parse_status", "json_bytes", "main_task",
                 "global_summary", "segment_count", "subtasks", "actions", "objects", "interaction_preview",
                 "category"):  # fmt: skip
        assert name in document["rows"][0]
    report = (tmp_path / "AUDIT.md").read_text()
    assert report.startswith("# Staged content audit: pass")
    assert "<svg" in (tmp_path / "AUDIT.html").read_text()


def test_clusters_find_the_topics_without_the_vocabulary(run, balanced, tmp_path):
    found = audit(run, balanced, tmp_path, "--clusters", "6").clusters
    assert found.agreement > 0.9
    assert sum(sum(counts) for counts in found.split_counts.values()) == 128


def test_a_category_that_dominates_one_split_fails_the_audit_and_is_named(run, root, tmp_path):
    from evidence_parts import caption_about

    val = [episode["episode_path"] for episode in SIZES["episodes"] if episode["split"] == "val"]
    for path in val[:10]:
        write_caption(root, path, caption_about("Folding cardboard cartons"))
    found = audit(run, root, tmp_path, expect="paper_and_cardboard dominates val")
    assert found.status == "fail"
    assert {split.split for split in found.splits if split.dominates} == {"val"}
    assert "**paper_and_cardboard dominates val" in (tmp_path / "AUDIT.md").read_text()


def test_a_pool_that_is_like_that_is_no_reason_to_fail(run, root, tmp_path):
    from evidence_parts import caption_about

    for number, path in enumerate(PATHS):
        if number % 2:
            write_caption(root, path, caption_about("Folding cardboard cartons"))
    audit(run, root, tmp_path, expect="dominates")
    shutil.copy(tmp_path / "audit.json", tmp_path / "pool.json")
    found = audit(run, root, tmp_path / "second", "--pool-json", tmp_path / "pool.json")
    assert found.pool_shares["paper_and_cardboard"] > 0.5
    assert found.inputs["pool"] == ContentAudit.read(tmp_path / "pool.json").content_sha256


def test_more_than_5_percent_without_a_caption_or_a_category_fail(run, root, tmp_path):
    from evidence_parts import caption_about

    for path in PATHS[:3]:
        write_caption(root, path, None)
    write_caption(root, PATHS[3], "no JSON")
    (root / PATHS[4] / "annotation.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n truncated")
    (root / PATHS[5] / "annotation.hdf5").unlink()
    assert audit(run, root, tmp_path).unknown_share == pytest.approx(6 / 128, abs=1e-5)
    write_caption(root, PATHS[6], caption_about("Doing this and that"))
    found = audit(run, root, tmp_path, expect="no category")
    states = {row.episode_path: (row.parse_status, row.category) for row in found.rows}
    assert states[PATHS[0]] == ("missing", "unparsed")
    assert states[PATHS[3]] == ("failed", "unparsed")
    assert states[PATHS[4]] == ("failed", "unparsed")
    assert states[PATHS[5]] == ("missing", "unparsed")
    assert states[PATHS[6]] == ("ok", "uncategorised")


def test_labels_of_test_that_train_lacks_and_tasks_and_devices_that_splits_share_are_counted(run, root, tmp_path):
    from evidence_parts import caption_about

    test = [episode["episode_path"] for episode in SIZES["episodes"] if episode["split"] == "test"]
    before = audit(run, root, tmp_path)
    write_caption(root, test[0], caption_about("Sorting beads", actions=("Never seen in train", "Nor this")))
    after = audit(run, root, tmp_path)

    def seen(found):
        return next(one for one in found.labels if (one.split, one.kind) == ("test", "action"))

    assert seen(before).seen_share == 1.0
    assert (seen(after).distinct, seen(after).seen) == (seen(before).distinct + 2, seen(before).seen)
    assert {"train", "val", "test"} == set(after.repeated_devices[0].episodes)
    assert after.repeated_main_tasks
    assert any("devices occur in more than one split" in line for line in after.warnings)


def test_a_caption_beside_the_annotation_is_read_and_one_outside_of_its_folder_is_not(run, root, tmp_path):
    from evidence_parts import caption_about

    (root / PATHS[0] / "caption.json").write_text(caption_about("Baking bread"))
    write_caption(root, PATHS[0], "caption.json")
    (root / "outside.json").write_text(caption_about("Baking bread"))
    write_caption(root, PATHS[1], "../../outside.json")
    rows = {row.episode_path: row for row in audit(run, root, tmp_path).rows}
    assert rows[PATHS[0]].category == "food_and_drink"
    assert rows[PATHS[1]].parse_status == "failed"


def test_hostile_files_cost_their_own_row_alone(run, root, tmp_path):
    """A link to another episode's caption, and a caption that unpacks to a gigabyte: each is opened in a worker."""
    with h5py.File(root / PATHS[0] / "annotation.hdf5", "a") as file:
        del file["caption"]
        file["caption"] = h5py.ExternalLink(str(root / PATHS[1] / "annotation.hdf5"), "caption")
    with h5py.File(root / PATHS[2] / "annotation.hdf5", "a") as file:
        del file["caption"]
        file.create_dataset("caption", shape=(1,), chunks=(1,), dtype="S1000000000", compression="gzip")
    rows = {row.episode_path: row for row in audit(run, root, tmp_path).rows}
    assert [rows[path].parse_status for path in PATHS[:4]] == ["failed", "ok", "failed", "ok"]
    assert "a link instead of data" in rows[PATHS[0]].error
    assert rows[PATHS[2]].error


def test_two_runs_write_the_same_content_and_under_source_date_epoch_the_same_bytes(
    run, balanced, root, tmp_path, monkeypatch
):
    first, again = audit(run, balanced, tmp_path / "a"), audit(run, root, tmp_path / "b")
    assert first.content_sha256 == again.content_sha256  # another data root, another time
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("c", "d"):
        audit(run, balanced, tmp_path / name)
    for name in ("audit.json", "audit.csv", "AUDIT.md", "AUDIT.html"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def test_the_audit_names_the_manifest_that_lies_beside_it(run, balanced, tmp_path):
    run("prepare", "manifest", "--data-root", balanced, "--selection-json", REAL, "--output", tmp_path / "m.json")
    found = audit(run, balanced, tmp_path)
    assert found.inputs["manifest"] == EpisodeManifest.read(tmp_path / "m.json").content_sha256


def review(run, folder, *arguments):
    run("prepare", "review", "--audit-json", folder / "audit.json", *arguments)
    return AuditReview.read(folder / "audit_review.json")


def test_a_review_records_who_when_what_and_which_audit(run, balanced, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    found = audit(run, balanced, tmp_path)
    made = review(run, tmp_path, "--reviewer", "A. Person")
    assert (made.reviewer, made.decision, made.audit_status) == ("A. Person", "accept", "pass")
    assert made.reviewed_at == "2023-11-14T22:13:20+00:00"
    assert made.is_of(found)


def test_a_review_is_void_for_an_audit_of_other_captions(run, root, tmp_path):
    from evidence_parts import caption_about

    audit(run, root, tmp_path)
    made = review(run, tmp_path, "--reviewer", "A. Person")
    write_caption(root, PATHS[0], caption_about("Baking bread"))
    assert not made.is_of(audit(run, root, tmp_path))


EXCEPT = ("--reviewer", "A", "--decision", "accept-with-exception", "--reason", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((), "no reviewer", id="nobody"),
        pytest.param(("--reviewer", "A", "--decision", "reject"), "no reason", id="rejected-without-reason"),
        pytest.param(EXCEPT, "nothing to except", id="exception-of-a-pass"),
    ],
)
def test_what_a_review_refuses(run, balanced, tmp_path, arguments, message):
    audit(run, balanced, tmp_path)
    with pytest.raises(UsageError, match=message):
        review(run, tmp_path, *arguments)
    assert not (tmp_path / "audit_review.json").exists()


def test_a_failed_audit_is_accepted_only_as_an_exception_with_its_reason(run, balanced, tmp_path):
    audit(run, balanced, tmp_path, "--dominant-share", "0.1", expect="dominates")
    with pytest.raises(RefusedError, match="the audit failed"):
        review(run, tmp_path, "--reviewer", "A. Person")
    with pytest.raises(UsageError, match="no reason"):
        review(run, tmp_path, "--reviewer", "A. Person", "--decision", "accept-with-exception")
    made = review(
        run, tmp_path, "--reviewer", "A. Person", "--decision", "accept-with-exception", "--reason", "nothing else"
    )
    assert (made.audit_status, made.reason) == ("fail", "nothing else")
    assert made.findings
