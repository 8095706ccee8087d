"""`xperience relay …` and `xperience preflight`."""

from dataclasses import asdict

import typer

from xperience.cli.console import ProgressView, out, print_json, print_table, terminate_with
from xperience.cli.flags import command
from xperience.cluster.progress import JobProgress, reporting
from xperience.common.checks import Check
from xperience.common.errors import BadDataError, TryAgainError, UsageError, XperienceError
from xperience.common.log import configure_log
from xperience.common.metrics import serve_metrics
from xperience.common.settings.relay import RelayPullSettings, RelayRunSettings, RelayStatusSettings, SshAccessSettings
from xperience.common.shards import shard_of
from xperience.common.signals import stop_on_signal
from xperience.common.sizes import human_bytes, human_rate, human_seconds
from xperience.hub.opening import open_hub
from xperience.relay.dry_run import dry_run
from xperience.relay.opening import open_selection, saved_settings
from xperience.relay.preflight import hub_checks, probe_check, scratch_check, store_checks
from xperience.relay.pull import STATE_FOLDER, Pull, wait_for_manifest
from xperience.relay.required_probe import check_probe
from xperience.relay.run import Relay, Snapshot
from xperience.relay.scratch import Scratch
from xperience.relay.status import relay_status
from xperience.relay.summary import RelaySummary
from xperience.relay.verify import verify_store
from xperience.selection.shards import share_of
from xperience.store.opening import open_store

app = typer.Typer(no_args_is_help=True, help="Move a selection from the hub through scratch to the store.")


def _run(settings: RelayRunSettings) -> None:
    configure_log(settings.log_format, settings.log_level)
    if settings.dry_run:
        _plan(settings)
        return
    if settings.metrics_port is not None:
        serve_metrics(settings.metrics_port)
    with stop_on_signal() as asked_to_stop, reporting(settings, "relay", "running") as reporter, ProgressView() as view:
        selection = open_selection(settings)
        if settings.require_probe is not None:
            check_probe(settings.require_probe, selection)
        sharers = shard_of(settings.shard, 1).count
        hub = open_hub(settings, selection.repo_id, selection.repo_type, sharers=sharers)

        def show(now: Snapshot) -> None:
            view.show(now)
            if reporter:
                reporter.show(_progress_of(now))

        with open_store(settings, scratch=settings.relay_root.expanduser()) as store:
            summary = Relay(settings, selection, hub, store, show).run(asked_to_stop)
        line = _summary_line(summary)
        if reporter:
            reporter.tell("RelayComplete", line, state="complete")
    terminate_with(line)
    if settings.json_output:
        print_json(summary.document())
    else:
        out.print(line.replace(" · wall", "\n  wall"))


def _progress_of(now: Snapshot) -> JobProgress:
    return JobProgress(
        state="running",
        done=now.arrived_bytes,
        total=now.size_bytes,
        rate_per_second=round(now.transfer_rate),
        eta_seconds=now.eta_seconds,
    )


def _summary_line(summary: RelaySummary) -> str:
    return (
        f"relay {summary.status}: {summary.arrived_files} of {summary.files} files,"
        f" {human_bytes(summary.arrived_bytes)} verified at {summary.store}"
        f" · wall {human_seconds(summary.wall_seconds)}"
        f" · download {human_rate(summary.download.bytes_per_second)}"
        f" · transfer {human_rate(summary.transfer.bytes_per_second)}"
        f" · overlap {summary.overlap:.0%}"
        f" · peak scratch {human_bytes(summary.peak_scratch_bytes)} of {human_bytes(summary.scratch_budget_bytes)}"
    )


def _plan(settings: RelayRunSettings) -> None:
    selection = open_selection(settings, offline=settings.offline, keep=False)
    if settings.require_probe is not None:
        check_probe(settings.require_probe, selection)
    plan = dry_run(share_of(selection, shard_of(settings.shard, 1)), settings)
    if settings.json_output:
        print_json(plan.document())
        return
    print_table(
        "DRY RUN: nothing is moved, nothing is created",
        ("batch", "episodes", "files", "GiB", "first file"),
        [(b.index, b.episodes, b.files, f"{b.size_bytes / 2**30:.3f}", b.first) for b in plan.batches],
    )
    out.print(
        f"{plan.files} files, {human_bytes(plan.size_bytes)}; scratch peak {human_bytes(plan.peak_scratch_bytes)}"
        f" of {human_bytes(plan.scratch_budget_bytes)}\n"
        f"at {plan.download_mb_per_second:g} MB/s down and {plan.transfer_mb_per_second:g} MB/s up:"
        f" {human_seconds(plan.pipeline_seconds)} (one leg after the other: {human_seconds(plan.sequential_seconds)})"
    )
    if not plan.pinned:
        out.print("sizes of single videos are their episode's mean: the selection is not pinned yet")
    out.print("it would run:")
    for line in plan.commands:
        out.print(f"  {line}")
    out.print("DRY RUN ended: nothing was moved, nothing was created")


@command(app, "run", RelayRunSettings)
def run(settings: RelayRunSettings) -> None:
    """Move the selection; run it again after whatever stopped it."""
    _run(settings)


@command(app, "plan", RelayRunSettings)
def plan(settings: RelayRunSettings) -> None:
    """Print batches, scratch and time of a run; the same as `run --dry-run`."""
    configure_log(settings.log_format, settings.log_level)
    _plan(settings)


@command(app, "resume", RelayStatusSettings)
def resume(settings: RelayStatusSettings) -> None:
    """Go on with the run that was last begun in this scratch, under its settings."""
    _run(saved_settings(settings.relay_root).model_copy(update={"json_output": settings.json_output}))


@command(app, "status", RelayStatusSettings)
def status(settings: RelayStatusSettings) -> None:
    """Read a run's ledger, while it runs or after."""
    found = relay_status(Scratch(settings.relay_root.expanduser().absolute()))
    if settings.json_output:
        print_json(found.document())
        return
    running = ", ".join(found.running_legs) or "none"
    print_table(
        f"{found.repo_id} → {found.store} · running legs: {running}",
        ("state", "files", "bytes"),
        [(state.state, state.files, human_bytes(state.size_bytes)) for state in found.states],
    )
    print_table(
        "batches",
        ("batch", "files", "arrived", "GiB", "seconds"),
        [
            (b.index, b.files, b.arrived_files, f"{b.size_bytes / 2**30:.3f}", b.wall_seconds or "-")
            for b in found.batches
        ],
    )


@command(app, "verify", RelayRunSettings)
def verify(settings: RelayRunSettings) -> None:
    """Ask the store for the hash of every file of its transfer manifest; exit 65 where one is not right."""
    configure_log(settings.log_format, settings.log_level)
    with open_store(settings, scratch=settings.relay_root.expanduser()) as store:
        found = verify_store(store, at_once=settings.chunk_parallel)
    found.write(settings.relay_root.expanduser() / "relay_verification.json")
    if settings.json_output:
        print_json(found.document())
    else:
        for fault in found.faults:
            out.print(f"{fault.fault}: {fault.path}")
        out.print(f"{found.verified_files} files, {human_bytes(found.verified_bytes)} verified at {found.store}")
    if found.faults:
        first = found.faults[0]
        raise BadDataError(
            f"{len(found.faults)} faults at the store", where=first.path, why=first.fault,
            fix="Delete the ledger (relay_ledger.sqlite) and run the relay again: it sends what is not right.",
        )  # fmt: skip


@command(app, "pull", RelayPullSettings)
def pull(settings: RelayPullSettings) -> None:
    """Bring the store's files to a folder, each verified by the sha256 of the transfer manifest."""
    configure_log(settings.log_format, settings.log_level)
    if settings.metrics_port is not None:
        serve_metrics(settings.metrics_port)
    shard = shard_of(settings.shard, settings.shards)
    root = settings.data_root.expanduser()
    with stop_on_signal() as asked_to_stop, reporting(settings, "pull", "running") as reporter:

        def show(there_bytes: int, size_bytes: int) -> None:
            if reporter:
                reporter.show(JobProgress(state="running", done=there_bytes, total=size_bytes))

        with open_store(settings, scratch=root / STATE_FOLDER) as store:
            found = Pull(settings, store, shard, asked_to_stop, show)
            whole = found.run() or wait_for_manifest(
                root, seconds=settings.wait_for_shards_seconds if shard.count > 1 else 0.0, stop=asked_to_stop
            )
        share = f"of shard {shard.name} " if shard.name else ""
        line = f"pull complete: {human_bytes(found.size_bytes)} {share}verified in {root}"
        if not whole:
            raise TryAgainError("files of other shards are not there yet", where=str(root), fix="Run the other shards.")
        if reporter:
            reporter.tell("PullComplete", line, state="running")
    terminate_with(line)
    if settings.json_output:
        print_json({"data_root": str(root), "shard": shard.name, "size_bytes": found.size_bytes})
    else:
        out.print(line)


@command(app, "keygen", SshAccessSettings)
def keygen(settings: SshAccessSettings) -> None:
    """Make the relay's own ed25519 key; print the line for the store's authorized_keys."""
    from xperience.store import ssh_access

    made = ssh_access.keygen(settings.ssh_key.expanduser())
    out.print(made.public_key)
    out.print("append this line to ~/.ssh/authorized_keys on the store:")
    out.print(made.authorized_keys_line)


@command(app, "check-key", SshAccessSettings)
def check_key(settings: SshAccessSettings) -> None:
    """Log in at the store with the relay's key, without asking anything, and print its host name."""
    from xperience.store import ssh_access

    out.print(
        ssh_access.check_key(
            _host(settings), key=settings.ssh_key.expanduser(), known_hosts=settings.known_hosts.expanduser()
        )
    )


@command(app, "trust-host", SshAccessSettings)
def trust_host(settings: SshAccessSettings) -> None:
    """Show the store's host key; with --fingerprint, pin it in known_hosts where it is that one."""
    from xperience.store import ssh_access

    scanned = ssh_access.scan_host_key(_host(settings))
    out.print(f"{_host(settings)} has {scanned.fingerprint}")
    if not settings.fingerprint:
        out.print(f"if that is right: xperience relay trust-host … --fingerprint {scanned.fingerprint}")
        return
    ssh_access.trust(scanned, settings.fingerprint, settings.known_hosts.expanduser())
    out.print(f"pinned in {settings.known_hosts}")


def _host(settings: SshAccessSettings) -> str:
    if not settings.transfer_host:
        raise UsageError("no host", where="--transfer-host", fix="Give user@host[:port].")
    return settings.transfer_host


def preflight(settings: RelayRunSettings) -> None:
    """Look at everything that would stop the job later: token, gate, files, scratch, store."""
    configure_log(settings.log_format, settings.log_level)
    with reporting(settings, "relay", "checking"):
        _preflight(settings)


def _preflight(settings: RelayRunSettings) -> None:
    selection = open_selection(settings, offline=True)
    checks = [
        *probe_check(settings, selection),
        *hub_checks(open_hub(settings, selection.repo_id, selection.repo_type), selection),
        scratch_check(settings, share_of(selection, shard_of(settings.shard, 1))),
    ]
    try:
        with open_store(settings, scratch=settings.relay_root.expanduser()) as store:
            checks.extend(store_checks(settings, selection, store))
    except XperienceError as error:
        checks.append(Check.failed("store", error))
    if settings.json_output:
        print_json([{**asdict(check), "exit_code": int(check.exit_code)} for check in checks])
    else:
        print_table(
            "preflight", ("check", "", "found"),
            [(check.name, "ok" if check.ok else "FAILED", check.detail) for check in checks],
        )  # fmt: skip
    for check in checks:
        if not check.ok:
            raise XperienceError(
                f"preflight: {check.name} failed", why=check.detail, fix=check.fix, exit_code=check.exit_code
            )
