"""One check report from those of its shards."""

from pathlib import Path

from xperience.common.errors import BadDataError, UsageError
from xperience.common.shards import Shard
from xperience.prepare.check import CheckReport, report_of


def merge_shards(output: Path, shards: int) -> CheckReport:
    """Read the report of each of `shards` shards beside `output`; the same content as a check of the whole.

    UsageError where one is missing, BadDataError where they do not belong together.
    """
    reports: list[CheckReport] = []
    for index in range(shards):
        shard = Shard(index, shards)
        place = shard.path(output)
        if not place.exists():
            raise UsageError("a shard has no report", where=str(place), fix="Wait for it, or check that shard again.")
        report = CheckReport.read(place)
        first = reports[0] if reports else report
        same = (report.inputs, report.purposes, report.rules, report.hashes) == (
            first.inputs, first.purposes, first.rules, first.hashes,
        )  # fmt: skip
        if report.shard != shard.name or not same:
            raise BadDataError(
                "reports do not belong together", where=str(place), why=f"it is shard {report.shard or 'of one'}",
                fix="Check all shards again, with the same settings.",
            )  # fmt: skip
        reports.append(report)
    episodes = sorted((e for report in reports for e in report.episodes), key=lambda episode: episode.path)
    others = {path: file for report in reports for path, file in report.others.items()}
    first = reports[0]
    return report_of(
        episodes, others, shard="", hashes=first.hashes, purposes=first.purposes, rules=first.rules,
        inputs=first.inputs,
    )  # fmt: skip
