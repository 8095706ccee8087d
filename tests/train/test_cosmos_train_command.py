"""`xperience cosmos3-nano train` on exported records: refused without its gates; stopped, killed, gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")
sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from chain_parts import Chain
from evidence_parts import call, write_evidence
from full_volume import run_full_and_with_room
from peft import PeftModel
from staged import stage

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.merge import REPORT, Merge
from xperience.cosmos3_nano.merged_weights import TextTower
from xperience.cosmos3_nano.post_training.record import GRID, RECORD, GridLosses, PostTrainingRecord
from xperience.cosmos3_nano.post_training.rows import RecordAnswers
from xperience.cosmos3_nano.reasoner import load_reasoner
from xperience.cosmos3_nano.record_set import read_records
from xperience.cosmos3_nano.tiny import tiny_pipeline, tiny_tokenizer, write_tiny_base
from xperience.training.answers import IGNORED, answer_loss, check_labels

pytestmark = pytest.mark.timeout(1800)
STEPS = 9


class Ready:
    """A chain on which every gate passes, records of its manifest, a tiny model with its compatibility record."""

    def __init__(self, folder):
        self.folder = folder
        self.chain = Chain(folder / "chain", call)
        staged = stage(folder, splits=("train", "train", "val"), frames=300)
        self.records, self.base = folder / "records", folder / "base"
        export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=self.records, clips=2, text_clips=4))
        self._of_the_chain()
        write_tiny_base(self.base)
        self.digest = model_sha256(tiny_pipeline())
        self.write_evidence()

    def _of_the_chain(self):
        """The records as those of the chain's manifest: its own episodes hold no video."""
        place = self.records / "records.json"
        document = json.loads(place.read_text())
        fields = {name: value for name, value in document.items() if name not in ("schema", "content_sha256")}
        fields["inputs"] = {"manifest": self.chain.manifest.content_sha256}
        self.known = write_evidence(place, document["schema"], **fields)

    def write_evidence(self, *, evaluation=None, **compatibility):
        record = {
            "inputs": {"manifest": self.chain.manifest.content_sha256, "records": self.known}, "model": "tiny",
            "model_sha256": self.digest, "clips": [], "checks": [],
        }  # fmt: skip
        self.chain.write_audit()
        self.chain.write_later(evaluation=evaluation, compatibility=record | compatibility)
        (self.chain.evidence / "post_training.json").unlink()

    def arguments(self, output, **changed):
        flags = {
            "evidence": self.chain.evidence, "data-root": self.chain.data, "selection-json": self.chain.selection_json,
            "records": self.records, "base": self.base, "output": output, "dtype": "float32", "lora-rank": 4,
            "lora-alpha": 8, "learning-rate": 3e-3, "warm-up-steps": 2, "epochs": 3, "samples-per-step": 4,
            "grid-samples": 2, "checkpoint-every-steps": 2, "validate-every-steps": 4, "processes": 2,
        } | changed  # fmt: skip
        return ["cosmos3-nano", "train", *(str(part) for name, value in flags.items() for part in (f"--{name}", value))]


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    return Ready(tmp_path_factory.mktemp("ready"))


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "xperience", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def run(arguments, expect=0):
    process = start(arguments)
    told, _ = process.communicate(timeout=600)
    assert process.returncode == expect, told
    return told


def lines(output, event="step", part="generator"):
    place = output / part / "metrics.jsonl"
    text = place.read_text() if place.exists() else ""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {line["step"]: line["loss"] for line in found if line["event"] == event}


def wait_for(step, process, output, part="generator"):
    deadline = time.monotonic() + 400
    while step not in lines(output, part=part):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left(output, part="generator"):
    """All that a run leaves for others, as bytes."""
    folder = output / part
    return {place.name: place.read_bytes() for place in sorted((folder / "adapter").iterdir())}


@pytest.fixture(scope="module")
def undisturbed(ready, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    run(ready.arguments(output))
    return output, PostTrainingRecord.read(ready.chain.evidence / RECORD).parts["generator"]


def test_two_processes_post_train_on_records_and_leave_a_record_that_the_gate_takes(ready, undisturbed):
    output, part = undisturbed
    assert sorted(lines(output)) == list(range(1, STEPS + 1))
    assert part.steps == STEPS and len(part.sessions) == 2
    assert set(part.losses) == {"forward_dynamics", "inverse_dynamics", "policy"}
    record = json.loads((ready.chain.evidence / RECORD).read_text())
    assert record["model_sha256"] == ready.digest and set(record["inputs"]) == {"manifest", "records", "compatibility"}
    call(*ready.chain.arguments("release"))
    clips = {one.clip.sha256 for one in read_records(ready.records, "action_proxy")}
    assert len(list((output / "latents").iterdir())) == len(clips)  # a clip in three modes is encoded once


def test_whatever_ends_a_run_the_same_command_goes_on_bit_equal(ready, undisturbed, tmp_path):
    arguments = ready.arguments(tmp_path)
    process = start(arguments)
    wait_for(3, process, tmp_path)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=400)
    assert process.returncode == 143, told
    done = max(lines(tmp_path))
    assert f"stopped after step {done}, the checkpoint is complete" in told
    assert (tmp_path / "generator" / "checkpoints" / f"step-{done:07d}" / "checkpoint.json").exists()

    process = start(arguments)
    wait_for(done + 1, process, tmp_path)
    process.kill()  # torchrun and its workers die with it
    process.communicate(timeout=60)

    run(arguments)
    assert lines(tmp_path) == lines(undisturbed[0])
    assert left(tmp_path) == left(undisturbed[0])
    again = PostTrainingRecord.read(ready.chain.evidence / RECORD).parts["generator"]
    assert again == undisturbed[1]


def test_a_checkpoint_without_room_ends_the_run_with_73_and_it_goes_on_when_there_is(ready, undisturbed, tmp_path):
    output = tmp_path / "volume"
    told, full, room = run_full_and_with_room(
        output, 600, [sys.executable, "-m", "xperience", *ready.arguments(output / "run", epochs=1)]
    )
    assert (full, room) == (73, 0), told
    assert "step-" in told and "No space left on device" in told and "Traceback" not in told


def test_one_process_has_the_losses_of_two(ready, undisturbed, tmp_path):
    run(ready.arguments(tmp_path, processes=1))
    assert list(lines(tmp_path).values()) == pytest.approx(list(lines(undisturbed[0]).values()), rel=1e-4)


def no_evaluation(ready):
    (ready.chain.evidence / "evaluation.json").unlink()


def unreviewed(ready):
    (ready.chain.evidence / "review.json").unlink()


def no_record(ready):
    (ready.chain.evidence / "compatibility.json").unlink()


def other_records(ready):
    ready.write_evidence(inputs={"manifest": ready.chain.manifest.content_sha256, "records": "ab" * 32})


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        pytest.param(no_evaluation, "held-out-evaluation", id="no-evaluation"),
        pytest.param(
            lambda ready: ready.write_evidence(
                evaluation={"protocol": {"all answers valid": False, "all baselines there": True}}
            ),
            "protocol: all answers valid", id="protocol-not-held",
        ),
        pytest.param(unreviewed, "audit-reviewed", id="audit-not-reviewed"),
        pytest.param(no_record, "cosmos-compatibility", id="no-compatibility-record"),
        pytest.param(
            lambda ready: ready.write_evidence(required_levels=["L0", "L1"], levels={"L0": "pass"}),
            "level L1", id="a-level-is-missing",
        ),
        pytest.param(
            lambda ready: ready.write_evidence(inputs={"manifest": "cd" * 32, "records": ready.known}),
            "cosmos-compatibility", id="record-of-another-manifest",
        ),
        pytest.param(other_records, "of other data", id="record-of-other-records"),
    ],
)  # fmt: skip
def test_it_is_refused_unless_everything_before_it_is_there(ready, tmp_path, damage, why):
    damage(ready)
    try:
        with pytest.raises(RefusedError, match=why) as refused:
            call(*ready.arguments(tmp_path))
        assert refused.value.exit_code == 77
        assert not (tmp_path / "generator").exists()
    finally:
        ready.write_evidence()


def test_weights_without_a_record_of_their_own_are_refused(ready, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(ready.base, other)
    write_tiny_base(other, seed=1)
    told = run(ready.arguments(tmp_path / "out", base=other, processes=1), expect=77)
    assert "no compatibility record of this model" in told.splitlines()[-1]


@pytest.mark.parametrize(
    "changed", [{"base": "models/Cosmos3-Super"}, {"evidence": "out/cosmos3_super"}, {"records": "Cosmos3-SUPER"}]
)
def test_the_larger_model_is_refused_in_any_setting_with_the_plans_sentence(ready, tmp_path, changed):
    with pytest.raises(RefusedError, match="Do not start with Cosmos3-Super") as refused:
        call(*ready.arguments(tmp_path, **changed))
    assert refused.value.exit_code == 77


def reasoner(ready, output, **changed):
    flags = {
        "part": "reasoner", "epochs": 8, "samples-per-step": 2, "validate-every-steps": 100, "lora-rank": 16,
        "lora-alpha": 32, "learning-rate": 2e-2,
    }  # fmt: skip
    return ready.arguments(output, **flags | changed)


def test_the_reasoner_learns_the_answers_and_its_record_stands_beside_the_generators(ready, undisturbed, tmp_path):
    generator = PostTrainingRecord.read(ready.chain.evidence / RECORD).parts["generator"]  # of whichever run was last
    arguments = reasoner(ready, tmp_path)
    process = start(arguments)
    wait_for(5, process, tmp_path, part="reasoner")
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=400)
    assert process.returncode == 143, told
    before = lines(tmp_path, part="reasoner")
    run(arguments)
    after = lines(tmp_path, part="reasoner")
    assert {step: after[step] for step in before} == before
    record = PostTrainingRecord.read(ready.chain.evidence / RECORD)
    assert set(record.parts) == {"generator", "reasoner"}
    assert record.parts["generator"] == generator
    found = record.parts["reasoner"].losses
    assert set(found) == {"reason", "future_label"}
    assert all(one.fall > 0.2 for one in found.values()), found
    control = record.parts["reasoner"].control
    assert control.points == sum(one.points for one in found.values())
    assert record.metrics["reasoner"]["blind_video"]["gap"] == control.gap


@pytest.fixture(scope="module")
def answered(ready, tmp_path_factory):
    output = tmp_path_factory.mktemp("answered")
    run(reasoner(ready, output, epochs=2, processes=1))
    return output / "reasoner"


def answer_losses(ready, found, kept):
    """Of the points of a grid, anew."""
    val = RecordAnswers(ready.records, "val", found.tokenizer)
    names = [fact.id for fact in val.facts]
    losses = []
    for point in kept.points:
        number = names.index(point.removesuffix(" black frames"))
        row = val.row(number, black=point.endswith(" black frames")).batch(torch.device("cpu"))
        with torch.no_grad():
            losses.append(float(answer_loss(found.model, row)) / val.facts[number].supervised)
    return losses


def test_the_reasoners_adapter_reloaded_has_the_very_losses_of_the_run(ready, answered):
    kept = GridLosses.read(answered / GRID)
    found = load_reasoner(ready.base, torch.float32)
    assert answer_losses(ready, found, kept) == kept.base
    adapted = PeftModel.from_pretrained(found.model, answered / "adapter").eval()
    assert answer_losses(ready, replace(found, model=adapted), kept) == kept.adapter


def test_the_merged_reasoner_has_the_losses_of_base_and_adapter_and_is_no_pipeline(ready, answered, tmp_path):
    kept, merged = GridLosses.read(answered / GRID), tmp_path / "merged"
    told = call("cosmos3-nano", "merge", "--base", ready.base, "--adapter", answered / "adapter", "--merged", merged,
                "--dtype", "float32")  # fmt: skip
    report = Merge.read(merged / REPORT)
    assert (report.part, report.merged_weights) == ("reasoner", 2 * 4)
    assert report.relative_difference < 1e-5
    losses = answer_losses(ready, load_reasoner(merged, torch.float32), kept)
    assert losses == pytest.approx(kept.adapter, rel=1e-4)
    assert losses != pytest.approx(kept.base, rel=1e-4)
    assert not (merged / "model_index.json").exists() and "model_index.json" not in report.copied_files
    assert (merged / "vae" / "config.json").exists()
    assert told is not None


def test_an_adapter_of_another_reasoner_is_not_merged(answered):
    change = TextTower(answered / "adapter")
    assert not change.has("layers.0.self_attn.add_q_proj.weight")
    with pytest.raises(BadDataError, match="of another shape"):
        change.merged("layers.0.self_attn.to_out.weight", torch.zeros(3, 5))
    with pytest.raises(BadDataError, match="no place in the base model"):
        TextTower(answered / "adapter").check_all_used()


def test_a_label_mask_that_counts_the_question_in_is_refused(ready):
    tokenizer = tiny_tokenizer()
    row = RecordAnswers(ready.records, "train", tokenizer).row(0)
    ids = row.inputs["input_ids"][0].tolist()
    first = next(place for place, label in enumerate(row.labels) if label != IGNORED)
    labels = [*row.labels[: first - 3], *ids[first - 3 : first], *row.labels[first:]]
    with pytest.raises(BadDataError, match="3 of them are of the prompt"):
        check_labels(tokenizer, replace(row, labels=labels))
