"""Options that several commands share. Their choices and help texts come from the sources."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest_assets.fields import BOUNDS, COMMON_FIELDS
from ingest_assets.sources.registry import load_sources
from ingest_assets.terminal import JsonOption as Json

__all__ = ["FILTER_HELP", "AllowRemovals", "EntitySource", "Json", "Part", "Source", "require_source"]

# What commands that run something exit with.
DONE, FAILED, WRONG, PARKED = 0, 1, 2, 3

_sources = load_sources()
_NAMES = ", ".join(_sources)
_WITH_ENTITIES = ", ".join(each.name for each in _sources.with_entities())
_NOUNS = sorted({each.partitions.noun for each in _sources.values() if each.partitions})

Source = Annotated[
    str | None, typer.Option(help=f"The source: {_NAMES}. By default the first that is indexed.")
]
EntitySource = Annotated[
    str | None,
    typer.Option("--source", help=f"A source with entities: {_WITH_ENTITIES}. By default the first one."),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        *(f"--{noun}" for noun in _NOUNS),
        help=f"Only this part ({', '.join(_NOUNS)}) of a source, by its id. By default all parts.",
    ),
]

AllowRemovals = Annotated[
    bool,
    typer.Option(
        "--allow-removals",
        help="Remove what is gone, however much it is. Without this, a run is stopped before it removes more "
        "than INGEST_REMOVAL_GUARD_SHARE and INGEST_REMOVAL_GUARD_COUNT say.",
    ),
]


def _filter_help() -> str:
    common = [each.name for each in (*COMMON_FIELDS, *BOUNDS)]
    own = "".join(
        f" {source.name} also has {', '.join(each.name for each in source.search_fields())}."
        for source in _sources.values()
        if source.search_fields()
    )
    return (
        "Only hits with this value, for example kind=email or since=2026-01-31. Repeat the option for more "
        "fields, which must all match, or for more values of a field, one of which must match. Numbers and "
        f"times can be ranges such as 10..20. Every source has the fields {', '.join(common)}.{own} "
        "Settings can add fields, such as those of a mapping."
    )


FILTER_HELP = _filter_help()


def require_source(source: str | None) -> None:
    """Raises BadParameter, exit status 2, if there is no such source."""
    if source is not None and source not in _sources:
        raise typer.BadParameter(f"there is no source {source!r}. Sources: {', '.join(_sources)}.")
