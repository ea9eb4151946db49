"""A CRM: people, organisations and what happened between them, in one SQLite file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ingest_assets.fields import FilterField
from ingest_assets.ledger.installation import printable
from ingest_assets.model import ConfigurationError, Source
from ingest_assets.settings import Settings
from ingest_assets.sources.crm.settings import CrmSettings, crm_path
from ingest_assets.sources.definition import Missing, SourceDefinition, Triggers, Words
from ingest_assets.sources.stages import (
    chunks_stage,
    documents_stage,
    record_chunker,
    resolution_checks,
    resolution_stages,
)
from ingest_assets.stages.origins import Origin
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    import typer

    from ingest_assets.workbench import Workbench

NAME, RECORDS = "crm", "records"
_NOT_SET = Missing(
    "CRM_DB_PATH is not set",
    "Set it to the CRM's SQLite file, or write a sample one with `ingest sample crm`.",
)


def _open(bench: Workbench, _part: str) -> Source:
    from ingest_assets.sandbox.reading import ConfinedSource
    from ingest_assets.sources.crm.absent import AbsentCrm
    from ingest_assets.sources.crm.mapping import load_mapping
    from ingest_assets.sources.crm.reader import CrmSource
    from ingest_assets.sources.notes import WithNotes

    path, own = crm_path(bench.settings), bench.settings.of(CrmSettings)
    if path is None:
        return WithNotes(AbsentCrm(bench.ledger, NAME, RECORDS), bench.ledger)
    mapping = load_mapping(own.crm_mapping_path)
    crm = CrmSource(path, mapping, max_document_chars=own.crm_max_document_chars)
    return WithNotes(ConfinedSource(crm, bench.sandbox), bench.ledger)


def _origin(bench: Workbench) -> Origin | None:
    """The CRM's file; None if there are only notes, or if it does not exist, which reading it reports."""
    path = crm_path(bench.settings)
    if path is None or not path.exists():
        return None
    configured = bench.settings.of(CrmSettings).crm_db_path is not None
    return Origin(printable(os.path.normpath(path.absolute())), kept=configured)


def _missing(bench: Workbench) -> Missing | None:
    """What is missing: a CRM, or notes if none is configured.

    Raises ConfigurationError when the mapping is wrong, and when none is configured although a CRM was
    indexed, here or by another ledger.
    """
    if crm_path(bench.settings) is not None:
        from ingest_assets.sources.crm.mapping import load_mapping

        load_mapping(bench.settings.of(CrmSettings).crm_mapping_path)
        return None
    if not bench.has_ledger:
        return _NOT_SET
    from ingest_assets.sources.crm.absent import AbsentCrm
    from ingest_assets.sources.notes import notes_remain

    AbsentCrm(bench.ledger, NAME, RECORDS).require_no_records()
    if not notes_remain(bench.ledger, NAME, bench.sources[NAME].collection):
        return _NOT_SET
    _require_ours(bench)
    return None


def _require_ours(bench: Workbench) -> None:
    """Notes alone do not replace a collection made by another ledger: it may hold a CRM."""
    from ingest_assets.stages.generations import is_known

    collection = bench.sources[NAME].collection
    live = bench.store.live(collection)
    if live is not None and not is_known(bench.ledger, collection, live):
        raise ConfigurationError(
            f"CRM_DB_PATH is not set, and {collection} was made with another ledger: notes alone do "
            "not replace it. Set CRM_DB_PATH, or use a store of your own."
        )


def _more_fields(settings: Settings) -> tuple[FilterField, ...]:
    """The fields that the mapping declares."""
    path = settings.of(CrmSettings).crm_mapping_path
    if path is None:
        return ()
    from ingest_assets.sources.crm.mapping import load_mapping

    return load_mapping(path).filter_fields()


def _doctor(bench: Workbench) -> Iterable[Finding]:
    from ingest_assets.sources.crm.doctor import findings

    return findings(bench)


def _commands(_app: typer.Typer, sample: typer.Typer) -> None:
    from ingest_assets.sources.crm.commands import sample_crm

    sample.command("crm")(sample_crm)


SOURCE = SourceDefinition(
    name=NAME,
    title="CRM",
    words=Words(
        about="people, organisations, interactions and notes",
        example_query="may cancel because of the price",
        example_filters={"kind": "email", "since": "2026-01-01"},
        example_document="people/42",
    ),
    settings=CrmSettings,
    open=_open,
    missing=_missing,
    origin=_origin,
    stages=(
        documents_stage(
            RECORDS,
            "One row per record of the source: people, organisations, interactions and opportunities of a "
            "CRM, rendered to a title, header fields and a body. Read through a read-only connection; a "
            "record counts as changed when the digest of its columns changes.",
            kinds=("sqlite",),
        ),
        *resolution_stages(RECORDS),
        chunks_stage(
            RECORDS,
            "One row per chunk: the header lines of its record, then a piece of the body within the budget. "
            "Ids are derived from content, so that an edit at the top of a text does not change the chunks "
            "below it.",
        ),
    ),
    chunker=record_chunker,
    more_fields=_more_fields,
    triggers=Triggers(
        schedule="refresh_search_index_schedule",
        sensor_description="Refreshes soon after the source has changed. For an unchanged source, only the "
        "headers of its files are read.",
    ),
    refresh_job="refresh_search_index",
    build_job="build_search_index",
    checks=resolution_checks,
    doctor=_doctor,
    takes_notes=True,
    commands=_commands,
)
