"""Exact matching: records that share a normalised identifier are one entity."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ingest_assets.entities.identifiers import domain, email, phone
from ingest_assets.model import Identity

# Bump when the same records give other entities.
VERSION = "1"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ingest-assets:entity")
# An identifier that more records than this share is a switchboard or an info@ address, not a person's:
# it carries no evidence, and is reported.
MAX_SHARED = 10


@dataclass(frozen=True, slots=True)
class Resolution:
    """`entity_of` maps each record's document id to its entity's id; `cut` are identifiers not believed."""

    entity_of: Mapping[str, str]
    cut: Mapping[str, int]  # identifier: how many records share it


def resolve(source: str, records: Iterable[tuple[str, Identity]]) -> Resolution:
    """Canonical entities of (document id, identity) records.

    An entity's id is a UUIDv5 of its source, its kind and the smallest of its members' ids: it does
    not depend on the order of the records, on a counter or on a clock.
    """
    parent: dict[str, str] = {}
    kinds: dict[str, str] = {}
    holders: dict[str, list[str]] = defaultdict(list)
    for document_id, identity in records:
        parent[document_id] = document_id
        kinds[document_id] = identity.kind
        for key in identifiers_of(identity):
            holders[key].append(document_id)
    cut = {key: len(ids) for key, ids in holders.items() if len(ids) > MAX_SHARED}
    for key, ids in holders.items():
        if key not in cut:
            for other in ids[1:]:
                _union(parent, ids[0], other)
    entity_of = {key: entity_id(source, kinds[key], _find(parent, key)) for key in parent}
    return Resolution(entity_of, cut)


def identifiers_of(identity: Identity) -> Iterator[str]:
    """The identifiers that may match another record of the same kind, each once."""
    found = {f"email:{e}" for value in identity.emails if (e := email(value))}
    found |= {f"phone:{p}" for value in identity.phones if (p := phone(value))}
    if identity.kind == "organisation":
        found |= {f"domain:{d}" for value in identity.domains if (d := domain(value))}
    return (f"{identity.kind}/{key}" for key in found)


def entity_id(source: str, kind: str, member: str) -> str:
    """The canonical id of the entity whose smallest member is `member`."""
    return str(uuid.uuid5(NAMESPACE, f"{source}\n{kind}\n{member}"))


def _find(parent: dict[str, str], key: str) -> str:
    root = key
    while parent[root] != root:
        root = parent[root]
    while parent[key] != root:
        parent[key], key = root, parent[key]
    return root


def _union(parent: dict[str, str], a: str, b: str) -> None:
    # The smaller id becomes the root, so that the root of a finished cluster is its smallest member.
    low, high = sorted((_find(parent, a), _find(parent, b)))
    parent[high] = low
