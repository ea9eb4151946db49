"""A CRM: people, organisations and what happened between them, in a file, a folder or a server's database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest_assets.fields import FilterField
from ingest_assets.ledger.installation import printable
from ingest_assets.model import ConfigurationError, Outcomes, Source
from ingest_assets.settings import Settings
from ingest_assets.sources.crm.settings import CrmSettings, crm_path, is_configured
from ingest_assets.sources.definition import Missing, SourceDefinition, Triggers, Words
from ingest_assets.sources.stages import (
    chunks_stage,
    documents_stage,
    record_chunker,
    resolution_checks,
    resolution_stages,
)
from ingest_assets.stages.origins import Origin
from ingest_assets.stages.shapes import AssetCheck, Finding

if TYPE_CHECKING:
    import typer

    from ingest_assets.reconcile import Stage
    from ingest_assets.workbench import Workbench

NAME, RECORDS = "crm", "records"
_NOT_SET = Missing(
    "CRM_DB_PATH is not set",
    "Set it to the CRM's SQLite file or folder of CSV files, or CRM_DB_URL to its server, or write a sample "
    "one with `ingest sample crm`.",
)


def _open(bench: Workbench, _part: str) -> Source:
    from ingest_assets.sandbox.reading import ConfinedSource
    from ingest_assets.sources.crm.absent import AbsentCrm
    from ingest_assets.sources.crm.place import crm_database, crm_mapping
    from ingest_assets.sources.crm.reader import CrmSource
    from ingest_assets.sources.notes import WithNotes

    found = crm_database(bench.settings)
    if found is None:
        return WithNotes(AbsentCrm(bench.ledger, NAME, RECORDS), bench.ledger)
    mapping = crm_mapping(bench.settings, found.dialect)
    database = crm_database(bench.settings, mapping) or found
    own = bench.settings.of(CrmSettings)
    crm = CrmSource(database, mapping, max_document_chars=own.crm_max_document_chars)
    return WithNotes(ConfinedSource(crm, bench.sandbox), bench.ledger)


def _origin(bench: Workbench) -> Origin | None:
    """The CRM's database; None if there is none, or if its file does not exist, which reading it reports."""
    from ingest_assets.sources.crm.place import crm_database

    database = crm_database(bench.settings)
    path = crm_path(bench.settings)
    if database is None or (bench.settings.of(CrmSettings).crm_db_url is None and path and not path.exists()):
        return None
    return Origin(printable(database.identity), kept=is_configured(bench.settings))


def _only_scheduled(bench: Workbench) -> str:
    from ingest_assets.sources.crm.place import crm_database

    database = crm_database(bench.settings)
    return database.uncounted if database else ""


def _missing(bench: Workbench) -> Missing | None:
    """What is missing: a CRM, or notes if none is configured.

    Raises ConfigurationError when the mapping is wrong, and when none is configured although a CRM was
    indexed, here or by another ledger.
    """
    if is_configured(bench.settings) or crm_path(bench.settings) is not None:
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


def _removed_on_purpose(_bench: Workbench) -> Callable[[str], bool]:
    """Notes are ours: one is gone only if somebody removed it."""
    from ingest_assets.notes import PREFIX

    return lambda document_id: document_id.startswith(PREFIX)


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


def _readings(bench: Workbench, stage: Stage, _outcomes: Outcomes) -> Mapping[str, Any]:
    from ingest_assets.sources.crm.checks import readings_metadata

    return readings_metadata(bench, stage.source)


def _checks() -> Sequence[AssetCheck]:
    from ingest_assets.sources.crm.checks import CRM_CHECKS

    return (*CRM_CHECKS, *resolution_checks())


def _commands(app: typer.Typer, sample: typer.Typer) -> None:
    from ingest_assets.sources.crm.commands import sample_crm
    from ingest_assets.sources.crm.mapping_tools.commands import mapping

    sample.command("crm")(sample_crm)
    app.add_typer(mapping, name="mapping")


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
    removed_on_purpose=_removed_on_purpose,
    stages=(
        documents_stage(
            RECORDS,
            "One row per record of the source: people, organisations, interactions and opportunities of a "
            "CRM, rendered to a title, header fields and a body. Read through a read-only connection; a "
            "record counts as changed when the digest of its columns changes.",
            kinds=("sql",),
            metadata=_readings,
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
        "headers of its files are read, or its server's count of transactions.",
        only_scheduled=_only_scheduled,
    ),
    refresh_job="refresh_search_index",
    build_job="build_search_index",
    checks=_checks,
    doctor=_doctor,
    takes_notes=True,
    commands=_commands,
)
