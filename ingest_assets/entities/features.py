"""Identities to the columns that records are compared by.

What belongs here: one flat row a record, a pure function of the record. A missing value is None or an
empty list, never an empty text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest_assets.entities import dates, identifiers, text
from ingest_assets.model import Identity, IdentityKind

# Bump when the same identity gives another row or other keys.
VERSION = "3"
SHORTEST = 3  # of a mailbox that tells whose it is
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
    given_forms: tuple[str, ...]  # with the names it is a short form of
    family: str | None
    birth_date: str | None  # ISO 8601
    birth_day: int | None  # its day, counted from the year 1; None where no calendar has the date
    emails: tuple[str, ...]
    mailbox: str | None  # of the first address, where it is a person's own
    handle: str | None  # the same, where it is not made of the name alone
    domains: tuple[str, ...]
    phones: tuple[str, ...]
    identifiers: tuple[str, ...]
    title: str | None
    organisation: str | None
    address: str | None
    door: str | None  # house number and street of the address, without what people write in many ways
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
    emails = _each(map(identifiers.email, identity.emails))
    mailbox = next(filter(None, map(_mailbox, emails)), None)
    return Features(
        id=record_id,
        kind=identity.kind,
        name=name or None,
        words=() if person else _each(name.split()),
        given=given or None,
        given_forms=text.given_forms(given),
        family=family or None,
        birth_date=born or None,
        birth_day=text.day_number(born),
        emails=emails,
        mailbox=mailbox,
        handle=mailbox if mailbox and not text.made_of(mailbox, given, family) else None,
        domains=() if person else _each(map(identifiers.domain, (*identity.domains, *identity.emails))),
        phones=_each(map(identifiers.phone, identity.phones)),
        identifiers=_each(map(identifiers.own_number, identity.identifiers)),
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


def _each(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _mailbox(email: str) -> str | None:
    local = email.partition("@")[0].partition("+")[0]
    return None if local in _ROLES or len(local) < SHORTEST else local
