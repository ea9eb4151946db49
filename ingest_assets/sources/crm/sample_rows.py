"""Rows of the sample CRM's tables, in the order of their columns.

What belongs here: the content of rows. What does not: the file (sample), people and organisations
(sample_records).
"""

# ruff: noqa: PLR2004 - the odds of made-up data need no names

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

from ingest_assets.sources.crm.sample_records import Registry
from ingest_assets.sources.crm.sample_text import TextWriter
from ingest_assets.sources.crm.sample_words import vocabulary

Row = tuple[object, ...]

_KINDS = ("email",) * 9 + ("meeting",) * 4 + ("call",) * 3 + ("note",) * 4
_MEETING_PLACES = ("trade fair", "user day", "site visit", "webinar")
_FIRST_DAY = date(2023, 1, 2)
_DAYS = tuple((_FIRST_DAY + timedelta(days=n)).isoformat() for n in range(1_000))
_LAST_DAY = 900  # of past events; the later days are for expected closes


def organisation_rows(registry: Registry, rng: Random, count: int) -> Iterator[Row]:
    writer = TextWriter(rng)
    trades = vocabulary().industries
    for number in range(1, count + 1):
        o = registry.add_organisation()
        notes = f"{o.stem} {trades[o.industry]}. {writer.number(12, 4_000)} employees, seat in {o.city}."
        yield number, o.name, o.domain, o.phone, o.industry, o.city, o.culture.country, notes, moment(writer)


def person_rows(registry: Registry, rng: Random, count: int) -> Iterator[Row]:
    writer = TextWriter(rng)
    for number in range(1, count + 1):
        p = registry.add_person()
        city = registry.organisations[p.organisation - 1].city
        notes = f"Met at the {writer.pick(_MEETING_PLACES)} in {city}." if rng.random() < 0.6 else None
        contact = (p.email, p.second_email, p.phone)
        yield number, p.name, p.title, *contact, p.organisation, notes, moment(writer)


class Correspondence:
    """Interactions and opportunities of organisations with their people."""

    def __init__(self, registry: Registry, rng: Random) -> None:
        self._registry = registry
        self._random = rng.random
        self._writer = TextWriter(rng)
        self._words = vocabulary()
        self._staff: dict[int, list[int]] = {}
        for number, person in enumerate(registry.people, 1):
            self._staff.setdefault(person.organisation, []).append(number)
        self._employers = tuple(self._staff)

    def interaction(self, number: int) -> tuple[Row, list[Row]]:
        """A row of interactions, and its rows of interaction_participants."""
        writer = self._writer
        organisation = writer.pick(self._employers)
        people = self._some_of(self._staff[organisation])
        kind, sender = writer.pick(_KINDS), writer.pick(self._words.owners)
        subject, body = writer.interaction(kind, self._stem(organisation), self._first_names(people), sender)
        row = (number, kind, subject, body, moment(writer), organisation)
        return row, [(number, person) for person in people]

    def opportunity(self, number: int) -> Row:
        writer, words = self._writer, self._words
        organisation = writer.pick(self._employers)
        people = self._some_of(self._staff[organisation])
        product = writer.pick(words.products)
        name = f"{product[0].upper()}{product[1:]} for {self._stem(organisation)}"
        worth = (writer.pick(words.stages), writer.number(2, 900) * 500.0, writer.pick(words.currencies))
        day = writer.number(0, _LAST_DAY - 1)
        close = _DAYS[day + writer.number(10, 90)]
        notes = writer.about_deal(self._stem(organisation), self._first_names(people))
        created = f"{_DAYS[day]}T09:00:00Z"
        owner = writer.pick(words.owners)
        return number, name, *worth, organisation, people[0], owner, close, notes, created

    def _stem(self, organisation: int) -> str:
        return self._registry.organisations[organisation - 1].stem

    def _first_names(self, people: Sequence[int]) -> list[str]:
        return [self._registry.people[number - 1].given for number in people]

    def _some_of(self, staff: Sequence[int]) -> list[int]:
        """One to four of them, from a random start."""
        start, count = int(self._random() * len(staff)), self._writer.number(1, 4)
        return [staff[(start + i) % len(staff)] for i in range(min(count, len(staff)))]


def moment(writer: TextWriter) -> str:
    """A time in office hours, ISO 8601."""
    return f"{_DAYS[writer.number(0, _LAST_DAY - 1)]}T{writer.number(7, 18):02}:{writer.number(0, 59):02}:00Z"
