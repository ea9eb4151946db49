"""Which records are compared at all: those that share a block.

A record's blocks depend on that record alone, so records that arrive one by one are compared with the same
others as when all arrive at once. The number of pairs grows with the square of a block's size, so a block
with more members than its bound is cut and reported. Most keys combine two fields, so a cut block is seldom
the only one that two records share.

What belongs here: the keys. What does not: comparing.
"""

from __future__ import annotations

from collections.abc import Iterator

from ingest_assets.entities.features import Features
from ingest_assets.entities.text import sound

# Bump when the same record gets different keys.
VERSION = "3"
MAX_BLOCK = 100
# How many people may share an e-mail address, a telephone number or an identifier. A value shared by more is
# an office's or a filler, and no evidence about any of them (`matching.score` leaves it out).
MAX_SHARED = 10
BOUNDS = (MAX_SHARED, MAX_BLOCK)
IDENTIFYING = {
    "person/email": ("emails", "family_emails"),
    "person/phone": ("phones",),
    "person/identifier": ("identifiers",),
}
MIN_WORD = 3  # shorter ones are "of" and "the"
MIN_MAILBOX = 4  # shorter ones are initials and first names


def block_keys(features: Features) -> tuple[str, ...]:
    """The record's blocks, each as "rule:value", sorted and without duplicates."""
    rules = _person_keys if features.kind == "person" else _organisation_keys
    keys = (*_identifier_keys(features), *rules(features))
    return tuple(sorted({f"{features.kind}/{rule}:{value}" for rule, value in keys}))


def bound_of(key: str) -> int:
    """How many members a block may have."""
    return MAX_SHARED if rule_of(key) in IDENTIFYING else MAX_BLOCK


def rule_of(key: str) -> str:
    """A key's rule: "person/email" of "person/email:ada@acme.org"."""
    return key.partition(":")[0]


def _identifier_keys(f: Features) -> Iterator[tuple[str, str]]:
    for rule, values in (
        ("email", (*f.emails, *f.family_emails)),
        ("phone", f.phones),
        ("identifier", f.identifiers),
    ):
        for value in values:
            yield rule, value


def _person_keys(f: Features) -> Iterator[tuple[str, str]]:
    names = sorted({name for name in (f.given, f.family) if name})
    sounds = sorted({sound(name.split()[-1]) for name in names})
    near = [field for field in (f.postcode, f.place, f.organisation, f.door, *f.hosts) if field]
    if f.door and (where := f.postcode or f.place):
        yield "address", f"{f.door}|{where}"
    if f.mailbox and len(f.mailbox) >= MIN_MAILBOX:
        yield "mailbox", f.mailbox
    yield from _full_name_keys(f, sounds)
    for word in sounds:
        for field in near:
            yield "sound_near", f"{word}|{field}"
    if f.birth_date:
        yield from _birth_keys(f.birth_date, names, sounds, near)


def _full_name_keys(f: Features, sounds: list[str]) -> Iterator[tuple[str, str]]:
    if f.given and f.family:
        yield "name", " ".join(sorted(f"{f.given} {f.family}".split()))
        yield "sounds", "|".join(sounds)
        for form in f.given_forms:
            yield "form_sound", f"{form}|{sound(f.family.split()[-1])}"


def _birth_keys(date: str, names: list[str], sounds: list[str], near: list[str]) -> Iterator[tuple[str, str]]:
    for word in sounds:
        yield "year_sound", f"{date[:4]}|{word}"
    for name in names:
        yield "born_initial", f"{date}|{name[0]}"
    for field in near:
        yield "born_near", f"{date}|{field[:4]}"


def _organisation_keys(f: Features) -> Iterator[tuple[str, str]]:
    for domain in f.domains:
        yield "domain", domain
    if f.door:
        yield "address", f.door
    words = (f.name or "").split()
    if not words:
        return
    yield "name", " ".join(words)
    near = f.postcode or f.place
    for word in set(words):
        if near and len(word) >= MIN_WORD:
            yield "word_near", f"{word}|{near}"
    if len(words) > 1:
        yield "start", " ".join(words[:2])
        longest = sorted(words, key=len, reverse=True)[:2]
        yield "long_words", " ".join(sorted(longest))
    yield "sounds", sound("".join(words))[:6]
