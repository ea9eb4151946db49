"""What Dagster shows of the bundles and of the graph: counts, classes, and a picture of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.characters import visible
from ingest_assets.ledger.graph_tables import graph_entity, graph_relationship, graph_state, paper_bundle
from ingest_assets.model import Markdown
from ingest_assets.sources.papers.settings import NAME

if TYPE_CHECKING:
    from ingest_assets.reconcile import Stage
    from ingest_assets.workbench import Workbench

SHOWN = 12  # classes and predicates
LISTED = 50  # sentences on what was left out
WIDTH = 30  # characters of the longest bar


def bundles_metadata(bench: Workbench, stage: Stage) -> dict[str, Any]:
    """Who made the bundles, how long an extraction took, and how many await being asked for again."""
    t = paper_bundle
    query = sa.select(t.c.extractor, sa.func.count()).group_by(t.c.extractor)
    with bench.ledger.reading() as connection:
        made = {who or "others": count for who, count in connection.execute(query)}
    seconds = getattr(stage, "extracted", {})
    found: dict[str, Any] = {"bundles": sum(made.values()), "made_by": Markdown(_bars(made))}
    left_out = getattr(stage, "left_out", {})
    said = [f"{paper}: {each}" for paper in sorted(left_out) for each in left_out[paper]]
    said += [f"{name}: not named as a paper's bundle is: paper_ID.json." for name in _misnamed(bench)]
    if said:
        found["left_out"] = Markdown(_listed(said))
    if seconds:
        found["extracted"] = len(seconds)
        found["seconds_per_paper"] = round(sum(seconds.values()) / len(seconds), 3)
    if outdated := getattr(stage, "outdated", []):
        found["outdated"] = len(outdated)
    return found


def merged_metadata(stage: Stage) -> dict[str, Any]:
    """What merging has to say of ids, names and decisions that do not fit."""
    remarks = list(getattr(stage, "remarks", ()))
    return {"remarks": Markdown(_listed(remarks))} if remarks else {}


def _misnamed(bench: Workbench) -> list[str]:
    from ingest_assets.sources.papers.places import workspace_of

    return workspace_of(bench).misnamed_files()


def _listed(sentences: list[str]) -> str:
    """A list, as code: what is in it comes from papers."""
    lines = [f"- `{visible(each).replace('`', chr(39))}`" for each in sentences[:LISTED]]
    more = [f"- {len(sentences) - LISTED:,} more"] if len(sentences) > LISTED else []
    return "\n".join([*lines, *more])


def graph_metadata(bench: Workbench) -> dict[str, Any]:
    """The size of the graph, and what it is made of."""
    from ingest_assets.sources.papers.graph_stages import graph_counts

    with bench.ledger.reading() as connection:
        counts: dict[str, Any] = dict(graph_counts(connection, NAME))
        classes = _counted(connection, graph_entity.c.entity_class)
        predicates = _counted(connection, graph_relationship.c.predicate)
        state = connection.execute(sa.select(graph_state).filter_by(source=NAME)).one_or_none()
    counts["classes"] = Markdown(_bars(classes))
    counts["predicates"] = Markdown(_bars(predicates))
    if state is not None:
        counts["bundle_id"] = state.bundle_id
        counts["manifest"] = Markdown(f"```json\n{json.dumps(json.loads(state.manifest), indent=2)}\n```")
    return counts


def _counted(connection: sa.Connection, column: sa.Column[str]) -> dict[str, int]:
    count = sa.func.count()
    query = sa.select(column, count).where(column.table.c.source == NAME).group_by(column)
    return {row[0]: row[1] for row in connection.execute(query.order_by(count.desc(), column))}


def _bars(counts: dict[str, int]) -> str:
    """A table with a bar for each count, the largest first."""
    if not counts:
        return "None."
    most = max(counts.values())
    rows = [
        f"| {name} | {count:,} | {'█' * max(1, round(WIDTH * count / most))} |"
        for name, count in list(counts.items())[:SHOWN]
    ]
    more = [f"| {len(counts) - SHOWN} more | | |"] if len(counts) > SHOWN else []
    return "\n".join(["| | | |", "|---|---:|---|", *rows, *more])
