"""The review of a content audit: who decided what, when, about which audit."""

from typing import ClassVar, Literal

from xperience.common.errors import RefusedError, UsageError
from xperience.common.evidence import Evidence, now_utc
from xperience.prepare.content import ContentAudit

Decision = Literal["accept", "accept-with-exception", "reject"]


class AuditReview(Evidence):
    """`inputs.audit` is the audit's content hash: an audit made anew with other content voids the review."""

    SCHEMA: ClassVar[str] = "xperience.audit-review/1"

    reviewer: str
    reviewed_at: str
    decision: Decision
    reason: str
    audit_status: Literal["pass", "fail"]
    findings: list[str]

    def is_of(self, audit: ContentAudit) -> bool:
        """Whether it still stands for this audit."""
        return self.inputs.get("audit") == audit.known_by


def review(audit: ContentAudit, *, reviewer: str, decision: Decision, reason: str) -> AuditReview:
    """Record a decision. RefusedError where a failed audit is accepted as if it had passed."""
    if not reviewer.strip():
        raise UsageError("no reviewer", where="--reviewer", fix="Give the name of the person who decides.")
    if decision != "accept" and not reason.strip():
        raise UsageError("no reason", where="--reason", why=f"the decision is {decision}", fix="Say why in a sentence.")
    if decision == "accept" and audit.status == "fail":
        raise RefusedError(
            "the audit failed", where="--decision accept", why="; ".join(audit.findings),
            fix="Swap episodes (`xperience prepare replace`), or use accept-with-exception with --reason.",
        )  # fmt: skip
    if decision == "accept-with-exception" and audit.status == "pass":
        raise UsageError("nothing to except", where="--decision", why="the audit passed", fix="Use --decision accept.")
    return AuditReview(
        inputs={"audit": audit.known_by},
        reviewer=reviewer.strip(),
        reviewed_at=now_utc(),
        decision=decision,
        reason=reason.strip(),
        audit_status=audit.status,
        findings=audit.findings,
    )
