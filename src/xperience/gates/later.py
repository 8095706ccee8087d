"""Gates on what people and models did: audit reviewed, evaluation held out, compatibility first."""

from xperience.gates.bundle import Bundle, CompatibilityView, EvaluationView, PostTrainingView
from xperience.gates.verdict import Verdict, judge, not_run
from xperience.prepare.content import ContentAudit
from xperience.prepare.manifest import EpisodeManifest, fit
from xperience.prepare.review import AuditReview


def audit_reviewed(bundle: Bundle) -> Verdict:
    """The content audit of this manifest passed or was excepted, and a named person said so about this very audit."""
    faults = [bundle.faults[name] for name in ("audit", "review", "manifest") if name in bundle.faults]
    audit, found = bundle.get("audit", ContentAudit), bundle.get("review", AuditReview)
    if faults:
        return judge(faults, "")
    if audit is None:
        return not_run("no content audit")
    manifest = bundle.get("manifest", EpisodeManifest)
    findings = []
    if manifest is not None and audit.inputs.get("manifest") != manifest.content_sha256:
        findings.append("the audit is of another manifest: run `xperience prepare audit` again")
    if found is None:
        return judge(findings, "") if findings else not_run("the audit is not reviewed: `xperience prepare review`")
    if not found.is_of(audit):
        findings.append(f"the review of {found.reviewed_at} is void: it is of another audit")
    if found.decision == "reject":
        findings.append(f"{found.reviewer} rejected it: {found.reason}")
    if audit.status == "fail" and found.decision == "accept":
        findings.append("a failed audit cannot be accepted as it is: " + "; ".join(audit.findings))
    if findings:
        return judge(findings, "")
    detail = f"{found.decision} by {found.reviewer} at {found.reviewed_at}"
    if found.decision == "accept-with-exception":
        return Verdict(status="pass", exception=True, detail=f"{detail}: {found.reason}", findings=audit.findings)
    return judge([], detail)


# The part of the protocol that an evaluation without its base model's answers lacks.
ALL_BASELINES = "all baselines there"


def held_out_evaluation(bundle: Bundle) -> Verdict:
    """Evaluated on every usable test episode and on no other; none of their sessions was trained on."""
    for name in ("evaluation", "manifest"):
        if name in bundle.faults:
            return judge([bundle.faults[name]], "")
    found, manifest = bundle.get("evaluation", EvaluationView), bundle.get("manifest", EpisodeManifest)
    if found is None or manifest is None:
        return not_run("no evaluation" if found is None else "no episode manifest")
    findings = []
    if found.inputs.get("manifest") != manifest.content_sha256:
        findings.append("the evaluation is of another manifest")
    test = {episode.id: fit(episode, ["windows"]) for episode in manifest.episodes if episode.split == "test"}
    sessions = {episode.id: episode.top_level_session for episode in manifest.episodes}
    evaluated = set(found.test_episodes)
    findings += [f"{name}: evaluated, not in test" for name in sorted(evaluated - set(test))]
    findings += [f"{name}: usable test episode, not evaluated" for name in sorted(n for n in test if test[n])
                 if name not in evaluated]  # fmt: skip
    held_out = {sessions[name] for name in test}
    findings += [
        f"{name}: trained on, and its session is in test"
        for name in sorted(set(found.train_episodes))
        if sessions.get(name, name.partition("__")[0]) in held_out
    ]
    findings += [f"protocol: {part} did not hold" for part, held in sorted(found.protocol.items()) if not held]
    if not found.protocol.get(ALL_BASELINES, False):
        findings.append(
            "no answers of the base model: `xperience qwen3-omni evaluate --zero-shot`, then `evaluate --merge`"
        )
    if not found.protocol or not found.train_episodes:
        findings.append("the evaluation says nothing of its protocol or of what was trained on")
    return judge(findings, f"{len(evaluated)} of {len(test)} test episodes")


def cosmos_compatibility(bundle: Bundle) -> Verdict:
    """Cosmos3-Nano began with a compatibility record of this data and model, at the levels that the model needs."""
    for name in ("compatibility", "post_training", "manifest"):
        if name in bundle.faults:
            return judge([bundle.faults[name]], "")
    record, run = bundle.get("compatibility", CompatibilityView), bundle.get("post_training", PostTrainingView)
    if record is None:
        return judge(["post-training ran without a compatibility record"], "") if run else not_run("no record")
    findings = []
    known = bundle.known_by("manifest")
    if known is not None and record.inputs.get("manifest") != known:
        findings.append("the record is of another manifest")
    findings += [
        f"level {level}: {record.levels.get(level, 'not there')}"
        for level in record.required_levels
        if record.levels.get(level) != "pass"
    ]
    if not record.required_levels:
        findings.append("the record names no level that its model needs")
    if run is not None and run.inputs.get("compatibility") != record.content_sha256:
        findings.append("post-training started from another compatibility record")
    if run is not None and run.model_sha256 != record.model_sha256:
        findings.append("post-training is of another model than the record")
    return judge(findings, f"levels {', '.join(record.required_levels)} of model {record.model_sha256[:12]}")
