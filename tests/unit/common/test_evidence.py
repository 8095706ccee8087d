import json
from pathlib import Path
from typing import ClassVar

import pytest

from xperience.common.errors import BadDataError, UsageError
from xperience.common.evidence import Evidence, View, artefact_in


class Weather(Evidence):
    SCHEMA: ClassVar[str] = "xperience.weather/1"

    celsius: float
    wall_seconds: float = 0.0


def test_what_was_written_is_read_back(tmp_path):
    written = Weather(celsius=3.5)
    digest = written.write(tmp_path / "w.json")
    assert Weather.read(tmp_path / "w.json").celsius == 3.5
    assert Weather.read(tmp_path / "w.json").content_sha256 == digest


def test_the_content_hash_leaves_out_time_version_and_durations():
    first = Weather(celsius=1, generated_at="2026-01-01T00:00:00+00:00", wall_seconds=1).document()
    second = Weather(celsius=1, generated_at="2027-01-01T00:00:00+00:00", wall_seconds=2).document()
    other = Weather(celsius=2).document()
    assert first["content_sha256"] == second["content_sha256"] != other["content_sha256"]


def test_source_date_epoch_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        Weather(celsius=1).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"celsius": 99}, "does not match its content", id="edited"),
        pytest.param({"kelvin": 1}, "kelvin", id="unknown-field"),
        pytest.param({"schema": "xperience.weather/2"}, "xperience.weather/2", id="other-schema"),
        pytest.param({"celsius": "warm"}, "celsius", id="wrong-type"),
    ],
)
def test_a_changed_artefact_is_refused_with_its_fault(tmp_path, change, message):
    path = tmp_path / "w.json"
    Weather(celsius=1).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadDataError, match=message):
        Weather.read(path)


def test_a_truncated_artefact_is_refused_by_name(tmp_path):
    path = tmp_path / "w.json"
    Weather(celsius=1).write(path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(BadDataError, match=r"w\.json"):
        Weather.read(path)


class Celsius(View):
    SCHEMA: ClassVar[str] = Weather.SCHEMA

    celsius: float


def test_an_artefact_that_is_not_there_is_named():
    for model in (Weather, Celsius):
        with pytest.raises(BadDataError, match=r"no xperience\.weather/1 artefact: nowhere\.json: No such file"):
            model.read(Path("nowhere.json"))


def test_a_view_reads_some_fields_and_checks_the_whole(tmp_path):
    path = tmp_path / "w.json"
    Weather(celsius=2, wall_seconds=5).write(path)
    assert Celsius.read(path).celsius == 2
    path.write_text(json.dumps(json.loads(path.read_text()) | {"celsius": 3}))
    with pytest.raises(BadDataError, match="does not match its content"):
        Celsius.read(path)


def test_an_artefact_is_found_by_its_schema_and_two_of_one_kind_ask_for_a_flag(tmp_path):
    assert artefact_in(tmp_path / "nowhere", Weather.SCHEMA, flag="--weather") is None
    (tmp_path / "broken.json").write_text("{")
    Weather(celsius=1).write(tmp_path / "any name.json")
    Weather(celsius=1).write(tmp_path / "any-0-of-2.json")  # a shard's part
    assert artefact_in(tmp_path, Weather.SCHEMA, flag="--weather") == tmp_path / "any name.json"
    Weather(celsius=1).write(tmp_path / "second.json")
    with pytest.raises(UsageError, match=r"second\.json.*--weather"):
        artefact_in(tmp_path, Weather.SCHEMA, flag="--weather")
