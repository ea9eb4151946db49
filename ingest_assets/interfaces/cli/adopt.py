"""`ingest adopt`: shows what it would take over and from whom, asks, and takes it over."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.interfaces.cli.options import Json, require_source
from ingest_assets.settings import load_settings
from ingest_assets.terminal import console_of, print_json, table
from ingest_assets.workbench import Workbench


def adopt(
    source: Annotated[
        str | None, typer.Option(help="Only this source. By default all that are in use.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take over an index or a system that this installation was refused, as after a move or a lost ledger.

    Shows what would change hands, and asks. Nothing is deleted: the next build makes a generation beside what
    was taken over.
    """
    from ingest_assets.queries.status import sources_in_use
    from ingest_assets.stages.adoption import adopt as take
    from ingest_assets.stages.adoption import takeovers

    require_source(source)
    if json and not yes:
        raise typer.BadParameter("--json does not ask: it needs --yes.")
    with Workbench(load_settings()) as bench, ExitStack() as locks:
        sources = [source] if source else sources_in_use(bench)
        for name in sources:
            locks.enter_context(bench.run_lock(name))
        found = {name: takeovers(bench, name) for name in sources}
        # The ledger's name is the same for each of them.
        shown = list(dict.fromkeys(one for each in found.values() for one in each))
        if shown and not json:
            rows = [[one.what, one.source, one.whose, one.whose_then] for one in shown]
            table(("what", "source", "belongs to", "will belong to"), rows, right=False)
        if shown and not yes:
            typer.confirm("Whoever it belongs to will be refused from then on. Take it over?", abort=True)
        for name, each in found.items():
            if each:
                take(bench, name)
    if json:
        print_json({"adopted": [asdict(one) for one in shown]})
    else:
        console_of().print("Taken over. Run `ingest refresh`." if shown else "There is nothing to take over.")
