"""The CRM that the settings name, as a database.

What belongs here: which database it is, and what the default mapping says in its dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest_assets.settings import Settings
from ingest_assets.sources.crm.databases import CrmDatabase
from ingest_assets.sources.crm.mapping import CrmMapping, load_mapping
from ingest_assets.sources.crm.settings import CrmSettings, crm_path

# What the default mapping says in SQLite's dialect, in the others: by kind of document and column.
_IN_DIALECT = {
    "postgres": {
        ("interactions", "participants"): "SELECT string_agg(people.name, ', ' ORDER BY person_id) "
        "FROM interaction_participants JOIN people ON people.id = person_id "
        "WHERE interaction_id = document.id",
    },
    "mysql": {
        (
            "interactions",
            "participants",
        ): "SELECT group_concat(people.name ORDER BY person_id SEPARATOR ', ') "
        "FROM interaction_participants JOIN people ON people.id = person_id "
        "WHERE interaction_id = document.id",
    },
}


def crm_database(settings: Settings, mapping: CrmMapping | None = None) -> CrmDatabase | None:
    """The CRM to read: a server's, a file or a folder; None if there is none.

    With a `mapping`, a folder is prepared for its lookups.
    """
    own = settings.of(CrmSettings)
    if own.crm_db_url is not None:
        from ingest_assets.sources.crm.databases.servers import open_server

        return open_server(own.crm_db_url.get_secret_value(), own.crm_query_timeout_s)
    path = crm_path(settings)
    return None if path is None else file_database(path, mapping)


def file_database(path: Path, mapping: CrmMapping | None = None) -> CrmDatabase:
    """The CRM at a path: a folder of CSV files, or an SQLite file."""
    if path.is_dir():
        from ingest_assets.sources.crm.databases.csv_folder import CsvFolder

        return CsvFolder(path, tuple(_lookups(mapping)) if mapping else ())
    from ingest_assets.sources.crm.databases.sqlite import SqliteFile

    return SqliteFile(path)


def crm_mapping(settings: Settings, dialect: str) -> CrmMapping:
    """The mapping to read it with: the configured one, or the default one in the database's dialect."""
    path = settings.of(CrmSettings).crm_mapping_path
    mapping = load_mapping(path)
    return mapping if path is not None else in_dialect(mapping, dialect)


def in_dialect(default: CrmMapping, dialect: str) -> CrmMapping:
    """The default mapping for a database of another dialect than SQLite's."""
    changed = _IN_DIALECT.get(dialect)
    if not changed:
        return default
    documents = []
    for each in default.documents:
        own = {column: sql for (name, column), sql in changed.items() if name == each.name}
        documents.append(each.model_copy(update={"columns": {**each.columns, **own}}) if own else each)
    return default.model_copy(update={"documents": tuple(documents)})


def _lookups(mapping: CrmMapping) -> Iterator[str]:
    for each in mapping.documents:
        yield from each.columns.values()
        yield from (ref.query for ref in each.refs if ref.query)
