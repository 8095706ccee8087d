"""A whole chain of artefacts over a small data root: every gate passes on it."""

import hashlib
import json
import shutil
import uuid

from evidence_parts import arrived, judged, write_evidence

from xperience.common.files import sha256_of_file
from xperience.common.identity import FileIdentity
from xperience.common.layout import TRAINING_FILES
from xperience.prepare.content import AuditRow, ContentAudit, Thresholds
from xperience.prepare.manifest import EpisodeManifest
from xperience.prepare.review import review
from xperience.selection.algorithm import Parameters, select
from xperience.selection.pin import pin
from xperience.selection.write import document_of

EPISODES = 32
REVISION = "1" * 40


class Chain:
    """Folders `data` and `evidence`; `rebuild` writes every artefact anew from what lies there."""

    def __init__(self, folder, run):
        self.folder, self.run = folder, run
        self.data, self.evidence = folder / "data", folder / "evidence"
        self.selection_json = folder / "selection_pinned.json"
        listing = []
        for number in range(EPISODES):
            path = f"{uuid.UUID(int=number * 7919 + 1, version=4)}/ep{number % 3 + 1}"
            (self.data / path).mkdir(parents=True)
            for name in TRAINING_FILES:
                (self.data / path / name).write_bytes(f"{path}/{name}".encode() * (number + 2))
                file = self.data / path / name
                listing.append(FileIdentity(f"{path}/{name}", file.stat().st_size, sha256_of_file(file)))
        parameters = Parameters(target_episodes=EPISODES, least_annotation_bytes=0, drop_percentile=0.0)
        plan = document_of(select(listing, parameters), parameters, repo_id="org/small", revision=REVISION)
        raw = json.dumps(plan.model_dump(mode="json"), indent=2)
        (folder / "selection.json").write_text(raw)
        by_path = {identity.path: identity for identity in listing}
        pinned = pin(plan, by_path, source_sha256=hashlib.sha256(raw.encode()).hexdigest())
        pinned.write(self.selection_json)
        self.known, self.parent = pinned.known_by, pinned.inputs["selection"]
        self.episodes = [episode.episode_path for episode in plan.selected_episodes]
        self.splits = {episode.episode_path: episode.split for episode in plan.selected_episodes}
        self.bands = {episode.episode_path: episode.size_band for episode in plan.selected_episodes}
        self.rebuild()

    @classmethod
    def copy(cls, other, folder):
        """The same chain elsewhere; the manifest anew, since copies have other ctimes, which are no content."""
        made = cls.__new__(cls)
        shutil.copytree(other.folder, folder, dirs_exist_ok=True)
        vars(made).update(vars(other) | {"folder": folder, "data": folder / "data", "evidence": folder / "evidence"})
        made.selection_json = folder / other.selection_json.name
        made.write_manifest()
        return made

    def rebuild(self):
        self.write_transfer()
        self.write_check()
        self.write_manifest()
        self.write_audit()
        self.write_later()

    def files(self, path):
        return [(name, self.data / path / name) for name in TRAINING_FILES if (self.data / path / name).exists()]

    def write_transfer(self, **changes):
        fields = {
            "repo_id": "org/small", "repo_type": "dataset", "revision": REVISION, "store": "ssh://here",
            "inputs": {"selection": self.known, "selection_parent": self.parent},
            "files": [
                arrived(f"{path}/{name}", file.stat().st_size, sha256_of_file(file))
                for path in self.episodes
                for name, file in self.files(path)
            ],
            "episodes": [
                {"path": path, "split": self.splits[path], "size_band": self.bands[path], "rank": rank}
                for rank, path in enumerate(self.episodes, start=1)
            ],
        }  # fmt: skip
        place = self.data / "xperience-transfer-manifest.json"
        self.transfer = write_evidence(place, "xperience.transfer-manifest/1", **fields | changes)

    def write_check(self, **verdicts):
        """Every episode usable but those in `verdicts`, by their number as e<N>."""
        listed = []
        for number, path in enumerate(self.episodes):
            files = {name: {"sha256": sha256_of_file(file)} for name, file in self.files(path)}
            listed.append(judged(path, **verdicts.get(f"e{number}", {}), files=files))
        inputs = {"selection": self.known, "transfer_manifest": self.transfer}
        write_evidence(self.evidence / "check.json", "xperience.check/1", inputs=inputs, episodes=listed)

    def write_manifest(self):
        self.run(
            "prepare", "manifest", "--data-root", self.data, "--selection-json", self.selection_json, "--output",
            self.evidence / "manifest.json",
        )  # fmt: skip
        self.manifest = EpisodeManifest.read(self.evidence / "manifest.json")

    def write_audit(self, status="pass", decision="accept", reason="", manifest=None):
        findings = [] if status == "pass" else ["beads dominates train"]
        audit = ContentAudit(
            inputs={"selection": self.known, "manifest": manifest or self.manifest.content_sha256}, status=status,
            data_root="x", selection_json="y", episode_count=EPISODES, category_counts={}, split_category_counts={},
            thresholds=Thresholds(
                dominant_share=0.4, pool_margin=0.1, null_quantile=0.95, null_draws=1, unknown_share=0.05, seed=7
            ),
            pool_shares=None, splits=[], distances=[], unknown_share=0.0, labels=[], repeated_main_tasks=[],
            repeated_devices=[], clusters=None, findings=findings, warnings=[], note="",
            rows=[
                AuditRow(
                    episode_path=path, annotation_path=f"{path}/annotation.hdf5", split=self.splits[path],
                    size_band=self.bands[path], parse_status="ok",
                )
                for path in self.episodes
            ],
        )  # fmt: skip
        audit.write(self.evidence / "audit.json")
        self.audit = audit
        found = review(audit, reviewer="A. Person", decision=decision, reason=reason)
        found.write(self.evidence / "review.json")

    def ids(self, split):
        return [path.replace("/", "__") for path in self.episodes if self.splits[path] == split]

    def write_later(self, evaluation=None, compatibility=None, post_training=None):
        manifest = {"manifest": self.manifest.content_sha256}
        write_evidence(
            self.evidence / "evaluation.json", "xperience.qwen3-omni-evaluation/1",
            **{
                "inputs": manifest, "train_episodes": self.ids("train"), "test_episodes": self.ids("test"),
                "protocol": {"all answers valid": True, "all baselines there": True},
            } | (evaluation or {}),
        )  # fmt: skip
        record = write_evidence(
            self.evidence / "compatibility.json", "xperience.cosmos3-nano-compatibility/1",
            **{"inputs": manifest, "model_sha256": "ab" * 32, "required_levels": ["L0"], "levels": {"L0": "pass"}}
            | (compatibility or {}),
        )  # fmt: skip
        write_evidence(
            self.evidence / "post_training.json", "xperience.cosmos3-nano-post-training/1",
            **{"inputs": manifest | {"compatibility": record}, "model_sha256": "ab" * 32} | (post_training or {}),
        )  # fmt: skip

    def write_relay(self, **changes):
        leg = {"moved_bytes": 10**9, "busy_seconds": 40.0, "bytes_per_second": 25 * 10**6, "retries": {"timeout": 2}}
        write_evidence(
            self.evidence / "relay_summary.json", "xperience.relay-summary/1",
            **{
                "status": "complete", "cause": None, "repo_id": "org/small", "revision": REVISION, "store": "ssh://here",
                "files": 224, "size_bytes": 10**9, "arrived_files": 224, "arrived_bytes": 10**9, "wall_seconds": 41.5,
                "overlap": 0.96, "download": leg, "transfer": leg, "hash_mismatches": 0, "scratch_budget_bytes": 10**9,
                "peak_scratch_bytes": 5 * 10**8,
                "batches": [
                    {"index": number, "files": 112, "size_bytes": 5 * 10**8, "arrived_files": 112,
                     "download_seconds": 20.0, "transfer_seconds": 20.0, "wall_seconds": 20.5 + number}
                    for number in range(2)
                ],
            } | changes,
        )  # fmt: skip

    def report(self, *arguments):
        place = self.folder / "report.html"
        self.run(
            "report", "--evidence", self.evidence, "--data-root", self.data, "--selection-json", self.selection_json,
            "--output", place, *arguments,
        )  # fmt: skip
        return place

    def arguments(self, step):
        return (
            "gates", "--for", step, "--evidence", self.evidence, "--data-root", self.data, "--selection-json",
            self.selection_json, "--output", self.folder / "gates.json",
        )  # fmt: skip
