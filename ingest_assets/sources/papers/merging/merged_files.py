"""The four files of `medlit_merged`, as the old scripts write and read them.

What belongs here: their JSON. What does not: what is in them (`merged`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from ingest_assets.model import ConfigurationError, digest_of
from ingest_assets.sources.papers.merging.batches import batched
from ingest_assets.sources.papers.merging.merged import (
    Merged,
    MergedEntity,
    MergedRelationship,
    NamedAs,
    SynonymPair,
)

NAMES = ("entities.json", "relationships.json", "id_map.json", "synonym_cache.json")
_BLOCK = 1 << 20  # bytes that are read together
_FIRST, _BETWEEN, _LAST = b"[\n", b"\n  },\n", b"\n  }\n]\n"


def merged_files(merged: Merged) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files, one after the other: name, and content in pieces, of which one is in memory at a time."""
    yield "entities.json", _list(map(_entity, merged.entities))
    yield "relationships.json", _list(map(_relationship, merged.relationships))
    yield "id_map.json", _object(merged.id_map.items())
    yield "synonym_cache.json", _object(_synonym_cache(merged).items())


def entity_digests(merged: Merged) -> dict[str, str]:
    """The entities, each with a digest of its row in `entities.json`."""
    return {each.id: digest_of(to_json(_entity(each))) for each in merged.entities}


def digests_in(folder: Path) -> dict[str, str]:
    """The same of the file that is there; nothing if it is not as we write it."""
    try:
        return {row["entity_id"]: digest_of(to_json(row)) for row in _rows_in(folder / "entities.json")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _rows_in(path: Path) -> Iterator[Any]:
    """The rows of a list as `_list` writes it. Raises ValueError if it is another."""
    with path.open("rb") as file:
        rest = file.read(len(_FIRST))
        if rest != _FIRST:
            if rest + file.read() != b"[]\n":
                raise ValueError(f"{path.name} does not begin as we write it")
            return
        while block := file.read(_BLOCK):
            *rows, rest = (rest + block).split(_BETWEEN)
            for row in rows:
                yield from_json(row.removeprefix(_FIRST) + b"}")
        if not rest.endswith(_LAST):
            raise ValueError(f"{path.name} does not end as we write it")
        yield from_json(rest.removeprefix(_FIRST).removesuffix(_LAST) + b"}")


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


def _list(rows: Iterable[object]) -> Iterator[bytes]:
    return _in_brackets(b"[]", map(list, batched(rows)))


def _object(items: Iterable[tuple[str, object]]) -> Iterator[bytes]:
    return _in_brackets(b"{}", map(dict, batched(items)))


def _in_brackets(brackets: bytes, batches: Iterable[object]) -> Iterator[bytes]:
    """All batches as one indented list or object."""
    begun = False
    for batch in batches:
        yield b",\n" if begun else brackets[:1] + b"\n"
        yield to_json(batch, indent=2)[2:-2]
        begun = True
    yield b"\n" + brackets[1:] + b"\n" if begun else brackets + b"\n"


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


def _relationship(relationship: MergedRelationship) -> dict[str, Any]:
    return {
        "subject": relationship.subject,
        "predicate": relationship.predicate,
        "object": relationship.object,
        "evidence_ids": relationship.evidence_ids,
        "source_papers": relationship.papers,
        "confidence": relationship.confidence,
        "asserted_by": relationship.asserted_by,
    }


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
