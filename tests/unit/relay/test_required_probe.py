import json

import pytest
from evidence_parts import judged, write_probe

from xperience.common.errors import BadDataError, RefusedError
from xperience.relay.required_probe import check_probe
from xperience.selection.model import SelectedEpisode, SelectedFile, Selection

KNOWN, PARENT, REVISION = "a1" * 32, "b2" * 32, "0" * 40


def selection(count=6, *, source=KNOWN, parent=None, repo_id="r/n", revision=REVISION):
    paths = [f"s{number}/ep1" for number in range(count)]
    files = tuple(SelectedFile(f"{path}/annotation.hdf5", 1, "0" * 64, None, path) for path in paths)
    episodes = tuple(
        SelectedEpisode(path, path[:2], "train", "short", rank, 1, 1, 0, (f"{path}/annotation.hdf5",))
        for rank, path in enumerate(paths)
    )
    return Selection(repo_id, "dataset", revision, files, episodes, source, parent)


def probe(folder, *, bad=(), count=6, inputs=None, **fields):
    listed = [judged(f"s{number}/ep1", actions=number not in bad) for number in range(count)]
    write_probe(folder / "probe.json", listed, inputs=inputs or {"selection": KNOWN}, **fields)
    return folder / "probe.json"


@pytest.mark.parametrize(
    ("inputs", "selected"),
    [
        pytest.param({"selection": KNOWN}, {}, id="the-same"),
        pytest.param({"selection": PARENT}, {"parent": PARENT}, id="probed-before-it-was-pinned"),
        pytest.param({"selection": KNOWN, "selection_parent": PARENT}, {"source": PARENT}, id="pinned-for-the-probe"),
    ],
)
def test_a_probe_of_this_selection_lets_the_relay_go(tmp_path, inputs, selected):
    assert check_probe(probe(tmp_path, inputs=inputs), selection(**selected)) == (
        "6 episodes usable for windows and actions"
    )


def test_an_episode_that_is_not_usable_for_the_probes_purposes_stops_it(tmp_path):
    place = probe(tmp_path, bad={0, 1, 3, 4})
    with pytest.raises(RefusedError) as caught:
        check_probe(place, selection())
    message = str(caught.value)
    assert "4 of 6 episodes are not usable for windows and actions" in message
    assert "s0/ep1, s1/ep1, s3/ep1 and 1 more" in message
    assert f"prepare replace --probe-json {place}" in message
    check_probe(probe(tmp_path, bad={0, 1, 3, 4}, purposes=["windows"]), selection())


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        pytest.param({"source": "c3" * 32}, "of another selection", id="selection"),
        pytest.param({"revision": "1" * 40}, "of another revision", id="revision"),
        pytest.param({"repo_id": "r/other"}, "of another repository", id="repository"),
        pytest.param(
            {"count": 8, "source": "c3" * 32, "parent": KNOWN}, "does not name 2 of 8 episodes", id="after-swaps"
        ),
    ],
)
def test_a_probe_of_something_else_stops_it(tmp_path, selected, message):
    with pytest.raises(RefusedError, match=message):
        check_probe(probe(tmp_path), selection(**selected))


def test_a_missing_and_an_edited_probe_stop_it(tmp_path):
    with pytest.raises(RefusedError, match="not there"):
        check_probe(tmp_path / "none.json", selection())
    place = probe(tmp_path, bad={0})
    document = json.loads(place.read_text())
    document["purposes"] = ["windows"]
    place.write_text(json.dumps(document))
    with pytest.raises(BadDataError, match="does not match its content"):
        check_probe(place, selection())
