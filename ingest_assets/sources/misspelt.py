"""Variables in the environment, or in `.env`, that look like a setting with a wrong name.

A setting that nobody reads changes nothing, and nothing says so. So names that are like those of our settings
are pointed out; variables of other programs never are, though some share a prefix with ours.

What belongs here: which names are meant. What does not: what a value must be (`settings`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from ingest_assets.settings import FromEnvironment, Settings
from ingest_assets.sources.registry import Sources

# The first word of names that nobody else uses. So are the names of sources: of two such variables that are
# alike, one is a mistake.
OURS = "INGEST"
# Names that other programs have too, and vary as they like.
COMMON = frozenset({"DATABASE_URL", "SUPABASE_DB_URL", "DAGSTER_HOME"})
LONG = 8  # characters: of shorter names, any is like another
TYPOS = 2  # letters that may be wrong
# Read by benchmarks and tests, not by the product.
OTHERS = ("INGEST_BENCHMARK_", "INGEST_TEST_", "INGEST_REQUIRE_")


class Misspelt(NamedTuple):
    """A variable that no setting has the name of."""

    name: str
    place: str  # "the environment" or ".env"
    meant: str  # "" if nothing is like it

    def __str__(self) -> str:
        said = f"{self.name} (in {self.place}) is no setting"
        return f"{said}: did you mean {self.meant}?" if self.meant else f"{said}, and has no effect."


def misspelt_settings(sources: Sources) -> list[Misspelt]:
    """What the environment and `.env` hold that looks like a setting and is none, by name."""
    known, ours = known_settings(sources), own_words(sources)
    # A package whose source is left out may have settings that are not known here.
    strict = not sources.left_out
    found: dict[str, Misspelt] = {}
    for place, names in (("the environment", os.environ), (".env", _in_file())):
        for name in names:
            meant = meant_by(name.upper(), known, ours, strict=strict)
            if meant is not None:
                found.setdefault(name, Misspelt(name, place, meant))
    return sorted(found.values())


def known_settings(sources: Sources) -> frozenset[str]:
    """The names of all settings, those of every source included."""
    kinds: list[type[FromEnvironment]] = [Settings]
    kinds += [source.settings for source in sources.values() if source.settings is not None]
    return frozenset(name.upper() for kind in kinds for name in kind.model_fields)


def own_words(sources: Sources) -> frozenset[str]:
    """First words of names that nobody else uses."""
    return frozenset({OURS, *(name.upper() for name in sources)})


def meant_by(name: str, known: Collection[str], ours: Collection[str], *, strict: bool = True) -> str | None:
    """The setting that a variable's name is meant to be; None if it is one, or another program's.

    `ours` are first words that nobody else uses. "" for a name that begins with `OURS` and is like none,
    if `strict`.
    """
    if name in known or name.startswith(OTHERS):
        return None
    from jellyfish import damerau_levenshtein_distance

    def is_ours(each: str) -> bool:
        return each.partition("_")[0] in ours

    near: list[tuple[int, str]] = []
    for each in known:
        if each in COMMON or abs(len(each) - len(name)) > TYPOS:
            continue
        distance = damerau_levenshtein_distance(name, each)
        if distance <= _allowed(name, each, (is_ours(name), is_ours(each))):
            near.append((distance, each))
    if near:
        return min(near)[1]
    if same := sorted(each for each in known if _words(each) == _words(name) and is_ours(each)):
        return same[0]
    if strict and name.startswith(f"{OURS}_"):
        rests = sorted(each.partition("_")[2] for each in known if each.startswith(f"{OURS}_"))
        alike = get_close_matches(name.partition("_")[2], rests, 1)
        return f"{OURS}_{alike[0]}" if alike else ""
    return None


def _allowed(name: str, setting: str, ours: tuple[bool, bool]) -> int:
    """How many letters may be wrong for one to be meant by the other; `ours` says which of them are."""
    if len(setting) < LONG or "_" not in name:
        return 0
    if ours[1]:
        # Two letters of a first word make another one: that of another program.
        return TYPOS if ours[0] else 1
    # Of a prefix that others use: REDIS_HOSTS and GATE_URI are theirs, REDIS_HSOT and REDIS_HOSST are not.
    slip = sorted(name) == sorted(setting) or (len(name) != len(setting) and name != f"{setting}S")
    return 1 if slip else 0


def _words(name: str) -> Collection[str]:
    return sorted(name.split("_"))


def _in_file() -> Mapping[str, object] | Iterable[str]:
    """The names in `.env`; none if it cannot be read, which reading the settings reports."""
    from pydantic_settings import DotEnvSettingsSource

    try:
        return [name.upper() for name in DotEnvSettingsSource(Settings).env_vars]
    except (OSError, UnicodeDecodeError):
        return []
