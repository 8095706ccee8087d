"""A gate's verdict."""

from typing import Literal

from pydantic import Field

from xperience.common.evidence import Part

Status = Literal["pass", "fail", "not_run"]
MOST_FINDINGS = 20


class Verdict(Part):
    """`exception` marks a pass that a reviewer granted although the figures failed."""

    status: Status
    detail: str
    findings: list[str] = Field(default_factory=list)
    exception: bool = False

    @property
    def text(self) -> str:
        """As people read it."""
        if self.status == "not_run":
            return f"not_run({self.detail})"
        return "pass (exception)" if self.exception else self.status


def not_run(why: str) -> Verdict:
    """What the gate needs is not there."""
    return Verdict(status="not_run", detail=why)


def judge(findings: list[str], otherwise: str) -> Verdict:
    """Fail with the findings, else pass."""
    if not findings:
        return Verdict(status="pass", detail=otherwise)
    more = [f"and {len(findings) - MOST_FINDINGS} more"] if len(findings) > MOST_FINDINGS else []
    return Verdict(status="fail", detail=findings[0], findings=[*findings[:MOST_FINDINGS], *more])
