"""The golden record: the best value of each field of an entity, and where it comes from.

What belongs here: choosing the best of the members' values. A value that more members have is better, then a
longer one, then the one of the latest record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ingest_assets.birth_dates import birth_date
from ingest_assets.entities import firm_names, identifiers, person_names, text
from ingest_assets.model import Identity


@dataclass(frozen=True, slots=True)
class Value:
    """A value as one record spells it, and all records that have it in any spelling."""

    value: str
    records: tuple[str, ...]  # document ids; the first one has this spelling


def _email(value: str) -> str:
    return identifiers.email(value) or ""


def _phone(value: str) -> str:
    return identifiers.phone(value) or ""


def _domain(value: str) -> str:
    return identifiers.domain(value) or ""


# By field: the normal form that equal values share, or "" for a value without information.
_SINGLE: Mapping[str, Callable[[str], str]] = {
    "name": lambda name: " ".join(sorted(text.fold(name).split())),
    "given_name": person_names.given_name,
    "family_name": person_names.family_name,
    "birth_date": birth_date,
    "title": text.fold,
    "organisation": firm_names.organisation_name,
    "address": text.street,
    "place": text.fold,
    "postcode": text.fold,
}
_LISTS: Mapping[str, Callable[[str], str]] = {
    "emails": _email,
    "phones": _phone,
    "domains": _domain,
    "identifiers": text.fold,
}


def golden_record(members: Sequence[tuple[str, Identity]]) -> dict[str, list[Value]]:
    """The best value of each field that has one; for list fields all values, best first.

    `members` are (document id, identity), the oldest record first.
    """
    record: dict[str, list[Value]] = {}
    for name, normal in _SINGLE.items():
        if found := _ranked(((d, getattr(i, name)) for d, i in members), normal):
            record[name] = found[:1]
    for name, normal in _LISTS.items():
        if found := _ranked(((d, value) for d, i in members for value in getattr(i, name)), normal):
            record[name] = found
    return record


def _ranked(values: Iterable[tuple[str, str]], normal: Callable[[str], str]) -> list[Value]:
    spellings: dict[str, list[tuple[str, int, str]]] = {}  # normal form: (value, place, document)
    for place, (document, value) in enumerate(values):
        if key := normal(value):
            spellings.setdefault(key, []).append((value.strip(), place, document))
    ranked = sorted(
        spellings.values(), key=lambda same: (len({d for *_, d in same}), *_best(same)[:3]), reverse=True
    )
    return [_value(same) for same in ranked]


def _best(same: Sequence[tuple[str, int, str]]) -> tuple[bool, int, int, str, str]:
    # "Ada Lovelace" rather than "Lovelace, Ada", either rather than "A. Lovelace", and all of them rather
    # than "ADA LOVELACE".
    return max(
        (not value.isupper(), len(value) - 2 * value.count(","), place, value, document)
        for value, place, document in same
    )


def _value(same: Sequence[tuple[str, int, str]]) -> Value:
    *_, value, document = _best(same)
    others = sorted({d for *_, d in same} - {document})
    return Value(value, (document, *others))
