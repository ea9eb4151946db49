"""`ingest sample crm`: a CRM to try things out with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.settings import SAMPLE
from ingest_assets.terminal import JsonOption, console_of, escape, print_json


def sample_crm(
    path: Annotated[
        Path | None, typer.Option(help=f"The file to write; {SAMPLE} in INGEST_HOME by default.")
    ] = None,
    documents: Annotated[int, typer.Option(help="How many records.", min=20, max=2_000_000)] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same CRM.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a CRM with natural text and known duplicates; its ground truth goes to a CSV file beside it."""
    from ingest_assets.sources.crm.sample import write_sample

    target = path or load_settings().ingest_home / SAMPLE
    target.parent.mkdir(parents=True, exist_ok=True)
    truth = write_sample(target, documents, seed, overwrite=overwrite)
    if json:
        return print_json({"path": str(target), "truth": str(truth.truth_path), "documents": truth.documents})
    console_of().print(
        f"Wrote {truth.documents:,} records to {escape(str(target))}, and which are the same person or "
        f"organisation to {escape(str(truth.truth_path))}."
    )
    return None
