"""Bundles as files: reading others' with suspicion, and writing ours so that the old tools read them.

What belongs here: JSON, its bounds and what is wrong with it. What does not: the form of a bundle
(`bundles`), and where its file is (`workspace`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from ingest_assets.characters import visible
from ingest_assets.model import ItemError, digest_of
from ingest_assets.sources.papers.bundles import Bundle, BundleEntity, BundleRelationship
from ingest_assets.sources.papers.merging.classes import class_named, known_classes, predicate_named
from ingest_assets.sources.papers.merging.names import fold
from ingest_assets.sources.papers.workspace import Workspace, read_whole

MAX_BYTES = 64 << 20
_UNUSUAL = (b"NaN", b"Infinity", b"\\u0000")  # in texts, and then it is looked at twice
_MAX_CITED = 200_000
_SHOWN = 3  # faults in a message


@dataclass(frozen=True, slots=True)
class ReadBundle:
    """A bundle as it was read, and what of it could not be used."""

    paper_id: str
    bundle: Bundle
    left_out: tuple[str, ...]  # sentences
    digest: str  # of the file


def read_bundle(path: Path, paper_id: str, more_classes: Iterable[str] = ()) -> ReadBundle:
    """Read one paper's bundle. The paper is the one that the file's name says.

    Classes and predicates are in our spelling. Relationships with a subject or object that is not among the
    entities are left out. Raises ItemError, naming the file, for everything else that is wrong.
    """
    raw = read_whole(path, MAX_BYTES)
    return parse_bundle(raw, paper_id, path.name, more_classes)


def parse_bundle(raw: bytes, paper_id: str, name: str, more_classes: Iterable[str] = ()) -> ReadBundle:
    """As `read_bundle`, of a file's content. `name` is the file's, for messages."""
    bundle = _with_known_words(_parsed(raw, name), name, known_classes(more_classes))
    bundle, left_out = _without_dangling(bundle, name)
    return ReadBundle(paper_id, bundle, left_out, digest_of(raw))


def bundle_bytes(bundle: Bundle) -> bytes:
    """The bundle as its file has it: the six keys in their order, indented, the same for the same bundle."""
    return to_json(bundle.model_dump(mode="json", by_alias=True), indent=2) + b"\n"


def write_bundle(workspace: Workspace, paper_id: str, bundle: Bundle) -> bool:
    """Put a paper's bundle into the workspace. Returns whether its file changed."""
    return workspace.write(workspace.bundle_path(paper_id), bundle_bytes(bundle))


def _parsed(raw: bytes, name: str) -> Bundle:
    try:
        if any(each in raw for each in _UNUSUAL):
            _require_ordinary(raw, name)
        return Bundle.model_validate_json(raw)
    except ValidationError as error:
        for each in error.errors(include_input=False, include_url=False):
            if each["type"] == "json_invalid":
                said = visible(each["msg"].removeprefix("Invalid JSON: "))
                raise ItemError(f"{name} is not JSON: {said}.") from None
        raise ItemError(f"{name} is not a bundle: {_faults(error)}.") from None


def _require_ordinary(raw: bytes, name: str) -> None:
    """Refuse numbers that JSON does not have, and characters that a database does not take."""
    try:
        from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ItemError(f"{name} is not JSON: {visible(str(error))}.") from None
    if b"\\u0000" in raw:
        raise ItemError(f"{name} is not a bundle: its text contains NUL characters.")


def _with_known_words(bundle: Bundle, name: str, known: dict[str, str]) -> Bundle:
    """The bundle with classes and predicates as we write them, and without blanks around names."""
    if sum(len(each.evidence_ids) for each in bundle.relationships) > _MAX_CITED:
        raise ItemError(f"{name}: its relationships cite evidence more than {_MAX_CITED} times.")
    return bundle.model_copy(
        update={
            "entities": tuple(_entity(each, name, known) for each in bundle.entities),
            "relationships": tuple(_relationship(each, name) for each in bundle.relationships),
        }
    )


def _entity(entity: BundleEntity, name: str, known: dict[str, str]) -> BundleEntity:
    found = class_named(entity.entity_class, known)
    if found is None:
        raise ItemError(
            f"{name}: the entity {_shown(entity.id)} has the unknown class {_shown(entity.entity_class)}."
        )
    if not fold(entity.name):
        raise ItemError(f"{name}: the entity {_shown(entity.id)} has no name.")
    if any(each.end_offset <= each.start_offset for each in entity.mentions):
        raise ItemError(f"{name}: a mention of the entity {_shown(entity.id)} ends before it starts.")
    return entity if found == entity.entity_class else entity.model_copy(update={"entity_class": found})


def _relationship(relationship: BundleRelationship, name: str) -> BundleRelationship:
    found = predicate_named(relationship.predicate)
    if found is None:
        raise ItemError(f"{name}: {_shown(relationship.predicate)} is not a predicate.")
    if found == relationship.predicate:
        return relationship
    return relationship.model_copy(update={"predicate": found})


def _without_dangling(bundle: Bundle, name: str) -> tuple[Bundle, tuple[str, ...]]:
    entities = {each.id for each in bundle.entities}
    if len(entities) < len(bundle.entities):
        raise ItemError(_duplicate(name, "entities", [each.id for each in bundle.entities]))
    evidence = {each.id for each in bundle.evidence_entities}
    if len(evidence) < len(bundle.evidence_entities):
        raise ItemError(_duplicate(name, "evidence_entities", [each.id for each in bundle.evidence_entities]))
    kept, left_out = [], []
    for each in bundle.relationships:
        missing = [end for end in (each.subject, each.object) if end not in entities]
        if missing:
            left_out.append(
                f"{_shown(each.subject)} {each.predicate} {_shown(each.object)} is left out: "
                f"{_shown(missing[0])} is not among the entities."
            )
            continue
        unknown = [found for found in each.evidence_ids if found not in evidence]
        if unknown:
            left_out.append(f"The evidence {_shown(unknown[0])} of {each.predicate} is not in the bundle.")
        kept.append(each)
    if len(kept) == len(bundle.relationships):
        return bundle, tuple(left_out)
    return bundle.model_copy(update={"relationships": tuple(kept)}), tuple(left_out)


def _duplicate(name: str, key: str, ids: list[str]) -> str:
    seen: set[str] = set()
    twice = next(each for each in ids if each in seen or seen.add(each))  # type: ignore[func-returns-value]
    return f"{name} has two {key} with the id {_shown(twice)}."


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in found[:_SHOWN]]
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return visible("; ".join(shown)) + more


def _shown(text: str) -> str:
    return repr(visible(text[:80]))
