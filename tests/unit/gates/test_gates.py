import json
import os
import shutil

import pytest

from xperience.common.errors import RefusedError, UsageError
from xperience.gates.evaluate import DUE, GATES, GateReport

STEPS = tuple(DUE)


def gates(chain, step="release", *arguments, passes=True):
    """The gates' verdicts by name."""
    if passes:
        chain.run(*chain.arguments(step), *arguments)
    else:
        with pytest.raises(RefusedError, match="do not pass") as refused:
            chain.run(*chain.arguments(step), *arguments)
        assert refused.value.exit_code == 77
    report = GateReport.read(chain.folder / "gates.json")
    assert report.passed is passes
    return {gate.gate: gate for gate in report.gates}


def failing(chain, step="release", *arguments):
    """The findings of the due gates that do not pass, by name."""
    found = gates(chain, step, *arguments, passes=False)
    return {name: [gate.verdict, gate.detail, *gate.findings] for name, gate in found.items()
            if gate.due and gate.status != "pass"}  # fmt: skip


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(path, change):
    """Somebody edits an artefact and mends its content hash too."""
    from evidence_parts import write_evidence

    document = json.loads(path.read_text())
    change(document)
    fields = {key: value for key, value in document.items() if key not in ("schema", "content_sha256")}
    write_evidence(path, document["schema"], **fields)


@pytest.mark.parametrize("step", STEPS)
def test_on_good_data_every_due_gate_passes_and_the_rest_is_not_due(chain, step):
    found = gates(chain, step)
    assert set(found) == set(GATES)
    for name, gate in found.items():
        assert gate.verdict == ("pass" if name in DUE[step] else "not_run(not due)")
        assert bool(gate.evidence) == (name in DUE[step])


def test_nothing_is_not_a_pass(chain):
    shutil.rmtree(chain.evidence)
    found = failing(chain)
    assert set(found) == set(GATES)
    assert all(verdict[0].startswith("not_run(") for verdict in found.values())


def test_staged_fails_where_a_file_is_gone(chain):
    (chain.data / chain.episodes[0] / "stereo_left.mp4").unlink()
    assert "gone since the manifest" in failing(chain, "prepare")["staged"][1]
    chain.write_manifest()
    assert failing(chain, "prepare")["staged"][1] == f"{chain.episodes[0]}: stereo_left.mp4"


def test_staged_fails_where_an_episode_lies_there_that_nobody_selected(chain):
    shutil.copytree(chain.data / chain.episodes[0], chain.data / "2b7e0b5c-0000-4000-8000-000000000000" / "ep1")
    assert "not in the manifest" in failing(chain, "prepare")["staged"][1]


def test_staged_fails_where_no_hash_was_proven(chain):
    chain.write_transfer(files=[])
    chain.write_check()
    rewrite(chain.evidence / "check.json", lambda document: [e.update(files={}) for e in document["episodes"]])
    chain.write_manifest()
    assert "proven its hash" in failing(chain, "prepare")["staged"][1]


def test_staged_fails_on_what_the_check_found_wrong_with_a_file(chain):
    def damage(document):
        document["episodes"][2]["files"]["fisheye_cam0.mp4"]["fault"] = "sha256 is not the manifest's"

    rewrite(chain.evidence / "check.json", damage)
    chain.write_manifest()
    assert "fisheye_cam0.mp4: sha256 is not the manifest's" in failing(chain, "prepare")["staged"][1]


def test_a_swapped_file_of_the_same_size_and_date_is_found(chain):
    file = chain.data / chain.episodes[3] / "stereo_right.mp4"
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "changed since the manifest" in failing(chain, "prepare")["staged"][1]
    assert "bytes are not those" in failing(chain, "prepare", "--rehash")["staged"][1]


def test_a_touched_file_passes_once_its_bytes_are_read_again(chain):
    (chain.data / chain.episodes[3] / "stereo_right.mp4").touch()
    assert "staged" in failing(chain, "prepare")
    gates(chain, "prepare", "--rehash")


def test_no_rrd_fails_on_a_recording_and_on_what_a_killed_transfer_left(chain):
    (chain.data / chain.episodes[0] / "visualization.rrd").write_bytes(b"RRF2")
    (chain.data / chain.episodes[1] / "stereo_left.mp4.partial_chunked").write_bytes(b"x")
    found = failing(chain, "prepare")["no-rrd"]
    assert any("visualization.rrd: must not be here" in line for line in found)
    assert any("partial_chunked" in line for line in found)


def test_unique_sessions_fails_where_a_session_has_two_episodes(chain):
    first, second = chain.episodes[:2]

    def move(document):
        document["episodes"][1]["top_level_session"] = first.split("/")[0]
        document["episodes"][1]["episode_path"] = first.split("/")[0] + "/ep9"

    rewrite(chain.evidence / "manifest.json", move)
    assert f"session {first.split('/')[0]}: 2 episodes" in failing(chain, "prepare")["unique-sessions"][1]
    assert second


def test_unique_sessions_fails_on_a_second_episode_on_disk(chain):
    shutil.copytree(chain.data / chain.episodes[0], chain.data / chain.episodes[0].split("/")[0] / "ep77")
    assert "2 episodes on disk" in failing(chain, "prepare")["unique-sessions"][1]


def test_split_leakage_fails_where_test_episodes_became_train(chain):
    sealed = [path for path in chain.episodes if chain.splits[path] == "test"]

    def redraw(document):
        for episode in document["episodes"]:
            episode["split"] = "train"

    rewrite(chain.evidence / "manifest.json", redraw)
    found = failing(chain, "prepare")["split-leakage"]
    assert f"{sealed[0]}: train here, test in the selection" in found


def test_split_leakage_fails_where_a_session_is_in_two_splits(chain):
    def leak(document):
        other = dict(document["episodes"][0])
        other["split"] = "val" if other["split"] != "val" else "train"
        other["episode_path"] = other["episode_path"].split("/")[0] + "/ep9"
        document["episodes"].append(other)

    rewrite(chain.evidence / "manifest.json", leak)
    assert any("is in train and" in line or "is in val and" in line
               for line in failing(chain, "prepare")["split-leakage"])  # fmt: skip


def test_usable_data_fails_on_an_episode_that_is_staged_but_not_usable(chain):
    chain.write_check(e5={"actions": False})
    chain.write_manifest()
    found = failing(chain, "prepare")
    assert set(found) == {"usable-data"}
    assert found["usable-data"][1] == "31 of 32 usable"
    assert found["usable-data"][2] == f"{chain.episodes[5]}: not fit for actions: slam is missing"


def test_usable_data_is_not_run_without_a_check(chain):
    (chain.evidence / "check.json").unlink()
    chain.write_manifest()
    assert failing(chain, "prepare")["usable-data"][0].startswith("not_run(no check")


def test_usable_data_fails_where_the_manifest_claims_more_than_the_check(chain):
    def claim(document):
        document["episodes"][2]["verdict"]["usable_for"] = ["windows"]

    rewrite(chain.evidence / "check.json", claim)
    assert "manifest and check differ" in failing(chain, "prepare")["usable-data"][2]


def test_audit_reviewed_is_not_run_without_a_review_and_fails_when_rejected(chain):
    chain.write_audit(decision="reject", reason="too many beads")
    assert "rejected it: too many beads" in failing(chain, "train")["audit-reviewed"][1]
    (chain.evidence / "review.json").unlink()
    assert failing(chain, "train")["audit-reviewed"][0].startswith("not_run(the audit is not reviewed")


def test_a_review_is_void_when_the_audit_changed(chain):
    rewrite(chain.evidence / "audit.json", lambda document: document.update(note="other"))
    assert "is void: it is of another audit" in failing(chain, "train")["audit-reviewed"][1]


def test_an_accepted_audit_is_void_when_the_data_changed(chain):
    chain.write_check(e1={"actions": False})
    chain.write_manifest()
    chain.write_check()
    chain.write_manifest()
    gates(chain, "train")  # back to the same content: the review stands
    chain.write_check(e1={"actions": False})
    chain.write_manifest()
    found = failing(chain, "train")
    assert "of another manifest" in found["audit-reviewed"][1]
    assert "audit was made from another manifest" in found["reproducible-chain"][1]


def test_a_failed_audit_passes_by_an_exception_alone_and_says_so(chain):
    chain.write_audit(status="fail", decision="accept-with-exception", reason="the pool has nothing else")
    found = gates(chain, "train")["audit-reviewed"]
    assert (found.verdict, found.exception) == ("pass (exception)", True)
    assert "the pool has nothing else" in found.detail
    rewrite(chain.evidence / "review.json", lambda document: document.update(decision="accept"))
    assert "cannot be accepted" in failing(chain, "train")["audit-reviewed"][1]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param(lambda c: {"test_episodes": c.ids("test")[1:]}, "usable test episode, not evaluated", id="left"),
        pytest.param(lambda c: {"test_episodes": c.ids("test") + c.ids("val")}, "evaluated, not in test", id="val-too"),
        pytest.param(lambda c: {"train_episodes": c.ids("train") + c.ids("test")}, "session is in test", id="trained"),
        pytest.param(lambda c: {"protocol": {"all answers valid": False}}, "did not hold", id="rules"),
        pytest.param(lambda c: {"inputs": {"manifest": "00" * 32}}, "of another manifest", id="other-data"),
        pytest.param(lambda c: {"protocol": {"all baselines there": False}}, "evaluate --zero-shot", id="no-base"),
        pytest.param(lambda c: {"protocol": {"all answers valid": True}}, "evaluate --zero-shot", id="no-word-of-it"),
        pytest.param(lambda c: {"protocol": {}}, "says nothing of its protocol", id="silent"),
    ],
)
def test_held_out_evaluation_fails(chain, change, finding):
    chain.write_later(evaluation=change(chain))
    assert any(finding in line for line in failing(chain)["held-out-evaluation"])


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param({"compatibility": {"levels": {"L0": "fail"}}}, "level L0: fail", id="failed"),
        pytest.param({"compatibility": {"required_levels": ["L0", "L1"]}}, "level L1: not there", id="level-not-run"),
        pytest.param({"compatibility": {"inputs": {"manifest": "00" * 32}}}, "another manifest", id="other-data"),
        pytest.param({"compatibility": {"required_levels": []}}, "names no level", id="no-levels"),
        pytest.param({"post_training": {"model_sha256": "cd" * 32}}, "of another model", id="other-model"),
        pytest.param({"post_training": {"inputs": {}}}, "another compatibility record", id="other-record"),
    ],
)
def test_cosmos_compatibility_fails(chain, change, finding):
    chain.write_later(**change)
    assert any(finding in line for line in failing(chain, "cosmos-post-training")["cosmos-compatibility"])


def test_post_training_without_a_record_fails_and_nothing_at_all_is_not_run(chain):
    (chain.evidence / "compatibility.json").unlink()
    assert failing(chain)["cosmos-compatibility"][0] == "fail"
    (chain.evidence / "post_training.json").unlink()
    assert failing(chain)["cosmos-compatibility"][0] == "not_run(no record)"


@pytest.mark.parametrize("name", ["check", "manifest", "audit", "review", "evaluation", "compatibility"])
def test_an_edited_artefact_is_found_and_named(chain, name):
    edit(chain.evidence / f"{name}.json", generated_at="2020-01-01T00:00:00+00:00")
    gates(chain)  # a time is no content
    changed = {"inputs": {}} if name != "check" else {"episodes": []}
    edit(chain.evidence / f"{name}.json", **changed)
    found = failing(chain)
    assert any("does not match its content" in line for line in found["reproducible-chain"])
    assert len(found) >= 2  # and the gate that reads it fails too


def test_an_edited_transfer_manifest_is_found(chain):
    edit(chain.data / "xperience-transfer-manifest.json", store="elsewhere")
    assert "does not match its content" in failing(chain, "prepare")["reproducible-chain"][1]


def test_an_artefact_that_was_edited_together_with_its_hash_breaks_the_chain(chain):
    rewrite(
        chain.evidence / "check.json",
        lambda document: document["episodes"][0]["facts"]["annotation"]["timeline"].update(frames=99),
    )
    assert "manifest was made from another check" in failing(chain, "prepare")["reproducible-chain"][1]


def test_an_artefact_without_the_hash_of_its_input_breaks_the_chain(chain):
    rewrite(chain.evidence / "manifest.json", lambda document: document.update(inputs={}))
    assert "manifest carries no hash of selection" in failing(chain, "prepare")["reproducible-chain"]


def test_another_selection_breaks_staged_and_chain(chain):
    from xperience.selection.document import PinnedSelection

    pinned = PinnedSelection.read(chain.selection_json)
    other = pinned.model_copy(update={"seed": 8, "content_sha256": "", "inputs": {"selection": "00" * 32}})
    other.write(chain.selection_json)
    assert any("another selection" in line for line in failing(chain, "prepare")["reproducible-chain"])


def test_the_plans_own_selection_is_as_good_as_the_pinned_one(chain):
    chain.selection_json = chain.folder / "selection.json"
    chain.write_manifest()
    chain.write_audit()
    chain.write_later()
    assert "audit was made from another selection" not in str(gates(chain))


def test_two_artefacts_of_one_kind_ask_for_a_flag(chain):
    shutil.copy(chain.evidence / "check.json", chain.evidence / "check_old.json")
    with pytest.raises(UsageError, match="check_old"):
        chain.run(*chain.arguments("prepare"))


def test_two_runs_give_the_same_content_and_under_source_date_epoch_the_same_bytes(chain, monkeypatch):
    gates(chain)
    first = GateReport.read(chain.folder / "gates.json").content_sha256
    kept = (chain.evidence / "review.json").read_bytes()  # a person's act, at a time: no rerun repeats it
    chain.rebuild()
    (chain.evidence / "review.json").write_bytes(kept)
    gates(chain)
    assert GateReport.read(chain.folder / "gates.json").content_sha256 == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    written = []
    for _ in range(2):
        gates(chain)
        written.append((chain.folder / "gates.json").read_bytes())
    assert written[0] == written[1]


def test_without_a_data_root_the_artefacts_alone_are_judged(chain):
    shutil.rmtree(chain.data)
    arguments = [argument for argument in chain.arguments("prepare") if argument not in ("--data-root", chain.data)]
    chain.run(*arguments)
    assert GateReport.read(chain.folder / "gates.json").passed
