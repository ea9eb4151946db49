"""Which projects have which repositories.

A repository is indexed once: its files, chunks and points are those of every project that has it, at one ref.
It leaves the index when no project has it any longer.

What belongs here: the ledger's list of who has what. What does not: what a caller may see (`queries.reach`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import insert_if_absent
from ingest_assets.model import ConfigurationError

_has, _repository = tables.repository_project, tables.repository


def repositories_in(ledger: Ledger, projects: Collection[str]) -> Sequence[str]:
    """The ids of the repositories that any of these projects has, sorted."""
    query = sa.select(_has.c.repository_id).where(_has.c.project_id.in_(sorted(projects)))
    with ledger.reading() as connection:
        return connection.scalars(query.distinct().order_by(_has.c.repository_id)).all()


def projects_of(ledger: Ledger) -> Mapping[str, list[str]]:
    """The projects of every repository, by its id."""
    found: dict[str, list[str]] = {}
    with ledger.reading() as connection:
        for row in connection.execute(sa.select(_has).order_by(_has.c.repository_id, _has.c.project_id)):
            found.setdefault(row.repository_id, []).append(row.project_id)
    return found


def take(connection: sa.Connection, repository_id: str, project: str) -> None:
    """A project has a repository from now on."""
    row = {"repository_id": repository_id, "project_id": project, "added_at": time.time()}
    insert_if_absent(connection, _has, row)


def leave(connection: sa.Connection, repository_id: str, project: str | None) -> int:
    """A project, or every one (None), no longer has a repository. Returns how many still do.

    Raises ConfigurationError if this project does not have it.
    """
    mine = _of(repository_id, project)
    if not connection.execute(_has.delete().where(*mine)).rowcount and project is not None:
        raise ConfigurationError(f"The project {project!r} does not have the repository {repository_id}.")
    rest = sa.select(sa.func.count()).select_from(_has).where(*_of(repository_id))
    return connection.scalar(rest) or 0


def require_ref(connection: sa.Connection, repository_id: str, ref: str | None, project: str) -> None:
    """Raises JobTargetError if other projects have the repository at another ref: it has one for all."""
    others = sa.exists().where(*_of(repository_id), _has.c.project_id != project)
    kept = sa.select(_repository.c.ref).where(
        _repository.c.id == repository_id, ~_repository.c.removed, others
    )
    for row in connection.execute(kept):
        if row.ref != ref:
            raise JobTargetError(
                "The repository is indexed at another ref, which it has for all who use it. Leave the ref "
                "out to use it as it is; an operator can change it for all with `ingest repository add`."
            )


def _of(repository_id: str, project: str | None = None) -> list[sa.ColumnElement[Any]]:
    mine: list[sa.ColumnElement[Any]] = [_has.c.repository_id == repository_id]
    return mine if project is None else [*mine, _has.c.project_id == project]
