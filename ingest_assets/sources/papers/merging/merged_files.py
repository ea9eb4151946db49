"""The four files of `medlit_merged`, as the old scripts write and read them.

What belongs here: their JSON. What does not: what is in them (`merged`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.merging.merged import (
    Merged,
    MergedEntity,
    MergedRelationship,
    NamedAs,
    SynonymPair,
)

NAMES = ("entities.json", "relationships.json", "id_map.json", "synonym_cache.json")


def merged_files(merged: Merged) -> Iterator[tuple[str, bytes]]:
    """The files, one after the other: name and content."""
    yield "entities.json", _written([_entity(each) for each in merged.entities])
    yield "relationships.json", _written(_relationships(merged))
    yield "id_map.json", _written(merged.id_map)
    yield "synonym_cache.json", _written(_synonym_cache(merged))


def entity_rows(merged: Merged) -> Iterator[tuple[str, bytes]]:
    """The rows of `entities.json`, each with the id of its entity, in one line."""
    return ((each.id, to_json(_entity(each))) for each in merged.entities)


def read_merged(folder: Path) -> Merged:
    """What pass 3 needs of the files, if it is run alone. Raises ConfigurationError if one is missing."""
    try:
        entities, relationships, id_map = (from_json((folder / name).read_bytes()) for name in NAMES[:3])
        return Merged(
            entities=tuple(_entity_of(each) for each in entities),
            relationships=tuple(_relationship_of(each) for each in relationships),
            id_map={paper: dict(members) for paper, members in id_map.items()},
            synonym_pairs=(),
            aliases={},
            remarks=(),
        )
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read: {error.strerror}. Run pass 2 first, or name its folder."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"The files in {folder} are not those of pass 2 ({type(error).__name__}). Run pass 2 again."
        ) from error


def _entity_of(written: dict[str, Any]) -> MergedEntity:
    canonical = written["canonical_id"]
    return MergedEntity(
        id=written["entity_id"],
        entity_class=written["class"],
        name=written["name"],
        synonyms=tuple(written["synonyms"]),
        ids=tuple(written.get("ids", [canonical] if canonical else [])),
        source=written["source"],
        papers=tuple(written["source_papers"]),
    )


def _relationship_of(written: dict[str, Any]) -> MergedRelationship:
    return MergedRelationship(
        subject=written["subject"],
        predicate=written["predicate"],
        object=written["object"],
        evidence_ids=tuple(written["evidence_ids"]),
        papers=tuple(written["source_papers"]),
        confidence=written["confidence"],
        asserted_by=tuple(written.get("asserted_by", ())),
    )


def _written(content: object) -> bytes:
    return to_json(content, indent=2) + b"\n"


def _entity(entity: MergedEntity) -> dict[str, Any]:
    return {
        "entity_id": entity.id,
        "canonical_id": entity.id if entity.is_canonical else None,
        "class": entity.entity_class,
        "name": entity.name,
        "synonyms": entity.synonyms,
        "source": entity.source,
        "source_papers": entity.papers,
        "ids": entity.ids,
    }


def _relationships(merged: Merged) -> list[dict[str, Any]]:
    return [
        {
            "subject": each.subject,
            "predicate": each.predicate,
            "object": each.object,
            "evidence_ids": each.evidence_ids,
            "source_papers": each.papers,
            "confidence": each.confidence,
            "asserted_by": each.asserted_by,
        }
        for each in merged.relationships
    ]


def _synonym_cache(merged: Merged) -> dict[str, list[dict[str, Any]]]:
    """Pairs by one of their names, in small letters, as the old scripts look them up."""
    cache: dict[str, list[dict[str, Any]]] = {}
    for pair in merged.synonym_pairs:
        cache.setdefault(pair.left.name.lower(), []).append(_pair(pair))
    return {name: cache[name] for name in sorted(cache)}


def _pair(pair: SynonymPair) -> dict[str, Any]:
    return {
        "entity_a": _named(pair.left),
        "entity_b": _named(pair.right),
        "confidence": pair.confidence,
        "asserted_by": pair.asserted_by,
        "resolution": "merged" if pair.merged else None,
        "source_papers": pair.papers,
    }


def _named(entity: NamedAs) -> dict[str, str]:
    return {"name": entity.name, "class": entity.entity_class, "canonical_id": entity.id}
