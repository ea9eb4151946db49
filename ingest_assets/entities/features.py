"""Turns identities into the columns that records are compared by.

What belongs here: one flat row per record, a pure function of the record. A missing value is None or an empty
list, never an empty string.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingest_assets.birth_dates import birth_date
from ingest_assets.entities import firm_names, identifiers, person_names, text
from ingest_assets.model import Identity, IdentityKind

# Bump when the same identity gives a different row or different keys.
VERSION = "6"
_MIN_PERSONAL_MAILBOX = 3  # shorter ones do not identify anybody


@dataclass(frozen=True, slots=True)
class Features:
    """One record, normalised. Lists are sorted and hold each value once."""

    id: str
    kind: IdentityKind
    name: str | None  # a person's given and family name; an organisation's without its legal form
    words: tuple[str, ...]  # of an organisation's name
    given: str | None
    given_forms: tuple[str, ...]  # the given name and the names it is short for
    given_own: str | None  # how a given name of its own sounds; None for a word that may be a misspelt one
    given_stem: str | None  # the first given name without its last vowels
    middle: str | None  # initial of the second given name
    family: str | None
    family_own: str | None
    family_parts: tuple[str, ...]  # of a family name of several words
    generation: str | None  # "1" for Sr, "2" for Jr and II
    birth_date: str | None  # ISO 8601
    birth_day: int | None  # day number, counted from the year 1; None for an impossible date
    emails: tuple[str, ...]  # a person's own, each mailbox in one spelling
    family_emails: tuple[str, ...]  # those that say a family's name
    hosts: tuple[str, ...]  # of a person's addresses: employers', not those of free-mail providers
    locals: tuple[str, ...]  # a person's own mailboxes at these hosts, squeezed
    stems: tuple[str, ...]  # those without digits
    name_mailboxes: tuple[str, ...]  # that somebody of this name may have
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
    town: str | None  # the place, if an organisation's name says it too
    postcode: str | None


COLUMNS = tuple(Features.__slots__)
NUMBERS = ("birth_day",)
LISTS = (
    "words", "given_forms", "family_parts", "emails", "family_emails", "hosts", "locals", "stems",
    "name_mailboxes", "domains", "phones", "identifiers",
)  # fmt: skip


def features_of(record_id: str, identity: Identity) -> Features:
    """The row of one record."""
    person = identity.kind == "person"
    given, family = _names(identity) if person else ("", "")
    name = " ".join(filter(None, (given, family))) if person else firm_names.organisation_name(identity.name)
    forms = person_names.given_forms(given)
    born, address = birth_date(identity.birth_date), text.street(identity.address)
    place = text.fold(identity.place)
    emails, family_emails, hosts = _mail(identity, forms, family)
    mailbox = next(filter(None, map(_mailbox, emails)), None)
    at_work = [local for local, host in map(_split, emails) if host in hosts]
    squeezed = _distinct(map(person_names.squeezed, at_work))
    return Features(
        id=record_id,
        kind=identity.kind,
        name=name or None,
        words=() if person else _distinct(name.split()),
        given=given or None,
        given_forms=forms,
        given_own=person_names.own(given, "given") or None,
        given_stem=given.split(" ")[0].rstrip("aeo") or None,
        middle=person_names.middle_initial(given) or None,
        family=family or None,
        family_own=person_names.own(family, "family") or None,
        family_parts=_distinct(part for part in family.split() if part not in person_names.PARTICLES),
        generation=_generation(identity) if person else None,
        birth_date=born or None,
        birth_day=text.day_number(born),
        emails=emails,
        family_emails=family_emails,
        hosts=hosts,
        locals=squeezed,
        stems=_distinct(local.rstrip("0123456789") for local in squeezed),
        name_mailboxes=person_names.mailboxes_of(given, forms, family) if hosts else (),
        mailbox=mailbox,
        handle=mailbox if mailbox and not person_names.made_of(mailbox, given, family) else None,
        domains=() if person else _distinct(map(identifiers.domain, (*identity.domains, *identity.emails))),
        phones=_distinct(map(identifiers.phone, identity.phones)),
        identifiers=_distinct(map(identifiers.id_number, identity.identifiers)),
        title=text.fold(identity.title) or None,
        organisation=firm_names.organisation_name(identity.organisation) or None,
        address=address or None,
        door=text.door(address) or None,
        place=place or None,
        town=place if place and not person and set(place.split()) & set(name.split()) else None,
        postcode=text.fold(identity.postcode).replace(" ", "") or None,
    )


def _names(identity: Identity) -> tuple[str, str]:
    if identity.given_name or identity.family_name:
        given = person_names.given_name(identity.given_name)
        return given, person_names.family_name(identity.family_name)
    return person_names.person_name(identity.name)


def _generation(identity: Identity) -> str | None:
    # A suffix may stand after the given name, as in "John Jr."; a name of one word is no suffix.
    named = [f"x {name}" for name in (identity.family_name, identity.given_name) if name]
    return person_names.generation(*named, identity.name) or None


def _mail(
    identity: Identity, forms: tuple[str, ...], family: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """A person's own mailboxes, their family's, and the employers' hosts among all of them."""
    found = _distinct(map(identifiers.email, identity.emails))
    if identity.kind != "person":
        return found, (), ()
    hosts = _distinct(host for _, host in map(_split, found) if host not in identifiers.FREE_MAIL)
    personal = [address for address in found if not identifiers.is_role(address)]
    of_family = [one for one in personal if person_names.is_of_family(_split(one)[0], forms, family)]
    return tuple(one for one in personal if one not in of_family), tuple(of_family), hosts


def _split(email: str) -> tuple[str, str]:
    local, _, host = email.partition("@")
    return local, host


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _mailbox(email: str) -> str | None:
    local = _split(email)[0]
    return None if identifiers.is_role(email) or len(local) < _MIN_PERSONAL_MAILBOX else local
