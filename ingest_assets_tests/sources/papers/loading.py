"""Loads the rows of a kgbundle into a ledger's tables, for tests of what asks them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import Ledger, graph_tables
from ingest_assets.ledger.store import batched, upsert
from ingest_assets.model import digest_of
from ingest_assets.sources.papers.graph.names import (
    folded_names,
    looked_up,
    name_words,
    relationship_digest,
)
from ingest_assets.sources.papers.merging.graph_rows import relationship_key
from ingest_assets_tests.support.data_sets import REQUIRED, SHARED

PLACE = "data/papers/bundles/medlit_bundle"
Json = dict[str, Any]


@dataclass
class Rows:
    """A bundle's rows, as in its files."""

    entities: list[Json] = field(default_factory=list)
    relationships: list[Json] = field(default_factory=list)
    mentions: list[Json] = field(default_factory=list)
    evidence: list[Json] = field(default_factory=list)
    manifest: Json = field(default_factory=lambda: {"bundle_id": "b1", "bundle_version": "v1"})


def old_bundle() -> Rows:
    """The graph that the old system built of 39 papers; skips the test where it is absent."""
    folder = SHARED / PLACE
    if not folder.exists():
        if os.environ.get(REQUIRED, "0") not in {"", "0"}:
            pytest.fail(f"shared/{PLACE} is absent, and {REQUIRED} demands it", pytrace=False)
        pytest.skip(f"there is no substitute for shared/{PLACE}")
    names = ("entities", "relationships", "mentions", "evidence")
    rows = {name: _lines(folder / f"{name}.jsonl") for name in names}
    return Rows(**rows, manifest=json.loads((folder / "manifest.json").read_text("utf-8")))


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def entity(key: str, name: str, kind: str = "Disease", synonyms: Sequence[str] = (), **more: Any) -> Json:
    return {
        "entity_id": key,
        "entity_type": kind,
        "name": name,
        "status": "canonical",
        "canonical_url": None,
        "properties": {"synonyms": list(synonyms), "ids": [key]},
        "total_mentions": 1,
        "supporting_documents": ["PMC1"],
        **more,
    }


def relationship(subject: str, predicate: str, target: str, confidence: float = 0.5, **more: Any) -> Json:
    return {
        "subject_id": subject,
        "predicate": predicate,
        "object_id": target,
        "confidence": confidence,
        "evidence_count": 0,
        "source_documents": ["PMC1"],
        **more,
    }


def evidence(of: Mapping[str, Any], text: str, paper: str = "PMC1", confidence: float = 0.5) -> Json:
    return {
        "relationship_key": relationship_key(of["subject_id"], of["predicate"], of["object_id"]),
        "document_id": paper,
        "section": "results",
        "start_offset": 0,
        "end_offset": len(text),
        "text_span": text,
        "confidence": confidence,
        "supports": True,
    }


def load(ledger: Ledger, rows: Rows, source: str = "papers") -> None:
    """Put the rows into the tables."""
    ids = [each["entity_id"] for each in rows.entities]
    names = [(each["entity_id"], folded_names(each), name_words(each)) for each in rows.entities]
    counts = {
        "entity": len(ids),
        "relationship": len(rows.relationships),
        "mention": len(rows.mentions),
        "evidence": len(rows.evidence),
    }
    state = {
        "source": source,
        "bundle_id": rows.manifest["bundle_id"],
        "manifest": json.dumps(rows.manifest),
        "counts": json.dumps(counts),
        "files": "{}",
    }
    tables: list[tuple[Any, Iterable[Json]]] = [
        (graph_tables.graph_entity, map(_entity, rows.entities)),
        (graph_tables.graph_name, ({"entity_id": i, "folded": n} for i, many, _ in names for n in many)),
        (graph_tables.graph_word, ({"entity_id": i, "word": w} for i, _, many in names for w in many)),
        (graph_tables.graph_relationship, map(_relationship, rows.relationships)),
        (graph_tables.graph_mention, (_mention(i, row) for i, row in enumerate(rows.mentions))),
        (graph_tables.graph_evidence, (_evidence(i, row) for i, row in enumerate(rows.evidence))),
    ]
    with ledger.transaction() as connection:
        upsert(connection, graph_tables.graph_state, [state])
        for table, found in tables:
            for part in batched(found, 20_000):
                connection.execute(table.insert(), [{"source": source, **row} for row in part])


def add_paper(ledger: Ledger, paper_id: str, rank: int = 0, **facts: Any) -> None:
    """A paper's file, of which only the facts matter here."""
    row = {
        "file": f"{paper_id}.{rank}",
        "paper_id": paper_id,
        "rank": rank,
        "size": 0,
        "mtime_ns": 0,
        "parser": "",
        "digest": digest_of(paper_id),
        "error": None,
        "article": "{}",
        "made_from": "",
        "doi": "",
        "pmid": "",
        "facts": json.dumps(facts),
        "notices": "[]",
        "sections": "[]",
    }
    with ledger.transaction() as connection:
        upsert(connection, graph_tables.paper_file, [row])


def _entity(row: Json) -> Json:
    return {
        "entity_id": row["entity_id"],
        "digest": digest_of(json.dumps(row)),
        "entity_class": row["entity_type"],
        "name": row["name"],
        "folded": looked_up(row["name"]),
        "synonyms": json.dumps(row["properties"].get("synonyms", [])),
        "provisional": row["status"] == "provisional",
        "documents": json.dumps(row["supporting_documents"]),
        "mentions": row["total_mentions"],
        "row": json.dumps(row),
    }


def _relationship(row: Json) -> Json:
    ends = row["subject_id"], row["predicate"], row["object_id"]
    return {
        "key": relationship_digest(*ends),
        "digest": relationship_digest(*ends),
        "subject_id": ends[0],
        "predicate": ends[1],
        "object_id": ends[2],
        "confidence": row["confidence"],
        "evidence_count": row["evidence_count"],
        "documents": json.dumps(row["source_documents"]),
        "row": json.dumps(row),
    }


def _mention(number: int, row: Json) -> Json:
    # Old mentions are not told apart by what they say.
    return {
        "key": digest_of(str(number)),
        "entity_id": row["entity_id"],
        "document_id": row["document_id"],
        "section": row["section"],
        "row": json.dumps(row),
    }


def _evidence(number: int, row: Json) -> Json:
    return {
        "key": digest_of(str(number)),
        "relationship_key": row["relationship_key"],
        "document_id": row["document_id"],
        "section": row["section"],
        "confidence": row["confidence"],
        "row": json.dumps(row),
    }
