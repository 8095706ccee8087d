"""The six rows of L1, each on a folder with a tiny model in the real one's layout: it can pass and it can fail."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from evidence_parts import call
from staged import stage

from xperience.common.errors import RefusedError
from xperience.common.files import git_blob_sha1_of_file, sha256_of_file
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.compatibility import cost, fidelity, reasoning, weights
from xperience.cosmos3_nano.compatibility.record import CompatibilityRecord, NotRunError, row_of
from xperience.cosmos3_nano.compatibility.run import NEEDS_GPU, OF_WEIGHTS
from xperience.cosmos3_nano.compatibility.subject import RealSubject
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.generator import draw, load_pipeline
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.sample import staged_samples
from xperience.cosmos3_nano.tiny import tiny_pipeline, write_tiny_base
from xperience.gates.bundle import Bundle, CompatibilityView, PostTrainingView
from xperience.gates.later import cosmos_compatibility
from xperience.selection.document import PinnedFile, RepositorySelection

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Records with reasons in train, which this length and seed have, and a model with a licence."""
    folder = tmp_path_factory.mktemp("staged")
    found = stage(folder, splits=("train", "train"), frames=290)
    export(Cosmos3NanoExportSettings(manifest_json=found.manifest, records=folder / "records", clips=3, text_clips=2))
    write_tiny_base(folder / "model")
    (folder / "model" / "LICENSE").write_text("OpenMDW-1.1\n")
    return found, folder / "records", folder / "model"


@pytest.fixture
def subject(staged, tmp_path):
    found, records, model = staged
    clips = staged_samples(records, found.manifest, None, most=5)
    return RealSubject(load_pipeline(model, torch.float32), clips, records, tmp_path, folder=model, dtype=torch.float32)


def fails(found, why):
    assert any(why in fault for fault in found.faults), found


def selection_of(model, place):
    """What `select from-repo` would have written of these files: git's hash of small ones, sha256 of the others."""
    files = [
        PinnedFile(path=str(path.relative_to(model)), size_bytes=path.stat().st_size,
                   **({"sha256": sha256_of_file(path)} if path.suffix == ".safetensors"
                      else {"git_sha1": git_blob_sha1_of_file(path)}))
        for path in sorted(model.rglob("*")) if path.is_file()
    ]  # fmt: skip
    RepositorySelection(
        repo_id="nvidia/Cosmos3-Nano", repo_type="model", repo_sha="a" * 40, include=[], exclude=[], files=files
    ).write(place)
    return place


@pytest.fixture
def tiny_parameters(subject):
    return sum(parameter.numel() for parameter in subject.pipeline.transformer.parameters())


def test_row_1_passes_on_a_whole_folder_of_a_pinned_revision(subject, tiny_parameters, tmp_path):
    subject.selection = selection_of(subject.folder, tmp_path / "selection.json")
    found = weights.files(subject, parameters=tiny_parameters)
    assert list(found.faults) == [] and found.figures["revision"] == "a" * 40
    assert found.figures["licence"] == ["LICENSE"]
    assert found.figures["files"]["vae/config.json"]["sha256"] == sha256_of_file(subject.folder / "vae" / "config.json")


def test_row_1_finds_another_model_no_revision_and_no_licence(subject, tmp_path):
    (subject.folder / "LICENSE").rename(tmp_path / "LICENSE")
    found = weights.files(subject)
    (tmp_path / "LICENSE").rename(subject.folder / "LICENSE")
    fails(found, "not 15173669120")
    fails(found, "the revision is not pinned")
    fails(found, "no licence")


def test_row_1_finds_what_is_cut_off_changed_or_missing(subject, tiny_parameters, tmp_path):
    subject.selection = selection_of(subject.folder, tmp_path / "selection.json")
    for name, change, why in (
        ("vision_encoder/model.safetensors", lambda content: content[:-8], "is cut off"),
        ("vision_encoder/model.safetensors", lambda content: content[:4], "is cut off"),
        ("vae/config.json", lambda content: content + b" ", "vae/config.json is not the hub's"),
        ("model.safetensors.index.json", lambda content: content.replace(b'_size": ', b'_size": 1'), "by the index"),
        ("config.json", None, "config.json is not there"),
    ):
        path = subject.folder / name
        whole = path.read_bytes()
        path.unlink()
        if change:
            path.write_bytes(change(whole))
        found = weights.files(subject, parameters=tiny_parameters)
        path.write_bytes(whole)
        fails(found, why)


def test_row_11_finds_a_vae_that_keeps_too_little(subject):
    """That of random weights; what it does keep is enough for a threshold below it."""
    found = fidelity.decode(subject)
    kept = list(found.figures["psnr_db"].values())
    assert len(kept) == 5 and all(0 < value < fidelity.LEAST_VAE_DB for value in kept)
    assert len(found.faults) == 5
    assert list(fidelity.decode(subject, least_db=min(kept) - 0.1).faults) == []


class Closing:
    """A head that closes a sentence when it has `words` tokens: what the model itself never learnt."""

    def __init__(self, reasoner, words):
        self.closing = reasoner.tokenizer('"', add_special_tokens=False)["input_ids"][0]
        self.words, self.written = words, 0

    def __call__(self, _module, _inputs, logits):
        if logits.shape[1] > 1 or logits.shape[0] > 1:
            return logits
        self.written += 1
        return logits.index_fill(-1, torch.tensor([self.closing]), 99.0) if self.written % self.words == 0 else logits


def test_row_14_passes_where_answers_end_and_depend_on_the_video(subject):
    with torch.no_grad():  # random weights hardly look; these look more
        for layer in subject.reasoner.model.model.language_model.layers:
            layer.self_attn.o_proj.weight.mul_(30)
    hook = subject.reasoner.model.lm_head.register_forward_hook(Closing(subject.reasoner, 3))
    found = reasoning.reasons(subject)
    hook.remove()
    assert list(found.faults) == [] and found.figures["valid"] == found.figures["answers"] > 0


def test_row_14_finds_answers_that_are_cut_and_a_reasoner_that_does_not_look(subject):
    fails(reasoning.reasons(subject, most_tokens=2), "cut off at 2 tokens")
    blind = subject.reasoner.model.model.visual
    hook = blind.patch_embed.register_forward_hook(lambda _module, _inputs, out: torch.zeros_like(out))
    found = reasoning.reasons(subject, most_tokens=2)
    hook.remove()
    fails(found, "those to black frames")


def test_row_14_does_not_run_without_records(subject, tmp_path):
    empty = tmp_path / "records"
    empty.mkdir()
    for path in subject.records.iterdir():
        (empty / path.name).symlink_to(path)
    (empty / "records.json").unlink()
    (empty / "reason.jsonl").unlink()
    told = json.loads((subject.records / "records.json").read_text())
    from xperience.cosmos3_nano.record_set import RecordSet

    nothing = {"reason.jsonl": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    RecordSet.model_validate(told).model_copy(update={"files": told["files"] | nothing}).write(empty / "records.json")
    (empty / "reason.jsonl").write_text("")
    check = next(one for one in OF_WEIGHTS if one.number == 14)
    row = row_of(check, replace(subject, records=empty))
    assert row.verdict == "not_run" and "no reason record" in row.reason


def golden_folder(subject, folder, mode, **extra):
    """A sample whose right answer is what this model draws: as NVIDIA's is what theirs drew."""
    folder.mkdir()
    sample, _ = subject.clips[0]
    (folder / "clip.mp4").write_bytes((subject.records / sample.record.clip.uri).read_bytes())
    (folder / "actions.json").write_text(json.dumps(sample.actions.tolist()))
    record = {
        "name": f"own_{mode}", "model_mode": mode, "domain_name": "hand_pose", "vision_path": "clip.mp4",
        "action_path": "actions.json", "action_chunk_size": 16, "fps": sample.record.clip.fps, "image_size": 256,
        "view_point": "ego_view", "prompt": sample.record.prompt.text, "seed": 0, "num_steps": 2, "guidance": 1.0,
        "shift": 10.0, "extra": extra, "resolution": "480",
    }  # fmt: skip
    (folder / "sample.json").write_text(json.dumps(record))
    subject.golden = folder
    return sample


def test_row_15_passes_where_the_sample_is_drawn_again_and_fails_where_it_is_not(subject, tmp_path):
    sample = golden_folder(subject, tmp_path / "inverse", "inverse_dynamics", golden_action_path="right.npy")
    right = draw(subject.pipeline, sample, "inverse_dynamics", seed=0, steps=2).actions
    np.save(tmp_path / "inverse" / "right.npy", right)
    found = fidelity.golden(subject)
    assert list(found.faults) == [] and found.figures["own_inverse_dynamics"]["action_mse"] < 1e-6
    np.save(tmp_path / "inverse" / "right.npy", right + 1)
    fails(fidelity.golden(subject), "error 1.0")


def test_row_15_holds_a_video_against_nvidias(subject, tmp_path):
    golden_folder(subject, tmp_path / "forward", "forward_dynamics", golden_psnr_min=1.0)
    assert list(fidelity.golden(subject).faults) == []
    golden_folder(subject, tmp_path / "strict", "forward_dynamics", golden_psnr_min=60.0)
    fails(fidelity.golden(subject), "dB")


def test_row_15_does_not_run_without_a_sample(subject):
    with pytest.raises(NotRunError, match="--golden"):
        fidelity.golden(subject)


def test_row_16_reports_every_part_and_finds_too_few_clips_and_too_long_a_draw(subject):
    subject.load_seconds = 1.5
    found = cost.latency(subject, steps=1)
    assert list(found.faults) == [] and found.figures["load"] == 1.5
    parts = found.figures["policy"]
    assert set(parts) == {"preprocess", "encode", "step", "decode", "clip"}
    inner = sum(parts[name]["p50"] for name in ("preprocess", "encode", "step", "decode"))
    assert 0 < inner <= parts["clip"]["p95"] * 1.2
    subject.clips, subject.most_seconds = subject.clips[:2], 1e-4
    found = cost.latency(subject, steps=1)
    fails(found, "2 clips, 5 are needed")
    fails(found, "forward_dynamics")


def test_row_17_reports_every_mode_and_finds_a_device_that_is_too_small(subject):
    found = cost.memory(subject, tiers=(256,))
    assert list(found.faults) == [] and set(found.figures) >= {"policy@256", "inverse_dynamics@256"}
    assert found.figures["policy@256"]["host"] > 200 << 20
    fails(cost.memory(subject, tiers=(256,), size_bytes=lambda: 256 << 20), "policy at tier 256")


def test_a_tiny_model_in_a_folder_is_never_taken_for_real_weights(staged, tmp_path):
    """Its record is of that folder's hash, needs L1, and fails there; the gate stays shut, for it and for others."""
    found, records, model = staged
    with pytest.raises(RefusedError, match="parameters, not 15173669120"):
        call("cosmos3-nano", "check", "--level", "L1", "--base", model, "--dtype", "float32", "--records", records,
             "--manifest-json", found.manifest, "--output", tmp_path / "c.json", "--clips", 2)  # fmt: skip
    record = CompatibilityRecord.read(tmp_path / "c.json")
    assert record.required_levels == ["L0", "L1"] and record.levels["L0"] == "pass" and record.levels["L1"] == "fail"
    assert record.model == "weights of model"
    assert record.model_sha256 == model_sha256(load_pipeline(model, torch.float32))
    reasons = {row.number: row.reason for row in record.checks if row.verdict == "not_run"}
    assert reasons == {16: NEEDS_GPU, 17: NEEDS_GPU, 15: reasons[15]} and "--golden" in reasons[15]
    view = CompatibilityView.read(tmp_path / "c.json")
    assert cosmos_compatibility(Bundle({"compatibility": view})).status == "fail"
    run = PostTrainingView(inputs={"compatibility": view.content_sha256}, model_sha256="b" * 64)
    assert cosmos_compatibility(Bundle({"compatibility": view, "post_training": run})).status == "fail"


def test_a_model_is_known_by_its_weights_wherever_it_was_loaded_from(staged):
    assert model_sha256(load_pipeline(staged[2], torch.float32)) == model_sha256(tiny_pipeline())


def test_a_models_hash_is_of_its_values_whatever_type_holds_them(tmp_path):
    tiny = tiny_pipeline()
    tiny.transformer.bfloat16()
    tiny.vae.bfloat16()
    tiny.save_pretrained(tmp_path / "rounded")
    assert (
        len({model_sha256(load_pipeline(tmp_path / "rounded", dtype)) for dtype in (torch.float32, torch.bfloat16)})
        == 1
    )
    tiny_pipeline().save_pretrained(tmp_path / "exact")
    exact, rounded = (
        model_sha256(load_pipeline(tmp_path / "exact", dtype)) for dtype in (torch.float32, torch.bfloat16)
    )
    assert exact != rounded
