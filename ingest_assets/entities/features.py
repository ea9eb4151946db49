"""Turns identities into the columns that records are compared by.

What belongs here: one flat row per record, a pure function of the record. A missing value is None or an empty
list, never an empty string.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest_assets.entities import dates, identifiers, text
from ingest_assets.model import Identity, IdentityKind

# Bump when the same identity gives a different row or different keys.
VERSION = "3"
_MIN_PERSONAL_MAILBOX = 3  # shorter ones do not identify anybody
# Mailboxes that several people read.
_ROLES = frozenset(
    [
        "info",
        "sales",
        "contact",
        "office",
        "admin",
        "hello",
        "mail",
        "support",
        "service",
        "team",
        "enquiries",
        "accounts",
        "billing",
        "hr",
        "jobs",
        "marketing",
        "press",
        "webmaster",
        "post",
        "reception",
        "help",
        "no-reply",
        "noreply",
    ]
)


@dataclass(frozen=True, slots=True)
class Features:
    """One record, normalised. Lists are sorted and hold each value once."""

    id: str
    kind: IdentityKind
    name: str | None  # a person's given and family name; an organisation's without its legal form
    words: tuple[str, ...]  # of an organisation's name
    given: str | None
    given_forms: tuple[str, ...]  # the given name and the names it is short for
    family: str | None
    birth_date: str | None  # ISO 8601
    birth_day: int | None  # day number, counted from the year 1; None for an impossible date
    emails: tuple[str, ...]
    mailbox: str | None  # of the first address that is a person's own
    handle: str | None  # the mailbox, unless it is made of the name alone
    domains: tuple[str, ...]
    phones: tuple[str, ...]
    identifiers: tuple[str, ...]
    title: str | None
    organisation: str | None
    address: str | None
    door: str | None  # house number and first word of the street: what people write in only one way
    place: str | None
    postcode: str | None


COLUMNS = tuple(Features.__slots__)
NUMBERS = ("birth_day",)
LISTS = ("words", "given_forms", "emails", "domains", "phones", "identifiers")


def features_of(record_id: str, identity: Identity) -> Features:
    """The row of one record."""
    person = identity.kind == "person"
    given, family = _names(identity) if person else ("", "")
    name = " ".join(filter(None, (given, family))) if person else text.organisation_name(identity.name)
    born, address = dates.birth_date(identity.birth_date), text.street(identity.address)
    emails = _distinct(map(identifiers.email, identity.emails))
    mailbox = next(filter(None, map(_mailbox, emails)), None)
    return Features(
        id=record_id,
        kind=identity.kind,
        name=name or None,
        words=() if person else _distinct(name.split()),
        given=given or None,
        given_forms=text.given_forms(given),
        family=family or None,
        birth_date=born or None,
        birth_day=text.day_number(born),
        emails=emails,
        mailbox=mailbox,
        handle=mailbox if mailbox and not text.made_of(mailbox, given, family) else None,
        domains=() if person else _distinct(map(identifiers.domain, (*identity.domains, *identity.emails))),
        phones=_distinct(map(identifiers.phone, identity.phones)),
        identifiers=_distinct(map(identifiers.id_number, identity.identifiers)),
        title=text.fold(identity.title) or None,
        organisation=text.organisation_name(identity.organisation) or None,
        address=address or None,
        door=text.door(address) or None,
        place=text.fold(identity.place) or None,
        postcode=text.fold(identity.postcode).replace(" ", "") or None,
    )


def _names(identity: Identity) -> tuple[str, str]:
    if identity.given_name or identity.family_name:
        return text.given_name(identity.given_name), text.family_name(identity.family_name)
    return text.person_name(identity.name)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _mailbox(email: str) -> str | None:
    local = email.partition("@")[0].partition("+")[0]
    return None if local in _ROLES or len(local) < _MIN_PERSONAL_MAILBOX else local
