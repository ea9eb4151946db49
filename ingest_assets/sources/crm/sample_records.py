"""People and organisations of the sample CRM, some of them duplicated, as in real CRMs.

A duplicate differs in ways that people cause (a typo, a nickname, another address, the legal form spelt out)
and keeps at least one thing unique to its original: an e-mail address, a telephone number, a domain.
What belongs here: the records. What does not: their tables (sample) and what is written about them.
"""

# ruff: noqa: PLR2004 - the odds of made-up data need no names

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from random import Random

from ingest_assets.sources.crm.sample_text import TextWriter
from ingest_assets.sources.crm.sample_words import Culture, vocabulary

_LETTERS = "abcdefghijklmnoprstuvwz"
_SPELT = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O"})


@dataclass(frozen=True, slots=True)
class Organisation:
    original: int  # id of the record that this one is a duplicate of, or its own
    culture: Culture
    stem: str
    legal_form: str
    industry: str
    domain: str | None
    phone: str | None
    city: str

    @property
    def name(self) -> str:
        comma = self.legal_form.startswith(",")
        return f"{self.stem}{self.legal_form}" if comma else f"{self.stem} {self.legal_form}".strip()


@dataclass(frozen=True, slots=True)
class Person:
    original: int
    given: str
    family: str
    name: str
    title: str | None
    email: str | None
    second_email: str | None
    phone: str | None
    organisation: int


class Registry:
    """Draws records; values that tell records apart are never drawn twice."""

    def __init__(self, rng: Random, duplicates: float) -> None:
        self._rng = rng
        self._writer = TextWriter(rng)
        self._words = vocabulary()
        self._industries = tuple(self._words.industries)
        self._duplicates = duplicates
        self._taken: set[str] = set()
        self.organisations: list[Organisation] = []  # id i is at index i - 1
        self.people: list[Person] = []

    def add_organisation(self) -> Organisation:
        made = (
            self._duplicate_organisation()
            if self._draws_duplicate(self.organisations)
            else self._organisation()
        )
        self.organisations.append(made)
        return made

    def add_person(self) -> Person:
        made = self._duplicate_person() if self._draws_duplicate(self.people) else self._person()
        self.people.append(made)
        return made

    def _draws_duplicate(self, earlier: list[Organisation] | list[Person]) -> bool:
        return bool(earlier) and self._rng.random() < self._duplicates

    def _organisation(self) -> Organisation:
        pick = self._writer.pick
        culture, industry = pick(self._words.cultures), pick(self._industries)
        root = f"{pick(self._words.beginnings)}{pick(self._words.endings)}"
        while (stem := f"{root} {industry}") in self._taken:
            root = f"{root.partition(' & ')[0]} & {pick(culture.family)}"
        self._taken.add(stem)
        domain = self._unused(f"{_plain(root).replace('&', '-')}-{industry}".lower(), f".{culture.tld}")
        return Organisation(
            original=len(self.organisations) + 1,
            culture=culture,
            stem=stem,
            legal_form=pick(culture.legal_forms)[0],
            industry=industry,
            domain=domain,
            phone=self._phone(culture),
            city=pick(culture.cities),
        )

    def _duplicate_organisation(self) -> Organisation:
        first = self.organisations[self._writer.pick(self.organisations).original - 1]
        spellings = next(forms for forms in first.culture.legal_forms if forms[0] == first.legal_form)
        way = self._writer.number(0, 3)
        if way == 0:
            return replace(first, legal_form=self._writer.pick((*spellings[1:], "")), phone=None)
        if way == 1:
            return replace(first, stem=self._typo(first.stem), domain=f"www.{first.domain}")
        if way == 2:
            return replace(first, stem=first.stem.upper(), domain=None, phone=_other_format(first.phone))
        spelling = spellings[-1]
        return replace(first, legal_form=spelling, domain=f"https://{first.domain}/", phone=None)

    def _person(self) -> Person:
        pick = self._writer.pick
        organisation = self._writer.number(1, len(self.organisations))
        employer = self.organisations[organisation - 1]
        at_home = self._rng.random() < 0.8
        culture = employer.culture if at_home else pick(self._words.cultures)
        given, family = pick(culture.given), pick(culture.family)
        if self._rng.random() < 0.2:
            other = pick(culture.family)
            family = f"{family}-{other}" if other != family else family
        middle = f" {pick('ABCDEFGHJKLMPRST')}." if self._rng.random() < 0.25 else ""
        domain = self.organisations[employer.original - 1].domain
        return Person(
            original=len(self.people) + 1,
            given=given,
            family=family,
            name=f"{given}{middle} {family}",
            title=pick(self._words.job_titles),
            email=self._unused(f"{_plain(given)}.{_plain(family)}", f"@{domain}"),
            second_email=None,
            phone=self._phone(culture) if self._rng.random() < 0.9 else None,
            organisation=organisation,
        )

    def _duplicate_person(self) -> Person:
        first = self.people[self._writer.pick(self.people).original - 1]
        way = self._writer.number(0, 3)
        if way == 0:
            return replace(first, name=self._typo(first.name), phone=_other_format(first.phone), title=None)
        if way == 1:
            nickname = self._words.nicknames.get(first.given, f"{first.given[0]}.")
            private = self._unused(f"{_plain(first.given)}{_plain(first.family)}", "@mailbox.example")
            # Without a telephone number the old address must stay, or nothing would identify the person.
            kept = None if first.phone else first.email
            phone = _other_format(first.phone)
            return replace(
                first, name=f"{nickname} {first.family}", email=private, second_email=kept, phone=phone
            )
        if way == 2:
            email = (first.email or "").upper()
            return replace(first, name=f"{first.family}, {first.given}", email=email, phone=None)
        return replace(first, name=_plain(first.name, lower=False), title=None, phone=None)

    def _phone(self, culture: Culture) -> str:
        number = self._writer.number
        while True:
            phone = f"+{culture.dial} {number(20, 98)} {number(100, 999)} {number(1_000, 9_999)}"
            if phone not in self._taken:
                self._taken.add(phone)
                return phone

    def _unused(self, start: str, end: str) -> str:
        """`start` + `end`, with the first number between them that makes it unique."""
        candidate, n = f"{start}{end}", 1
        while candidate in self._taken:
            n += 1
            candidate = f"{start}{n}{end}"
        self._taken.add(candidate)
        return candidate

    def _typo(self, text: str) -> str:
        """One letter, not the first, is dropped, doubled, swapped with the next or mistyped."""
        at = self._writer.pick([i for i in range(1, len(text) - 1) if text[i].isalpha()])
        before, here, after = text[:at], text[at], text[at + 1 :]
        wrong = self._writer.pick(_LETTERS)
        typed = self._writer.pick(("", here * 2, after[0] + here, wrong if wrong != here else ""))
        rest = after[1:] if typed == after[0] + here else after
        changed = f"{before}{typed}{rest}"
        return changed if changed != text else f"{before}{after}"


def _other_format(phone: str | None) -> str | None:
    """'+49 40 555 1234' as '0049 (40) 555-1234'."""
    if phone is None:
        return None
    dial, area, *rest = phone.split()
    return f"00{dial[1:]} ({area}) {'-'.join(rest)}"


def _plain(name: str, *, lower: bool = True) -> str:
    """A name in ASCII; with `lower`, in lower case and without spaces and apostrophes, as in addresses."""
    decomposed = unicodedata.normalize("NFKD", name.translate(_SPELT))
    ascii_name = decomposed.encode("ascii", "ignore").decode()
    return ascii_name.lower().replace(" ", "").replace("'", "") if lower else ascii_name
