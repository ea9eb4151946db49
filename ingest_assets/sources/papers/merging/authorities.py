"""Ids of entities, each written with its authority: "MeSH:D000224", "HGNC:2600".

What belongs here: which authorities there are, the form of their ids, their rank, their pages, and the ids
that are derived for what no authority knows. What does not: whether an authority has given out an id, which
would take its database.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID, uuid5

MAX_ID_CHARS = 36
# Of all ids that are derived from a class and a name. It must never change.
_NAMESPACE = UUID("6f1f7f5e-0a3c-5a86-9d57-1f3b0f6c2a41")


class Authority(NamedTuple):
    """Who gives out ids of a kind, and what they look like without the authority's name."""

    name: str
    field: str  # of an entity in a bundle
    form: re.Pattern[str]
    page: str  # of an id; "" if there is none


# In the order of their rank: of several ids of one entity, that of the first authority is the entity's.
AUTHORITIES = (
    Authority("MeSH", "mesh_id", re.compile(r"[CDQ][0-9]{6,9}"), "https://meshb.nlm.nih.gov/record/ui?ui={}"),
    Authority("UMLS", "umls_id", re.compile(r"C[0-9]{7}"), "https://uts.nlm.nih.gov/uts/umls/concept/{}"),
    Authority(
        "HGNC",
        "hgnc_id",
        re.compile(r"[1-9][0-9]{0,5}"),
        "https://www.genenames.org/data/gene-symbol-report/#!/hgnc_id/HGNC:{}",
    ),
    Authority("RxNorm", "rxnorm_id", re.compile(r"[1-9][0-9]{0,7}"), ""),
    Authority(
        "UniProt",
        "uniprot_id",
        re.compile(r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}"),
        "https://www.uniprot.org/uniprotkb/{}",
    ),
    Authority("LOINC", "loinc_code", re.compile(r"[1-9][0-9]{0,6}-[0-9]"), "https://loinc.org/{}"),
)
_BY_FIELD = {each.field: each for each in AUTHORITIES}
_BY_NAME = {each.name.casefold(): each for each in AUTHORITIES} | {
    "rxcui": AUTHORITIES[3],
    "uniprotkb": AUTHORITIES[4],
}
_RANK = {each.name: rank for rank, each in enumerate(AUTHORITIES)}
# Without a name, only these two say by their form whose they are.
_PLAIN_FORMS = ((re.compile(r"C[0-9]{7}"), "umls"), (re.compile(r"D[0-9]{6,9}"), "mesh"))
# What a model writes that knows the form of an id but not the id: zeros, nines, or digits counted up.
_MIN_PLACEHOLDER_DIGITS = 6


def canonical_form(value: str | None, field: str) -> str | None:
    """The id that a field of an entity holds, with its authority. None if the value is not an id.

    `field` is `canonical_id`, where a value has to say its authority, or that of an authority: "rxnorm_id".
    """
    if not value or not (text := value.strip()):
        return None
    name, colon, rest = text.partition(":")
    authority = _BY_NAME.get(name.strip().casefold()) if colon else _BY_FIELD.get(field)
    if authority is None and field == "canonical_id" and not colon:
        authority = next((_BY_NAME[who] for form, who in _PLAIN_FORMS if form.fullmatch(text)), None)
    if authority is None:
        return None
    number = (rest if colon else text).strip().upper()
    if not authority.form.fullmatch(number) or _is_placeholder(number):
        return None
    return f"{authority.name}:{number}"


def _is_placeholder(number: str) -> bool:
    digits = number.lstrip("CDQ")
    if not digits.isdigit():
        return False
    if set(digits) == {"0"}:
        return True
    counted = "1234567890".startswith(digits) or set(digits) == {"9"}
    return counted and len(digits) >= _MIN_PLACEHOLDER_DIGITS


def is_authoritative(entity_id: str) -> bool:
    """Whether it is an id of an authority, as we write it, and not a derived one."""
    return entity_id.partition(":")[0] in _RANK


def authority_of(entity_id: str) -> str:
    """The name of the authority of an authoritative id."""
    return entity_id.partition(":")[0]


def order(entity_id: str) -> tuple[int, str]:
    """What ids are sorted by: the rank of their authority, then their text. Derived ids come last."""
    return _RANK.get(entity_id.partition(":")[0], len(_RANK)), entity_id


def derived_id(entity_class: str, folded_name: str) -> str:
    """The id of what no authority knows, from its class and its folded name: a UUID of version 5."""
    return str(uuid5(_NAMESPACE, f"{entity_class}\n{folded_name}"))


def page_of(entity_id: str) -> str | None:
    """Where the authority describes an entity on the web, if it does."""
    name, _, number = entity_id.partition(":")
    page = AUTHORITIES[_RANK[name]].page if name in _RANK else ""
    return page.format(number) if page else None
