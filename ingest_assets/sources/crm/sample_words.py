"""The words of the sample CRM, read from sample_words.toml.

What belongs here: their shape. What does not: sentences (sample_text) and rows (sample_records, sample).
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_FILE = Path(__file__).with_suffix(".toml")


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


Strings = tuple[str, ...]
Words = Annotated[Strings, BeforeValidator(_split)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Culture(_Table):
    """Names that go together, and where people with such names and their companies are."""

    country: str
    cities: Strings
    dial: str  # country calling code
    tld: str
    legal_forms: tuple[Strings, ...]  # each with its other spellings
    given: Words
    family: Words


class Topic(_Table):
    """A subject of correspondence; sentences with slots, see `sample_text`."""

    name: str
    subjects: Strings
    facts: Strings
    asks: Strings


class Vocabulary(_Table):
    """The whole vocabulary."""

    job_titles: Strings
    stages: Strings
    currencies: Strings
    owners: Strings
    products: Strings
    sites: Strings
    months: Strings
    beginnings: Words
    endings: Words
    industries: dict[str, str]  # name -> what such a company does
    nicknames: dict[str, str]
    cultures: tuple[Culture, ...]
    topics: tuple[Topic, ...]


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.model_validate(tomllib.loads(_FILE.read_text("utf-8")))
