"""Hard pairs of people, made by seed: strangers who look alike, and one person who looks like two.

What belongs here: the pairs and the unrelated people among whom they are hidden. What does not: measuring.
Every pair has names, a company and a home of its own, so that one wrong join is one wrong join.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from benchmarks.entity_names import (
    ALIKE_FAMILY,
    ALIKE_GIVEN,
    CRAFTS,
    FAMILY,
    GIVEN,
    NICKNAMES,
    ROLES,
    STREETS,
    TITLES,
    TOWNS,
)
from benchmarks.entity_sets import HardSet, Pairs
from benchmarks.entity_slips import person, rename, typed_wrongly
from ingest_assets.model import Identity

EACH, CROWD = 30, 1_200
DOMAINS = ("com", "net", "de", "fr", "nl", "co.uk", "se", "pl", "es", "it")
FREE = ("gmail.com", "outlook.com", "yahoo.com", "gmx.net", "web.de", "icloud.com")
_CALLING_CODES = ("+44 20 7", "+49 30 2", "+33 1 4", "+31 20 6", "+1 312 55", "+46 8 5", "+39 02 8")
_MOBILES = ("+44 7700 9", "+49 171 2", "+33 6 12 ", "+31 6 123", "+1 646 55", "+46 70 12", "+39 347 1")


class People:
    """Makes people; the same seed makes the same ones."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.rng = name, random.Random(f"{name} {seed}")
        self.identities: dict[str, Identity] = {}
        self.truth: dict[str, str] = {}
        self.pairs: dict[bool, Pairs] = {True: defaultdict(list), False: defaultdict(list)}
        self._number = count(1)

    def pair(self, kind: str, one: Identity, other: Identity, *, same: bool) -> None:
        """Two records that are, or are not, one person."""
        entity = f"{kind} {len(self.identities)}"
        left, right = self.add(one, entity), self.add(other, entity if same else f"{entity}, the other")
        self.pairs[same][kind].append((min(left, right), max(left, right)))

    def add(self, identity: Identity, entity: str) -> str:
        key = f"r{self.rng.randrange(10**9):09d}-{len(self.identities):05d}"
        self.identities[key], self.truth[key] = identity, entity
        return key

    def done(self) -> HardSet:
        """Hidden among unrelated people, of whom a quarter are recorded twice."""
        for number in range(CROWD):
            one = self.somebody()
            self.add(one, f"crowd {number}")
            if number % 4 == 0:
                self.add(self.changed(one), f"crowd {number}")
        shown = {key: {"name": i.name} for key, i in self.identities.items()}
        return HardSet(
            self.name,
            "person",
            self.identities,
            self.truth,
            shown,
            dict(self.pairs[False]),
            dict(self.pairs[True]),
        )

    # What people have.

    def names(self) -> tuple[str, str]:
        return self.rng.choice(GIVEN), self.rng.choice(FAMILY)

    def host(self) -> str:
        rng = self.rng
        words = f"{rng.choice(FAMILY)}{rng.choice(['-', ''])}{rng.choice(CRAFTS)}".lower()
        return f"{words}{next(self._number)}.{rng.choice(DOMAINS)}"

    def firm(self, host: str) -> str:
        return host.partition(".")[0].replace("-", " ").title()

    def landline(self) -> str:
        return f"{self.rng.choice(_CALLING_CODES)}{self.rng.randrange(10**6, 10**7)}"[:16]

    def mobile(self) -> str:
        return f"{self.rng.choice(_MOBILES)}{self.rng.randrange(10**6, 10**7)}"[:16]

    def date(self, first: int = 1945, last: int = 2002) -> str:
        rng = self.rng
        return f"{rng.randrange(first, last)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"

    def home(self) -> dict[str, Any]:
        rng = self.rng
        return {
            "address": f"{rng.randrange(1, 200)} {rng.choice(STREETS)} {rng.choice(['Street', 'Road', 'Lane'])}",
            "place": rng.choice(TOWNS),
            "postcode": str(rng.randrange(10_000, 99_999)),
        }

    def own_mailbox(self, given: str, family: str) -> str:
        rng = self.rng
        local = rng.choice(
            [
                f"{given}.{family}{rng.randrange(10, 99)}",
                f"{given}{family}",
                f"{family}{rng.randrange(1950, 2005)}",
            ]
        )
        return f"{local}@{rng.choice(FREE)}".lower()

    def work_address(self, given: str, family: str, host: str, style: int | None = None) -> str:
        first, last = given.lower(), family.lower()
        styles = [
            f"{first}.{last}",
            f"{first}_{last}",
            f"{first}{last}",
            f"{last}.{first}",
            f"{first[0]}{last}",
        ]
        return f"{styles[self.rng.randrange(5) if style is None else style]}@{host}"

    def somebody(self) -> Identity:
        """An unrelated person, with some of what people have."""
        rng, (given, family), host = self.rng, self.names(), self.host()
        at_work = rng.random() < 0.6
        return person(
            given,
            family,
            emails=()
            if rng.random() < 0.2
            else (self.work_address(given, family, host) if at_work else self.own_mailbox(given, family),),
            phones=(rng.choice([self.landline, self.mobile])(),) if rng.random() < 0.6 else (),
            organisation=self.firm(host) if at_work else "",
            birth_date=self.date() if rng.random() < 0.4 else "",
            **(self.home() if rng.random() < 0.5 else {}),
        )

    def changed(self, one: Identity) -> Identity:
        """The same person, recorded by somebody else."""
        rng = self.rng
        other = replace(one, address="" if rng.random() < 0.5 else one.address)
        if rng.random() < 0.3:
            other = rename(other, typed_wrongly(rng, one.given_name), one.family_name)
        if one.phones and rng.random() < 0.3:
            other = replace(other, phones=())
        return other


def colleagues(seed: int = 1) -> HardSet:
    """People of one company with alike names and addresses of their own; and people recorded twice at work."""
    people = People("colleagues", seed)
    for given, other in ALIKE_GIVEN:
        family = people.rng.choice(FAMILY)
        _colleagues(people, "alike given names", (given, family), (other, family))
    for family, other in ALIKE_FAMILY:
        given = people.rng.choice(GIVEN)
        _colleagues(people, "alike family names", (given, family), (given, other))
    for _ in range(EACH):
        (given, family), (one, other) = people.names(), people.rng.sample(FAMILY, 2)
        _colleagues(people, "one given name", (given, one), (given, other))
        pair = people.rng.sample(GIVEN, 2)
        _colleagues(people, "one family name", (pair[0], family), (pair[1], family))
    _role_mailboxes(people)
    _recorded_twice(people, _at_work)
    return people.done()


def _colleagues(people: People, kind: str, one: tuple[str, str], other: tuple[str, str]) -> None:
    rng, host = people.rng, people.host()
    shared: dict[str, Any] = {}
    if rng.random() < 0.6:
        shared["organisation"] = people.firm(host)
    if rng.random() < 0.5:
        shared |= people.home() if rng.random() < 0.5 else {"place": rng.choice(TOWNS)}
    if rng.random() < 0.3:
        shared["title"] = rng.choice(TITLES)
    style, switchboard, phones = rng.randrange(4), people.landline(), rng.randrange(3)
    sides = []
    for given, family in (one, other):
        number = [(), (people.landline(),), (switchboard,)][phones]
        address = people.work_address(given, family, host, style)
        sides.append(person(given, family, emails=(address,), phones=number, **shared))
    people.pair(kind, sides[0], sides[1], same=False)


def _role_mailboxes(people: People) -> None:
    for number in range(EACH):
        host, readers = people.host(), 2 if number % 2 else people.rng.randrange(3, 7)
        mailbox = f"{people.rng.choice(ROLES)}@{host}"
        names = [(people.rng.choice(GIVEN), family) for family in people.rng.sample(FAMILY, readers)]
        if number % 3 == 0:
            alike = people.rng.choice(ALIKE_GIVEN)
            names[:2] = [(alike[0], names[0][1]), (alike[1], names[0][1])]
        given = {"organisation": people.firm(host)} if number % 2 else {}
        sides = [person(*name, emails=(mailbox,), **given) for name in names]
        people.pair("a role's mailbox", sides[0], sides[1], same=False)
        for other in sides[2:]:
            people.add(other, f"reader {len(people.identities)}")


def families(seed: int = 1) -> HardSet:
    """Members of one household; and people recorded twice at home."""
    people = People("families", seed)
    rng = people.rng
    for _ in range(EACH):
        given, family = people.names()
        one, other = rng.choice(
            [
                ("Sr.", "Jr."),
                ("Sr", "Jr"),
                ("", "Jr."),
                ("", "II"),
                ("II", "III"),
                ("I", "II"),
                ("senior", "junior"),
            ]
        )
        born = rng.randrange(1935, 1970)
        dated = rng.random() < 0.5
        ages = [people.date(year, year + 1) if dated else "" for year in (born, born + rng.randrange(20, 36))]
        home = _household(people, family)
        people.pair(
            "father and son with a suffix",
            person(given, f"{family} {one}".strip(), birth_date=ages[0], **home),
            person(given, f"{family} {other}".strip(), birth_date=ages[1], **home),
            same=False,
        )
        given, family = people.names()
        home, born = _household(people, family), rng.randrange(1935, 1970)
        ages = [people.date(year, year + 1) for year in (born, born + rng.randrange(20, 36))]
        people.pair(
            "father and son by their birth dates",
            *(person(given, family, birth_date=age, **home) for age in ages),
            same=False,
        )
    for number in range(2 * EACH):
        _siblings(people, "twins", number, twins=True)
        _siblings(people, "siblings", number, twins=False)
        family, (one, other) = rng.choice(FAMILY), rng.sample(GIVEN, 2)
        home = _household(people, family)
        ages = [people.date(1950, 1990) if number % 2 else "" for _ in range(2)]
        people.pair(
            "couples",
            person(one, family, birth_date=ages[0], **home),
            person(other, family, birth_date=ages[1], **home),
            same=False,
        )
    _recorded_twice(people, _at_home)
    return people.done()


def _siblings(people: People, kind: str, number: int, *, twins: bool) -> None:
    family = people.rng.choice(FAMILY)
    one, other = people.rng.sample(GIVEN, 2) if number % 2 else people.rng.choice(ALIKE_GIVEN)
    home, born = _household(people, family), people.rng.randrange(1960, 2002)
    age = people.date(born, born + 1)
    later = age if twins else people.date(born + 1, born + 5)
    people.pair(
        kind,
        person(one, family, birth_date=age, **home),
        person(other, family, birth_date=later, **home),
        same=False,
    )


def _household(people: People, family: str) -> dict[str, Any]:
    rng, home = people.rng, people.home()
    if rng.random() < 0.7:
        home["phones"] = (people.landline(),)
    if rng.random() < 0.5:
        mailbox = rng.choice([f"{family}", f"family.{family}", f"the{family}s", f"{family}.home"]).lower()
        home["emails"] = (f"{mailbox}@{rng.choice(FREE)}",)
    return home


def _at_work(people: People, given: str, family: str) -> Identity:
    rng, host = people.rng, people.host()
    one = person(
        given, family, emails=(people.work_address(given, family, host),), phones=(people.mobile(),),
        organisation=people.firm(host), place=rng.choice(TOWNS),
    )  # fmt: skip
    return replace(one, phones=()) if rng.random() < 0.4 else one


def _at_home(people: People, given: str, family: str) -> Identity:
    one = person(
        given, family, emails=(people.own_mailbox(given, family),), phones=(people.mobile(),),
        birth_date=people.date(), **people.home(),
    )  # fmt: skip
    return people.rng.choice(
        [one, replace(one, emails=()), replace(one, phones=()), replace(one, birth_date="")]
    )


def _recorded_twice(people: People, make: Callable[[People, str, str], Identity]) -> None:
    rng = people.rng
    for given, short in NICKNAMES:
        one = make(people, given, rng.choice(FAMILY))
        people.pair("a nickname", one, _less(rng, rename(one, short, one.family_name)), same=True)
    for _ in range(EACH):
        for kind, one, other in _twice(people, make):
            people.pair(kind, one, other, same=True)


def _twice(
    people: People, make: Callable[[People, str, str], Identity]
) -> Iterable[tuple[str, Identity, Identity]]:
    rng = people.rng
    one = make(people, *people.names())
    yield (
        "a typing error in the given name",
        one,
        _less(rng, rename(one, typed_wrongly(rng, one.given_name), one.family_name)),
    )
    one = make(people, *people.names())
    yield (
        "a typing error in the family name",
        one,
        _less(rng, rename(one, one.given_name, typed_wrongly(rng, one.family_name))),
    )
    if (one := make(people, *people.names())).emails:
        local, _, host = one.emails[0].partition("@")
        yield (
            "a typing error in the address",
            one,
            replace(one, emails=(f"{typed_wrongly(rng, local)}@{host}",)),
        )
    one = make(people, *people.names())
    yield "names swapped", one, _less(rng, rename(one, one.family_name, one.given_name))
    one = make(people, *people.names())
    yield "an initial", one, _less(rng, rename(one, f"{one.given_name[0]}.", one.family_name))
    yield "a new name", *_married(people)
    yield "another employer", *_moved(people)
    yield "another spelling of the address", *_respelt(people)


def _less(rng: random.Random, one: Identity) -> Identity:
    """The record without something that the other one still shares with it."""
    if one.emails and one.phones:
        kept: list[dict[str, Any]] = [{"phones": ()}, {"emails": ()}, {}]
        return replace(one, **rng.choice(kept))
    return one


def _married(people: People) -> tuple[Identity, Identity]:
    rng, (given, family) = people.rng, people.names()
    new = rng.choice([name for name in FAMILY if name != family])
    new = rng.choice([new, new, f"{family}-{new}"])
    kept: dict[str, Any] = rng.choice(
        [
            {"birth_date": people.date(), "place": rng.choice(TOWNS)},
            {"emails": (people.own_mailbox(given, family),)},
            {"phones": (people.mobile(),), "birth_date": people.date()},
            {"phones": (people.mobile(),), "place": rng.choice(TOWNS)},
        ]
    )
    return person(given, family, **kept), person(given, new, **kept)


def _moved(people: People) -> tuple[Identity, Identity]:
    rng, (given, family) = people.rng, people.names()
    kept: dict[str, Any] = rng.choice(
        [
            {"birth_date": people.date()},
            {"phones": (people.mobile(),)},
            {"emails": (people.own_mailbox(given, family),)},
        ]
    )
    sides = []
    for _ in range(2):
        host = people.host()
        emails = (*kept.get("emails", ()), people.work_address(given, family, host))
        fields = {**kept, "emails": emails, "organisation": people.firm(host), "place": rng.choice(TOWNS)}
        sides.append(person(given, family, **fields))
    return sides[0], sides[1]


def _respelt(people: People) -> tuple[Identity, Identity]:
    rng, (given, family) = people.rng, people.names()
    local, host = f"{given}.{family}".lower(), people.host()
    one, other = rng.choice(
        [
            (f"{local}@gmail.com", f"{local.replace('.', '')}@gmail.com"),
            (f"{local}@gmail.com", f"{local}@googlemail.com"),
            (f"{local}@{host}", f"{local}+{rng.choice(['crm', 'news', 'list'])}@{host}"),
            (f"{local}@gmail.com", f"{local}+{rng.choice(['shop', 'work'])}@googlemail.com"),
        ]
    )
    short = rng.choice([given, f"{given[0]}.", given])
    return person(given, family, emails=(one,)), person(short, family, emails=(other,))
