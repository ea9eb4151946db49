"""`make demo`: from nothing to a searchable index, and what a change costs. Every command is shown as typed.

Works on the sample CRM in INGEST_HOME only: it refuses to run if the settings name real systems.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import textwrap
from typing import Any

from ingest_assets.model import IngestError
from ingest_assets.settings import EMBED_URLS, LEDGER_URLS, load_settings
from ingest_assets.sources.crm.sample import edit_sample
from ingest_assets.sources.crm.settings import SAMPLE, CrmSettings
from ingest_assets.terminal import complain, console_of, escape, say
from tools import demo_people as people

DOCUMENTS, SEED = 2_000, 7
QUESTION = "they may cancel because the new price is too high"


def main() -> None:
    """Run the demo. Ends at the first command that fails, with its status."""
    settings = load_settings()
    crm_settings = settings.of(CrmSettings)
    real_systems = {
        "CRM_DB_PATH": crm_settings.crm_db_path,
        "CRM_MAPPING_PATH": crm_settings.crm_mapping_path,
        "QDRANT_URL": settings.qdrant_url,
        **{name.upper(): getattr(settings, name) for name in (*EMBED_URLS, *LEDGER_URLS)},
    }
    real = [name for name, value in real_systems.items() if value is not None]
    if real:
        raise IngestError(
            f"The demo works on sample data only, but {', '.join(real)} is set (in the environment or in "
            ".env). To index your own CRM run `ingest build`; to see the demo, unset it."
        )
    crm = settings.ingest_home / SAMPLE

    heading("1. A sample CRM: people, organisations, e-mails, meetings, calls, notes, opportunities.")
    ingest("sample", "crm", "--documents", str(DOCUMENTS), "--seed", str(SEED), "--overwrite")
    first, second = people.second_card(crm)
    say(f"And {first.name} ({first.document_id}) is entered a second time, as {second.document_id}.")

    heading("2. Build the search index: a job of seven assets, run through Dagster.")
    say("The sample comes with the true entities. A check compares them with what was found.")
    os.environ["INGEST_ENTITY_LABELS"] = str(crm.with_name(f"{crm.name}.truth.csv"))
    ingest("build")

    heading("3. Search it: by meaning, by words, and by both.")
    for mode in ("dense", "sparse", "hybrid"):
        ingest("search", QUESTION, "--mode", mode, "--limit", "2")

    heading("4. Entity resolution: records that are one person, and why.")
    ingest("entity", "show", people.duplicate(crm).document_id)
    say(f"\n{first.name} is still two entities: the second card has only the name, and namesakes exist.")
    ingest("entity", "search", first.name)
    ids = [entity_of(person) for person in (first, second)]

    heading("5. Somebody works in the CRM: 4 records are edited, 2 deleted, 2 added.")
    touched = set(edit_sample(crm, SEED, changes=4, deletes=2, inserts=2))
    people.promote(crm, first)
    people.fill_in(crm, first, second)
    touched |= {first.document_id, second.document_id}
    say(f"{first.name} is promoted, and the second card gets the address and telephone of the first.")
    say(textwrap.fill(f"Documents that differ now: {', '.join(sorted(touched))}.", 110))

    heading("6. Refresh: only those move. Everything else is counted as unchanged, and is not embedded.")
    counts = refresh_counts(ingest("refresh", "--json", show=False))
    say(counts.table)
    if counts.moved != len(touched):
        raise IngestError(f"{len(touched)} documents differ, but {counts.moved} moved.")
    say(f"\n{len(touched)} documents differ and {counts.moved} moved.")

    heading(
        f"7. {first.name} is one entity now. Its id stayed through the edit; the second card's leads to it."
    )
    if {entity_of(first), entity_of(second)} != {ids[0]}:
        raise IngestError(f"{first.document_id} and {second.document_id} should be the entity {ids[0]}.")
    ingest("entity", "show", ids[1])
    ingest("entity", "why", first.document_id, second.document_id)
    say("\nThe retired id still finds its documents, and all others of that person:")
    ingest("search", "trade fair", "--filter", f"entity_ids={ids[1]}", "--limit", "2")

    heading("8. Audit: every point of the index against what should be there.")
    ingest("audit")
    ingest("status")
    say("\nNext: `make dev` opens the Dagster UI on this very state.")
    say('      `.venv/bin/ingest search "…"` searches it; README.md says how to point it at your own CRM.')


def entity_of(person: people.Person) -> str:
    """The id of the entity that a record belongs to."""
    shown = json.loads(ingest("entity", "show", person.document_id, "--json", show=False, told=False))
    return str(shown["entity_id"])


class refresh_counts:  # noqa: N801 - reads as the function it is used as
    """What a refresh moved, as a table, and how many of the source's records that is."""

    COLUMNS = ("added", "changed", "unchanged", "removed", "parked")

    def __init__(self, report: str) -> None:
        assets: dict[str, dict[str, Any]] = json.loads(report)["assets"]
        rows = [f"{'asset':<22}" + "".join(f"{column:>11}" for column in self.COLUMNS)]
        for asset, counts in assets.items():
            rows.append(f"{asset:<22}" + "".join(f"{counts[column]:>11,}" for column in self.COLUMNS))
        self.table = "\n".join(rows)
        records = assets["crm/records"]
        self.moved = records["added"] + records["changed"] + records["removed"]


def heading(sentence: str) -> None:
    """What comes next."""
    console_of().print(f"\n[bold]{escape(sentence)}[/bold]", soft_wrap=True)


def ingest(*arguments: str, show: bool = True, told: bool = True) -> str:
    """Show a command as one would type it, run it, and return what it printed if it is not shown."""
    if told:
        say(f"\n$ ingest {shlex.join(arguments)}\n")
    command = [sys.executable, "-m", "ingest_assets", *arguments]
    result = subprocess.run(command, check=False, text=True, stdout=None if show else subprocess.PIPE)
    if result.returncode:
        raise SystemExit(result.returncode)
    return result.stdout or ""


if __name__ == "__main__":
    try:
        main()
    except IngestError as failure:
        complain(f"demo: {failure}")
        raise SystemExit(1) from None
