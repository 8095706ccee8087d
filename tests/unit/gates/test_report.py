import re
import shutil
from html.parser import HTMLParser

import pytest
from chain_parts import write_evidence

from xperience.common.errors import UsageError

SECTIONS = (
    "Gates", "Selection", "Relay", "Usable episodes", "Content audit", "Qwen3-Omni: training",
    "Qwen3-Omni: held-out evaluation", "Cosmos3-Nano", "Evidence",
)  # fmt: skip
VOID = {"meta", "link", "br", "line", "img", "!doctype"}


class Tags(HTMLParser):
    """Every tag with its attributes; `open` holds what was not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_shows_every_stage_and_the_verdicts(chain):
    chain.write_relay()
    page = chain.report().read_text()
    for section in SECTIONS:
        assert f"<h2>{section}</h2>" in page
    text = text_of(page)
    assert "32 episodes 32 sessions 24 / 4 / 4 train / val / test" in text
    assert "25.0 MB/s" in text
    assert "timeout: 2" in text
    assert "all pass" in text
    assert "accept by A. Person" in text
    assert page.count('class="pass">pass</td>') == 9


def test_the_page_needs_no_other_host_and_is_well_formed(chain):
    chain.write_relay()
    found = Tags(chain.report().read_text())
    assert found.open == []
    assert found.wrong == []
    for tag, attributes in found.tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [a for t, a in found.tags]
    assert "url(" not in chain.report().read_text()


def test_what_fails_and_what_is_not_there_is_shown(chain):
    chain.write_check(e5={"actions": False})
    chain.write_manifest()
    (chain.evidence / "evaluation.json").unlink()
    text = text_of(chain.report().read_text())
    assert "do not pass" in text
    assert "31 of 32 usable" in text
    assert "Not usable: 1" in text
    assert f"{chain.episodes[5]} {chain.splits[chain.episodes[5]]} windows slam is missing" in text
    assert "not there: no evaluation yet" in text
    assert "not there: relay_summary.json" in text


def test_an_evaluation_is_shown_beside_its_baselines_and_the_run_with_its_losses(chain, tmp_path):
    majority = {"score": 0.25, "oracle": False, "difference": 0.5, "interval": [0.4, 0.6], "verdict": "above baseline"}
    few = {"score": 0.7, "oracle": True, "difference": 0.05, "interval": None, "verdict": "not_run(too few sessions)"}
    field = {
        "windows": 64, "accuracy": 0.75, "macro_f1_supported": 0.7, "ceiling": 1.0, "verdict": "above baseline",
        "baselines": {"train majority": majority, "per-session majority": few},
    }  # fmt: skip
    objects = {"micro_f1": 0.5, "ceiling": 0.9, "baselines": {}, "verdict": "not above baseline"}
    chain.write_later(
        evaluation={
            "windows": 64, "valid_answers": 64, "fields": {"action": field}, "objects": objects,
            "sessions": {"session-a": {"windows": 4, "action_accuracy": 0.125}},
        }
    )  # fmt: skip
    told = [("step", 1, 2.0), ("step", 2, 1.0), ("validation", 2, 0.5), ("other", 3, 9.0)]
    lines = [f'{{"event": "{event}", "step": {step}, "loss": {loss}}}\n' for event, step, loss in told]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"event": "st')
    page = chain.report("--run", str(tmp_path)).read_text()
    text = text_of(page)
    assert "action 64 0.750 0.700 1.000 above baseline" in text
    assert "train majority 0.250 +0.400 … +0.600 above baseline" in text
    assert "per-session majority (oracle) 0.700 not_run(too few sessions)" in text
    assert "objects (micro-F1) 64 0.500 0.900 not above baseline" in text
    assert "session-a 4 0.125" in text
    assert "2 steps, best validation loss 0.5" in text
    assert page.count("<polyline") == 2
    assert not Tags(page).wrong


def test_cosmos_is_shown_with_its_rows_its_figures_and_its_clips(chain, tmp_path):
    rows = [
        {"number": 11, "name": "decode", "level": "L1", "threshold": "≥ 28 dB", "verdict": "not_run", "reason": "GPU"},
        {"number": 12, "name": "conditioning", "level": "L0", "threshold": "changes", "verdict": "pass", "reason": ""},
    ]  # fmt: skip
    chain.write_later(compatibility={"checks": rows})
    still = {"value": 0.5, "oracle": False, "interval": [-0.1, 0.2], "verdict": "not better than trivial"}
    metric = {"items": 8, "value": 0.25, "trivial": {"no motion": still}, "verdict": "not better than trivial"}
    clip = {
        "record_id": "e/0-16", "session_id": "s<1>", "strip_jpeg": "AAAA",
        "paths_metres": {"truth": [[0, 0, 0], [0.2, 0, 0.1]], "predicted": [[0, 0, 0], [0.1, 0.05, 0]]},
    }  # fmt: skip
    of = {"split": "test", "mode": "policy"}
    figures = {"task": "action_proxy", "model_sha256": "0" * 64, "clips": 8, "sessions": 8, "metrics": {"ate": metric}}
    write_evidence(tmp_path / "policy-test.json", "xperience.cosmos3-nano-action-evaluation/1", **of, **figures)
    write_evidence(tmp_path / "clips.json", "xperience.cosmos3-nano-shown-clips/1", **of, clips=[clip])
    (tmp_path / "notes.json").write_text("[]")  # no artefact
    (tmp_path / "torn.json").write_text('{"schema"')
    page = chain.report("--cosmos", str(tmp_path)).read_text()
    text = text_of(page)
    assert "11 decode L1 not_run GPU ≥ 28 dB" in text
    assert "action_proxy, policy: 8 clips, 8 sessions of test" in text
    assert "… no motion 0.5 -0.1 … +0.2 not better than trivial" in text
    assert "session s&lt;1&gt;" in text
    assert 'src="data:image/jpeg;base64,AAAA"' in page
    assert page.count("<polyline") == 6  # two paths, seen along three axes
    assert not Tags(page).wrong and not Tags(page).open


def test_a_folder_without_an_evaluation_of_cosmos_is_an_error(chain, tmp_path):
    with pytest.raises(UsageError, match="no evaluation of Cosmos3-Nano"):
        chain.report("--cosmos", str(tmp_path))


def test_a_run_that_is_not_there_is_an_error(chain, tmp_path):
    with pytest.raises(UsageError, match="no training run"):
        chain.report("--run", str(tmp_path))


def test_an_exception_and_a_void_review_are_said(chain):
    chain.write_audit(status="fail", decision="accept-with-exception", reason="nothing else in the pool")
    text = text_of(chain.report().read_text())
    assert "pass (exception)" in text
    assert "nothing else in the pool" in text
    kept = (chain.evidence / "review.json").read_bytes()
    chain.write_audit(status="pass")
    (chain.evidence / "review.json").write_bytes(kept)
    assert "(void: of another audit)" in text_of(chain.report().read_text())


def test_texts_from_outside_are_escaped(chain):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    chain.write_check(e5={"actions": False, "reason": hostile})
    chain.write_manifest()
    page = chain.report("--title", hostile).read_text()
    assert not {"script", "img"} & {tag for tag, _ in Tags(page).tags}
    assert "&lt;script&gt;" in page


def test_an_empty_folder_gives_a_page_too(chain):
    shutil.rmtree(chain.evidence)
    assert text_of(chain.report().read_text()).count("not there:") == 7


def test_the_same_artefacts_give_the_same_bytes_under_source_date_epoch(chain, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert chain.report().read_bytes() == chain.report().read_bytes()
