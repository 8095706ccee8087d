"""The compatibility record at the gate: bound to a manifest and a model, and to the levels that the model needs."""

import pytest

from xperience.cosmos3_nano.compatibility.record import Check as Row
from xperience.cosmos3_nano.compatibility.record import (
    CompatibilityRecord,
    Measured,
    levels_of,
    required_levels,
    row_not_run,
    row_of,
)
from xperience.gates.bundle import Bundle, CompatibilityView, PostTrainingView
from xperience.gates.later import cosmos_compatibility


def record(tmp_path, model, rows):
    made = CompatibilityRecord(
        inputs={"manifest": "m" * 64}, model=model, model_sha256="a" * 64, required_levels=required_levels(model),
        levels=levels_of(rows), clips=[], checks=rows,
    )  # fmt: skip
    made.write(tmp_path / "compatibility.json")
    return CompatibilityView.read(tmp_path / "compatibility.json")


PASSED = row_of(Row(2, "L0", "", lambda _subject: Measured({"x": 1}, [])), None)
FAILED = row_of(Row(3, "L0", "", lambda _subject: Measured({"x": 1}, ["no"])), None)
LEFT = row_not_run(1, "L1", "", "no GPU")


@pytest.mark.parametrize(
    ("model", "rows", "status", "finding"),
    [
        pytest.param("tiny", [PASSED, LEFT], "pass", "", id="the tiny model needs L0 alone"),
        pytest.param("tiny", [PASSED, FAILED], "fail", "level L0: fail", id="a row failed"),
        pytest.param("tiny", [LEFT], "fail", "level L0: not_run", id="L0 did not run"),
        pytest.param("Cosmos3-Nano", [PASSED, LEFT], "fail", "level L1: not_run(no GPU)", id="real weights need L1"),
    ],
)
def test_the_gate_opens_at_the_levels_that_the_model_needs(tmp_path, model, rows, status, finding):
    verdict = cosmos_compatibility(Bundle({"compatibility": record(tmp_path, model, rows)}))
    assert verdict.status == status and any(finding in found for found in [*verdict.findings, ""])


def test_a_record_of_the_tiny_model_never_opens_the_gate_for_real_weights(tmp_path):
    tiny = record(tmp_path, "tiny", [PASSED])
    run = PostTrainingView(inputs={"compatibility": tiny.content_sha256}, model_sha256="b" * 64)
    verdict = cosmos_compatibility(Bundle({"compatibility": tiny, "post_training": run}))
    assert verdict.status == "fail" and "another model" in verdict.findings[0]


def test_a_row_is_known_by_what_was_measured():
    assert PASSED.evidence_sha256 != row_of(Row(2, "L0", "", lambda _s: Measured({"x": 2}, [])), None).evidence_sha256
    assert (PASSED.verdict, FAILED.verdict, LEFT.verdict) == ("pass", "fail", "not_run")
