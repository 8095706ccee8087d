"""The content audit for people: Markdown, and a page with charts."""

from collections.abc import Mapping

from xperience.common.charts import bars, legend, stacked
from xperience.common.page import render
from xperience.prepare.content import ContentAudit


def charts_of(audit: ContentAudit) -> Mapping[str, str]:
    """SVG of the shares per split and of the distances."""
    order = list(audit.category_counts)
    shares = {
        f"{content.split} ({content.episodes})": {
            name: count / content.episodes for name, count in content.category_counts.items()
        }
        for content in audit.splits
    }
    names = {f"{one.splits[0]} – {one.splits[1]}": one for one in audit.distances}
    return {
        "shares": stacked(shares, order, "Share of each category in each split"),
        "legend": legend(order),
        "distances": bars(
            [(name, one.total_variation, f"{one.total_variation:.2f} of {one.null_quantile:.2f}")
             for name, one in names.items()],
            "Total variation distance between splits",
            marks={name: one.null_quantile for name, one in names.items()},
        ),
    }  # fmt: skip


def html(audit: ContentAudit) -> str:
    """The page."""
    return render("audit.html.j2", audit=audit, charts=charts_of(audit))


def markdown(audit: ContentAudit) -> str:
    """The report that the plan calls STAGED_CONTENT_AUDIT."""
    limits = audit.thresholds
    lines = [
        f"# Staged content audit: {audit.status}", "",
        f"{audit.episode_count} episodes of `{audit.selection_json}`, content `{audit.known_by}`.", "",
    ]  # fmt: skip
    lines += [f"* **{finding}**" for finding in audit.findings]
    lines += [f"* {warning}" for warning in audit.warnings]
    lines += ["", "## Categories", "", f"| split | episodes | {' | '.join(audit.category_counts)} |",
              f"|---|---|{'---|' * len(audit.category_counts)}"]  # fmt: skip
    for content in audit.splits:
        counts = " | ".join(str(content.category_counts.get(name, 0)) for name in audit.category_counts)
        lines.append(f"| {content.split} | {content.episodes} | {counts} |")
    lines += ["", "| split | largest | share | limit | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| {content.split} | {content.largest_category} | {content.largest_share:.1%} | {content.limit:.1%}"
        f" | {'**dominates**' if content.dominates else 'ok'} |"
        for content in audit.splits
    ]
    lines += ["", f"Dominates: share > max({limits.dominant_share:.2f}, pool share + {limits.pool_margin:.2f}"
              f"{'' if audit.pool_shares else '; the pool is not known here'}).", ""]  # fmt: skip
    lines += ["## Distance between splits", "",
              f"| splits | total variation | {limits.null_quantile:.0%} of random deals stay under | verdict |",
              "|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {' – '.join(one.splits)} | {one.total_variation:.3f} | {one.null_quantile:.3f}"
        f" | {'**differs**' if one.differs else 'ok'} |"
        for one in audit.distances
    ]
    lines += ["", "## Labels", "", "| split | labels | distinct | seen in train |", "|---|---|---|---|"]
    lines += [f"| {row.split} | {row.kind} | {row.distinct} | {row.seen_share:.1%} |" for row in audit.labels]
    lines += ["", f"No category: {audit.unknown_share:.1%}, at most {limits.unknown_share:.1%}."]
    for title, found in (("main tasks", audit.repeated_main_tasks), ("devices", audit.repeated_devices)):
        if found:
            lines += ["", f"## {title.capitalize()} in more than one split: {len(found)}", ""]
            lines += [f"* {one.value}: {', '.join(f'{n} {split}' for split, n in one.episodes.items())}"
                      for one in found]  # fmt: skip
    if audit.clusters is not None:
        agreement = f"Agreement with the categories: {audit.clusters.agreement:.2f} (adjusted mutual information)."
        lines += ["", "## Cross-check by clusters of texts", "", agreement, ""]
        lines += [f"* {number}: {', '.join(terms)}" for number, terms in enumerate(audit.clusters.terms)]
    faulty = [row for row in audit.rows if row.parse_status != "ok"]
    if faulty:
        lines += ["", f"## Without caption: {len(faulty)}", ""]
        lines += [f"* {row.episode_path}: {row.error}" for row in faulty]
    return "\n".join(lines) + "\n"
