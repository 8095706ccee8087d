"""Probe, relay, check, manifest, gates fail; replace, relay the difference, gates pass: as a user types it."""

import json
import os
import subprocess
import sys

import pytest
from conftest import TOKEN, ssh_destination

from xperience.common.identity import FileIdentity
from xperience.gates.evaluate import GateReport
from xperience.prepare.content import ContentAudit
from xperience.prepare.manifest import EpisodeManifest
from xperience.prepare.replace import ReplacementPlan
from xperience.selection.algorithm import Parameters, select
from xperience.selection.document import PinnedSelection
from xperience.selection.swap import Pool
from xperience.selection.write import document_of
from xperience.standin.episodes import write_repository
from xperience.standin.genuine import damage_in_place
from xperience.standin.hub import StandinHub

SESSIONS, SELECTED, FRAMES = 20, 8, 120
PARAMETERS = Parameters(
    target_episodes=SELECTED, least_annotation_bytes=0, drop_percentile=0, train_fraction=0.5, val_fraction=0,
    test_fraction=0.5,
)  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    """The repository, a bad train and a bad test episode of its selection, and a bad best candidate."""
    root = tmp_path / "hub"
    write_repository(root, episodes=SESSIONS, frames=FRAMES)
    listing = [
        FileIdentity(str(path.relative_to(root)), path.stat().st_size, sha256="ab" * 32)
        for path in root.rglob("*/ep*/*")
    ]
    outcome = select(listing, PARAMETERS)
    plan = document_of(outcome, PARAMETERS, repo_id="org/episodes", revision="0" * 40)
    pool = Pool(plan, listing)
    bad = {}
    for episode in plan.selected_episodes:
        if episode.split not in bad and len(pool.of(episode.size_band)) > 2:
            bad[episode.split] = episode
    assert set(bad) == {"train", "test"}
    candidate = pool.of(bad["train"].size_band)[0][1]
    for path in (*(episode.episode_path for episode in bad.values()), candidate.path):
        damage_in_place(root / path / "annotation.hdf5", "slam", "full_body_mocap")
    return root, {split: episode.episode_path for split, episode in bad.items()}, candidate.path


@pytest.mark.timeout(900)  # 60 s on two idle cores
def test_unusable_episodes_are_found_replaced_and_only_the_difference_is_relayed(repository, tmp_path, sshd):
    root, bad, candidate = repository
    work, store = tmp_path / "work", ssh_destination(sshd, tmp_path.name)
    work.mkdir()
    with StandinHub(root, "org/episodes", token=TOKEN) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}

        def xperience(*arguments, expect=0):
            command = [sys.executable, "-m", "xperience", *map(str, arguments)]
            done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == expect, (arguments, done.stderr[-2000:], done.stdout[-2000:])
            return done

        def relay(selection, *arguments):
            xperience(
                "relay", "run", "--selection-json", selection, "--relay-root", "scratch", "--scratch-budget-gib", "0.1",
                "--headroom-gib", "0.01", "--delete-after-transfer", *store.flags, *arguments,
            )  # fmt: skip

        def prepare(selection, evidence, *, usable):
            xperience(
                "prepare", "check", "--data-root", store.root, "--output", f"{evidence}/check.json",
                expect=0 if usable else 65,
            )  # fmt: skip
            xperience(
                "prepare", "manifest", "--data-root", store.root, "--selection-json", selection, "--output",
                f"{evidence}/manifest.json",
            )  # fmt: skip
            xperience(
                "gates", "--for", "prepare", "--evidence", evidence, "--data-root", store.root, "--selection-json",
                selection, expect=0 if usable else 77,
            )  # fmt: skip
            report = GateReport.read(work / evidence / "gates_prepare.json")
            return {gate.gate: gate for gate in report.gates if gate.due}

        xperience(
            "select", "from-hub", "--repo-id", "org/episodes", "--target-episodes", SELECTED, "--least-annotation-mib",
            0, "--drop-percentile", 0, "--train-fraction", 0.5, "--val-fraction", 0, "--test-fraction", 0.5,
        )  # fmt: skip
        first = f"selection/xperience10m_{SELECTED}_episode_selection_pinned.json"
        xperience("prepare", "probe", "--selection-json", first, "--output", "one/probe.json", expect=65)
        relay(first)
        gates = prepare(first, "one", usable=False)
        assert [name for name, gate in gates.items() if gate.status != "pass"] == ["usable-data"]
        summary = EpisodeManifest.read(work / "one" / "manifest.json").summary
        assert (summary.staged_episodes, summary.usable_episodes) == (SELECTED, SELECTED - 2)
        assert summary.usable_by_purpose["windows"] == SELECTED

        swap = (
            "prepare", "replace", "--selection-json", first, "--probe-json", "one/probe.json", "--output",
            "replacement.json",
        )  # fmt: skip
        xperience(*swap)
        assert not (work / "second.json").exists()
        told = xperience(*swap, "--selection-output", "second.json").stdout
        plan = ReplacementPlan.read(work / "replacement.json")
        assert {one.removed: one.split for one in plan.swaps} == {path: split for split, path in bad.items()}
        assert set(plan.passed_over) == {candidate}
        assert "slam" in plan.passed_over[candidate]
        assert all(path in told for path in bad.values())
        made = PinnedSelection.read(work / "second.json")
        assert made.inputs["selection"] == PinnedSelection.read(work / first).known_by
        assert [(one.removed, one.added) for one in made.replaces] == [(one.removed, one.added) for one in plan.swaps]

        xperience("prepare", "probe", "--selection-json", "second.json", "--output", "two/probe.json")
        hub.log.reset()
        relay("second.json", "--require-probe", "two/probe.json")
        added = {one.added for one in plan.swaps}
        served = json.dumps(hub.log.served().document())
        for episode in made.selected_episodes:
            assert (episode.episode_path in served) == (episode.episode_path in added)
        for path in bad.values():
            for name in (store.root / path).iterdir():
                name.unlink()
        gates = prepare("second.json", "two", usable=True)
        assert all(gate.status == "pass" for gate in gates.values())

        # The data root knows its splits by itself: the transfer manifest names them.
        xperience("prepare", "manifest", "--data-root", store.root, "--output", "alone/manifest.json")
        alone = EpisodeManifest.read(work / "alone" / "manifest.json")
        assert alone.split.source == "transfer-manifest"
        assert {e.episode_path: e.split for e in alone.episodes} == {
            e.episode_path: e.split for e in made.selected_episodes
        }

        # Eight episodes are in no balance: four of them, the test set's, are sealed, and that is said.
        audit = (
            "prepare", "audit", "--data-root", store.root, "--selection-json", "second.json", "--output-json",
            "two/audit.json", "--output-csv", "two/audit.csv", "--report-output", "two/AUDIT.md",
        )  # fmt: skip
        xperience(*audit, expect=65)
        xperience(
            "prepare", "replace", "--selection-json", "second.json", "--until-balanced", "--audit-json",
            "two/audit.json", "--most-probes", 3, "--output", "balance.json", expect=65,
        )  # fmt: skip
        plan = ReplacementPlan.read(work / "balance.json")
        assert plan.mode == "balance"
        assert plan.findings_before == ContentAudit.read(work / "two" / "audit.json").findings
        assert plan.swaps
        for one in plan.swaps:
            assert one.split == "train"
            assert one.removed_category != one.added_category
        assert all(left.why in ("test is sealed", "no swap in train or val lowers it") for left in plan.unmended)
