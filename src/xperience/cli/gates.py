"""`xperience gates` and `xperience report`."""

from xperience.cli.console import out, print_json, print_table
from xperience.common.files import write_atomic
from xperience.common.settings.gates import EvidenceSettings, GatesSettings, ReportSettings
from xperience.gates.bundle import Bundle, gather
from xperience.gates.evaluate import evaluate, require


def bundle_of(settings: EvidenceSettings, *, rehash: bool = False) -> Bundle:
    """The artefacts that the settings name."""
    return gather(
        evidence=settings.evidence.expanduser(),
        given=settings.given(),
        selection_json=settings.selection_json,
        data_root=settings.data_root.expanduser() if settings.data_root else None,
        rehash=rehash,
    )


def gates(settings: GatesSettings) -> None:
    """Evaluate the acceptance gates that a step needs; 77 where one of them does not pass."""
    found = evaluate(bundle_of(settings, rehash=settings.rehash), settings.step)
    output = settings.output or settings.evidence / f"gates_{settings.step}.json"
    found.write(output.expanduser())
    if settings.json_output:
        print_json(found.document())
    else:
        rows = [(gate.gate, gate.verdict, gate.detail) for gate in found.gates]
        print_table(f"gates for {found.step}", ("gate", "verdict", "detail"), rows)
        for gate in found.gates:
            for finding in gate.findings:
                out.print(f"  {gate.gate}: {finding}")
    require(found, f"See {output}.")


def report(settings: ReportSettings) -> None:
    """Write one self-contained page: selection, relay, usable episodes, audit, gates, results."""
    from xperience.gates.cosmos import cosmos_results
    from xperience.gates.report import page
    from xperience.gates.training import losses

    bundle = bundle_of(settings)
    told = losses(settings.run.expanduser()) if settings.run else None
    cosmos = cosmos_results(settings.cosmos.expanduser()) if settings.cosmos else None
    write_atomic(settings.output.expanduser(), page(bundle, settings.step, settings.title, told, cosmos))
    out.print(f"{settings.output}: {len(bundle.artefacts)} artefacts, {len(bundle.faults)} that cannot be used")
