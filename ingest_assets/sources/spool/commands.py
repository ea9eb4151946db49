"""`ingest spool`, `ingest gate` and `ingest sample spool`.

What belongs here: arguments and options. What does not: what is printed (`output`).
"""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, get_args

import typer

from ingest_assets.settings import load_settings
from ingest_assets.sources.spool import output
from ingest_assets.sources.spool.decisions import Decider, UnknownBatchError
from ingest_assets.sources.spool.gates import GateState
from ingest_assets.sources.spool.settings import NAME, SpoolSettings
from ingest_assets.terminal import JsonOption, console_of, escape, print_json
from ingest_assets.workbench import Workbench

spool = typer.Typer(help="Batches that producers drop into the spool.", no_args_is_help=True)
gate = typer.Typer(help="The gates that personal batches wait at.", no_args_is_help=True)

STATUSES = ("queued", "processing", "success", "failed")
Tag = Annotated[str, typer.Argument(help="The batch's tag, as `ingest spool list` shows it.")]
Why = Annotated[str, typer.Option(help="The reason. It is kept in the audit log, with your name.")]
Limit = Annotated[int, typer.Option(help="Maximum number of batches, 1 to 1000.", min=1, max=1_000)]
After = Annotated[str, typer.Option(help="Only batches whose tags come after this one: the next page.")]


@spool.command()
def add(
    files: Annotated[list[str], typer.Argument(help="Batches: msgpack files, which are copied.")],
    json: JsonOption = False,
) -> None:
    """Drop files that are somewhere else into the spool. `ingest refresh` then indexes them."""
    from ingest_assets.sources.spool.adding import add_all
    from ingest_assets.sources.spool.places import Spool

    added = list(add_all(Spool.of(load_settings().of(SpoolSettings)), files))
    output.added(added, json)
    if any(each.error for each in added):
        raise typer.Exit(1)


@spool.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help=f"Only batches that are {', '.join(STATUSES)}.")] = None,
    limit: Limit = 100,
    after: After = "",
    json: JsonOption = False,
) -> None:
    """List batches by tag, those that were removed or have expired too."""
    from ingest_assets.sources.spool.manifest import listed
    from ingest_assets.sources.spool.places import Spool
    from ingest_assets.sources.spool.waiting import waiting

    if status is not None and status not in STATUSES:
        raise typer.BadParameter(f"--status is one of {', '.join(STATUSES)}; not {status!r}.")
    with Workbench(load_settings()) as bench:
        folder = Spool.of(bench.settings_of(SpoolSettings))
        rows = listed(bench.ledger, status, after=after, limit=limit + 1)
    nothing = "There is no such batch." if status or after else "No batch was taken yet."
    output.batches(rows[:limit], len(rows) > limit, waiting(folder), nothing, json)


@spool.command()
def show(batch_tag: Tag, json: JsonOption = False) -> None:
    """What is known of a batch: its state and counts, who decided what, and what listeners were told."""
    from ingest_assets.sources.spool import manifest
    from ingest_assets.sources.spool.notifier import outbox

    with Workbench(load_settings()) as bench, bench.ledger.reading() as connection:
        row = manifest.find(connection, batch_tag)
        events = outbox.of_batch(connection, batch_tag)
    if row is None:
        raise UnknownBatchError(batch_tag)
    output.batch(row, events, json)


@spool.command()
def retry(batch_tag: Tag, why: Why = "", json: JsonOption = False) -> None:
    """Have a failed batch tried again by the next refresh."""
    from ingest_assets.sources.spool.removing import retry as try_again

    with Workbench(load_settings()) as bench:
        row = try_again(bench, batch_tag, _decider(why))
    output.decided(row, "The next `ingest refresh --source spool` tries it again.", json)


@spool.command()
def remove(batch_tag: Tag, why: Why, json: JsonOption = False) -> None:
    """Remove a batch for good, and its file. Its records leave the index with the next refresh."""
    from ingest_assets.sources.spool.removing import remove as remove_batch

    with Workbench(load_settings()) as bench:
        row = remove_batch(bench, batch_tag, _decider(why))
    output.decided(row, "Its records leave the index with the next `ingest refresh --source spool`.", json)


@spool.command()
def deliver(
    again: Annotated[
        bool, typer.Option("--again", help="Also what was put aside after GATE_MAX_ATTEMPTS refusals.")
    ] = False,
    why: Why = "",
    timeout: Annotated[float, typer.Option(help="Begin no request after so many seconds.", min=0)] = 60,
    json: JsonOption = False,
) -> None:
    """Tell the listener at GATE_URL now what it has not heard yet. Exit status 1 if something still waits."""
    from ingest_assets.sources.spool.notifier.delivery import deliver as send
    from ingest_assets.sources.spool.notifier.delivery import redeliver

    with Workbench(load_settings()) as bench:
        put_back = redeliver(bench, _decider(why)) if again else 0
        found = send(bench, budget_s=timeout, at_once=True)
        has_listener = bench.settings_of(SpoolSettings).gate_url is not None
    output.delivered(found, put_back, has_listener, json)
    raise typer.Exit(1 if found.waiting or found.dead else 0)


@spool.command()
def maintain(json: JsonOption = False) -> None:
    """Make partitions of the records ahead of time and drop expired ones, now. Exit status 1 if it failed."""
    from ingest_assets.sources.spool.maintenance import maintain as maintain_now

    with Workbench(load_settings()) as bench:
        bench.require_configured(NAME)
        # No run must write records into what is dropped.
        with bench.run_lock(NAME):
            found = maintain_now(bench, asked=True)
    assert found is not None
    output.maintained(found, json)
    raise typer.Exit(1 if found.error else 0)


@gate.command("list")
def list_gates(
    state: Annotated[str, typer.Option(help="Which gates: locked or open ones.")] = "locked",
    limit: Limit = 100,
    after: After = "",
    json: JsonOption = False,
) -> None:
    """List personal batches whose gate is locked, or open, by tag."""
    from ingest_assets.sources.spool.gates import listed

    states: tuple[GateState, ...] = get_args(GateState)
    asked = next((each for each in states if each == state), None)
    if asked is None:
        raise typer.BadParameter(f"--state is one of {', '.join(states)}; not {state!r}.")
    with Workbench(load_settings()) as bench:
        rows = listed(bench.ledger, asked, after=after, limit=limit + 1)
    output.gates(rows[:limit], len(rows) > limit, asked, json)


@gate.command("open")
def open_(batch_tag: Tag, why: Why, json: JsonOption = False) -> None:
    """Let a personal batch into the index: the next refresh indexes it."""
    from ingest_assets.sources.spool.gates import open_gate

    with Workbench(load_settings()) as bench:
        row = open_gate(bench.ledger, batch_tag, _decider(why))
    output.decided(row, "The next `ingest refresh --source spool` indexes it.", json)


@gate.command()
def close(batch_tag: Tag, why: Why, json: JsonOption = False) -> None:
    """Take a personal batch out of all answers at once, and out of the index with the next refresh."""
    from ingest_assets.sources.spool.gates import close_gate

    with Workbench(load_settings()) as bench:
        row = close_gate(bench.ledger, batch_tag, _decider(why))
    said = "No answer shows it. The next `ingest refresh --source spool` takes it out of the index."
    output.decided(row, said, json)


@gate.command()
def wait(
    batch_tag: Tag,
    timeout: Annotated[float, typer.Option(help="How many seconds.", min=0, max=31_536_000)] = 600,
    json: JsonOption = False,
) -> None:
    """Wait until a batch's gate is open. Exit status 0 if it is, 1 if it was still locked at the end."""
    from ingest_assets.sources.spool.gates import wait as wait_for

    with Workbench(load_settings()) as bench:
        is_open = wait_for(bench.ledger, batch_tag, timeout)
    output.waited(batch_tag, is_open, json)
    raise typer.Exit(0 if is_open else 1)


def _decider(why: str) -> Decider:
    return Decider(getpass.getuser(), why, "cli")


def sample_spool(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder of the spool; SPOOL_DIR by default.", show_default=False)
    ] = None,
    records: Annotated[int, typer.Option(help="How many records in each batch.", min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option(help="The same seed writes the same records.")] = 1,
    json: JsonOption = False,
) -> None:
    """Write batches to try the spool with, among them a personal one, and one that is broken."""
    from ingest_assets.sources.spool.places import Spool
    from ingest_assets.sources.spool.sample import write_samples

    root = folder or Spool.of(load_settings().of(SpoolSettings)).root
    written = write_samples(root, records, seed)
    if json:
        return print_json([{"path": str(each.path), "about": each.about} for each in written])
    console = console_of()
    console.print(f"Wrote {len(written)} batches to {escape(str(root / 'incoming'))}:")
    for each in written:
        console.print(f"  {escape(each.path.name)}  {escape(each.about)}")
    return None
