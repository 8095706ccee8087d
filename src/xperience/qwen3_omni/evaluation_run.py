"""`qwen3-omni evaluate` from its settings: answer a shard, and make the report of all."""

from collections.abc import Callable
from pathlib import Path

import torch

from xperience.common.errors import BadDataError, RefusedError, StoppedError
from xperience.common.settings.qwen3_omni import Qwen3OmniEvaluateSettings
from xperience.common.shards import Shard
from xperience.qwen3_omni.collate import RowMaker
from xperience.qwen3_omni.compare import ABOVE
from xperience.qwen3_omni.decode import MIB
from xperience.qwen3_omni.evaluate import Answerer, Evaluation, conclude, predict
from xperience.qwen3_omni.grammar import AnswerGrammar
from xperience.qwen3_omni.held_out import RUN, TrainedOn, check_held_out
from xperience.qwen3_omni.model import load_thinker
from xperience.qwen3_omni.predictions import MadeBy, answered, gathered, made_by
from xperience.qwen3_omni.weights import identity
from xperience.qwen3_omni.windows import WindowSamples

ANSWERS, REPORT = "predictions.jsonl", "evaluation.json"
FOR_GATES = "qwen3_omni_evaluation.json"


class HeldOut:
    """Test windows, and the run whose adapter may be evaluated on them; RefusedError where it may not."""

    def __init__(self, settings: Qwen3OmniEvaluateSettings) -> None:
        self.settings, self.output = settings, settings.output
        self.samples = WindowSamples(settings.windows, ["test"], natural=True)
        self.run = TrainedOn.read(settings.output / RUN)
        check_held_out(self.samples.facts, self.run, self.samples.content_sha256)
        self.base = identity(settings.base)
        if self.base != self.run.inputs["base"]:
            raise RefusedError(
                "the adapter belongs to another base model", where=str(settings.base),
                why=f"its files are {self.base[:12]}…, those of the run were {self.run.inputs['base'][:12]}…",
                fix="Give the --base that the run was trained on.",
            )  # fmt: skip
        self.vocabulary = {name: list(labels) for name, labels in self.samples.dataset.vocabulary.items()}

    def folder(self, *, zero_shot: bool) -> Path:
        """Where answers of the base model, or of the adapter go."""
        return self.output / ("zero-shot" if zero_shot else "evaluation")

    def made_by(self, *, zero_shot: bool) -> MadeBy:
        """Whose answers they are."""
        return made_by(
            windows=self.samples.content_sha256, base=self.base, dtype=self.settings.dtype,
            adapter=None if zero_shot else self.output / "best",
        )  # fmt: skip

    def answer(self, shard: Shard, stop: Callable[[], bool]) -> Path:
        """Answer what this shard has not answered yet; StoppedError where `stop` came first."""
        settings, zero_shot = self.settings, self.settings.zero_shot
        model, tokenizer = load_thinker(settings.base, getattr(torch, settings.dtype))
        if not zero_shot:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, self.output / "best")
        model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        maker = RowMaker(tokenizer)
        grammar = AnswerGrammar(maker.ids, self.vocabulary, tokenizer.eos_token_id)
        place = shard.path(self.folder(zero_shot=zero_shot) / ANSWERS)
        answerer = Answerer(
            model, maker, grammar, batch=settings.batch, score_bytes=None if zero_shot else settings.score_mib * MIB
        )
        done = predict(place, self.made_by(zero_shot=zero_shot), self.samples, answerer, shard=shard, stop=stop)
        if done < len(shard.of(self.samples.facts)):
            raise StoppedError("stopped before the last answer", where=str(place), fix="Run the same command again.")
        return place

    def answer_files(self, shards: int) -> list[Path]:
        """Where the answers of all shards go."""
        return [Shard(number, shards).path(self.folder(zero_shot=False) / ANSWERS) for number in range(shards)]

    def complete(self, shards: int) -> bool:
        """Whether all shards have answered everything: the last one of an Indexed Job makes the report."""
        return {fact.id for fact in self.samples.facts} <= set().union(*map(answered, self.answer_files(shards)))

    def report(self, shards: int) -> Evaluation:
        """The report of all shards, beside the base model's answers where there are any; written."""
        facts, by = self.samples.facts, self.made_by(zero_shot=False)
        predictions = gathered(self.answer_files(shards), facts, by, self.vocabulary)
        base = sorted(self.folder(zero_shot=True).glob(f"{Path(ANSWERS).stem}*.jsonl"))
        zero_shot = gathered(base, facts, self.made_by(zero_shot=True), self.vocabulary) if base else None
        report = conclude(
            facts, predictions, WindowSamples(self.settings.windows, ["train"]).facts, self.run,
            inputs={
                "windows": self.samples.content_sha256, "run": self.run.content_sha256,
                "manifest": self.samples.dataset.inputs["episode_manifest"],
                "adapter": by.adapter,
            },
            zero_shot=zero_shot,
        )  # fmt: skip
        report.write(self.folder(zero_shot=False) / REPORT)
        report.write(self.settings.evidence / FOR_GATES)
        return report


def check_gain(report: Evaluation, least: float) -> None:
    """BadDataError unless actions are above every fair baseline, by this much."""
    action = report.fields["action"]
    gain = min(one.difference for one in action.baselines.values() if not one.oracle)
    if gain < least or action.verdict != ABOVE:
        raise BadDataError(
            "quality is not as asked", where="action", why=f"{action.verdict}, by {gain}; asked: {least}"
        )
