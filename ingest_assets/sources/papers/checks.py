"""The standing checks of the knowledge graph.

What belongs here: what is checked, and the sentence that says what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_name,
    graph_relationship,
    graph_state,
    paper_bundle,
    paper_file,
)
from ingest_assets.ledger.store import pages
from ingest_assets.sources.papers.file_rows import read_file
from ingest_assets.sources.papers.graph_stages import graph_counts
from ingest_assets.sources.papers.merging import graph_bundle
from ingest_assets.sources.papers.places import workspace_of
from ingest_assets.sources.papers.settings import BUNDLES, GRAPH, MERGED, PaperSettings
from ingest_assets.stages.shapes import AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LISTED = 20
PAGE = 1_000


def _every_paper_has_a_bundle(bench: Workbench, _source: str) -> CheckResult:
    there = sa.exists().where(paper_bundle.c.paper_id == paper_file.c.paper_id)
    query = sa.select(paper_file.c.paper_id).where(read_file(), ~there)
    if bench.settings_of(PaperSettings).pass1_llm_backend == "none":
        return CheckResult(passed=True, sentence="Bundles are made by others (PASS1_LLM_BACKEND=none).")
    with bench.ledger.reading() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        first = connection.scalars(query.order_by(paper_file.c.paper_id).limit(LISTED)).all()
    said = f"Papers without a bundle: {count:,} ({', '.join(first)}). `ingest parked` says why."
    return CheckResult(count == 0, said if count else "Every paper has one.", {"lacking": count})


def _every_bundle_has_its_paper(bench: Workbench, _source: str) -> CheckResult:
    """Of a workspace that was taken over, or a bundle that others made, the paper may not have been added."""
    there = sa.exists().where(paper_file.c.paper_id == paper_bundle.c.paper_id, read_file())
    query = sa.select(paper_bundle.c.paper_id).where(~there)
    with bench.ledger.reading() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        first = connection.scalars(query.order_by(paper_bundle.c.paper_id).limit(LISTED)).all()
    said = f"{count:,} bundles are in the graph, but their papers cannot be searched: {', '.join(first)}."
    return CheckResult(count == 0, said if count else "Every bundle's paper is there.", {"lacking": count})


def _ids_resolve(bench: Workbench, source: str) -> CheckResult:
    there = sa.select(graph_entity.c.entity_id).where(graph_entity.c.source == source)
    asked = {
        "subjects": (graph_relationship, graph_relationship.c.subject_id),
        "objects": (graph_relationship, graph_relationship.c.object_id),
        "mentions": (graph_mention, graph_mention.c.entity_id),
        "names": (graph_name, graph_name.c.entity_id),
    }
    wrong: dict[str, int] = {}
    with bench.ledger.reading() as connection:
        for what, (table, column) in asked.items():
            query = sa.select(sa.func.count()).select_from(table)
            wrong[what] = connection.scalar(query.where(table.c.source == source, column.not_in(there))) or 0
        told = graph_relationship.alias()
        key = told.c.subject_id + ":" + told.c.predicate + ":" + told.c.object_id
        keys = sa.select(key).where(told.c.source == source)
        lost = (
            sa.select(sa.func.count())
            .select_from(graph_evidence)
            .where(graph_evidence.c.source == source, graph_evidence.c.relationship_key.not_in(keys))
        )
        wrong["evidence"] = connection.scalar(lost) or 0
    bad = sum(wrong.values())
    return CheckResult(bad == 0, f"{bad:,} ids lead nowhere.", wrong)


def _offsets_quote_the_text(bench: Workbench, source: str) -> CheckResult:
    """Reads every mention and every piece of evidence, paper by paper."""
    checked, wrong = 0, []
    for paper_id, sections in _texts(bench):
        for row in _placed(bench, source, paper_id):
            text = sections.get(row["section"])
            checked += 1
            if text is None or text[row["start_offset"] : row["end_offset"]] != row["text_span"]:
                wrong.append(f"{paper_id}/{row['section']}: {row['text_span'][:80]!r}")
    said = f"{checked:,} offsets, of which {len(wrong):,} do not quote the text."
    return CheckResult(not wrong, said, {"checked": checked, "wrong": wrong[:LISTED]})


def _texts(bench: Workbench) -> Iterator[tuple[str, dict[str, str]]]:
    query = sa.select(paper_file.c.file, paper_file.c.paper_id, paper_file.c.article).where(read_file())
    for page in pages(bench.ledger, query, paper_file.c.file, 50):
        for row in page:
            sections = json.loads(row.article)["sections"]
            yield row.paper_id, {each["id"]: each["text"] for each in sections}


def _placed(bench: Workbench, source: str, paper_id: str) -> Iterator[dict[str, Any]]:
    with bench.ledger.reading() as connection:
        for table in (graph_mention, graph_evidence):
            query = sa.select(table.c.row).where(
                table.c.source == source, table.c.document_id == paper_id, table.c.section.is_not(None)
            )
            for text in connection.scalars(query):
                yield json.loads(text)


def _counts_agree(bench: Workbench, source: str) -> CheckResult:
    """Of the manifest, the files and the tables."""
    workspace = workspace_of(bench)
    manifest = graph_bundle.read_manifest(workspace) or {}
    with bench.ledger.reading() as connection:
        tables = graph_counts(connection, source)
        recorded = connection.scalar(sa.select(graph_state.c.bundle_id).filter_by(source=source))
    files = {kind: _lines(workspace.graph / f"{kind}.jsonl") for kind in tables}
    said = manifest.get("metadata", {})
    singular = {"entities": "entity", "relationships": "relationship", "mentions": "mention"}
    in_manifest = {kind: said.get(f"{singular.get(kind, kind)}_count") for kind in tables}
    if recorded is None:
        return CheckResult(passed=not any(tables.values()), sentence="No graph was made yet.")
    agree = files == tables and recorded == manifest.get("bundle_id") and graph_bundle.is_whole(workspace)
    agree = agree and all(tables[kind] == count for kind, count in in_manifest.items())
    sentence = (
        "Manifest, files and tables agree." if agree else "Manifest, files and tables differ: run a refresh."
    )
    return CheckResult(agree, sentence, {"manifest": in_manifest, "files": files, "tables": tables})


def _lines(path: Any) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _nothing_provisional_is_known(bench: Workbench, source: str) -> CheckResult:
    """No entity without an authority's id has the name and class of one that has an id of its own."""
    known = graph_entity.alias()
    same = sa.exists().where(
        known.c.source == graph_entity.c.source,
        known.c.folded == graph_entity.c.folded,
        known.c.entity_class == graph_entity.c.entity_class,
        ~known.c.provisional,
    )
    query = sa.select(graph_entity.c.name).where(
        graph_entity.c.source == source, graph_entity.c.provisional, same
    )
    with bench.ledger.reading() as connection:
        found = connection.scalars(query.order_by(graph_entity.c.name).limit(LISTED)).all()
    sentence = f"An authority knows {', '.join(found)}." if found else "None that an authority knows."
    return CheckResult(not found, sentence, {"found": len(found)})


GRAPH_CHECKS = (
    AssetCheck(
        name="every_paper_has_a_bundle",
        stage=BUNDLES,
        description="Every paper whose text is kept has a bundle.",
        run=_every_paper_has_a_bundle,
    ),
    AssetCheck(
        name="every_bundle_has_its_paper",
        stage=BUNDLES,
        description="Of every bundle the paper itself was added, so that it can be searched.",
        run=_every_bundle_has_its_paper,
        warns=True,
    ),
    AssetCheck(
        name="nothing_provisional_is_known",
        stage=MERGED,
        description="No entity without an authority's id has the name and class of one that has such an id.",
        run=_nothing_provisional_is_known,
        warns=True,
        quick=False,
    ),
    AssetCheck(
        name="ids_resolve",
        stage=GRAPH,
        description="Every subject, object, mention, name and piece of evidence leads to something there.",
        run=_ids_resolve,
        quick=False,
    ),
    AssetCheck(
        name="offsets_quote_the_text",
        stage=GRAPH,
        description="Every mention and piece of evidence with offsets is what stands there in its section.",
        run=_offsets_quote_the_text,
        quick=False,
    ),
    AssetCheck(
        name="counts_agree",
        stage=GRAPH,
        description="The graph bundle's files are those of its manifest, and have the ledger's counts.",
        run=_counts_agree,
        quick=False,
    ),
)
