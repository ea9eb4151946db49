"""Normalises organisations' names.

What belongs here: pure functions of names. What does not: how two organisations are compared (see
`organisations`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ingest_assets.entities.text import fold, plain
from ingest_assets.entities.wordlists import lines

# Words between two names of owners, which one spelling has and another one writes as a sign.
_ANDS = frozenset(["and", "und", "et", "y", "e", "en", "og", "och", "i", "ja", "a", "ve", "si", "es", "kai"])
_UMLAUTS = re.compile(r"(?<=[aou])e(?![iu])|(?<=a)e(?=u)")  # ü and ue, äu and aeu; not in "queue"
MOST_FORMS = 3  # "GmbH & Co. KG", "Ltd. Şti."


@lru_cache(maxsize=100_000)
def organisation_name(text: str) -> str:
    """An organisation's name, folded, without legal form, with one spelling of "and" and of umlauts."""
    from cleanco import basename

    shown = unicodedata.normalize("NFKC", text)
    for form in _joined():
        shown = shown.replace(form, " ")
    name = " ".join(re.sub(r"[.«»„“”\"]", "", shown).split())
    folded = fold(basename(name) or name) or fold(text)
    words = _without_forms(folded.split())
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    words = [word for at, word in enumerate(words) if word not in _ANDS or at in {0, len(words) - 1}]
    return _UMLAUTS.sub("", " ".join(words))


def _without_forms(words: list[str]) -> list[str]:
    """The words between legal forms; all of them if there is nothing else."""
    for _ in range(MOST_FORMS):
        for length in (4, 3, 2, 1):
            if len(words) > length and tuple(words[-length:]) in _forms()[0]:
                words = words[:-length]
            elif len(words) > length and tuple(words[:length]) in _forms()[1]:
                words = words[length:]
    return words


@lru_cache(maxsize=1)
def _forms() -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """Forms that stand after a name, and those that stand before it too."""
    known = [form for form in lines("legal_forms") if not form.startswith("=")]
    before = [form[1:] for form in known if form.startswith("^")]
    after = [form.removeprefix("^") for form in known]
    return _as_words(after), _as_words(before)


def _as_words(forms: list[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(plain(form).split()) for form in forms)


@lru_cache(maxsize=1)
def _joined() -> tuple[str, ...]:
    """Forms that are written without a space, the longest first."""
    found = {unicodedata.normalize("NFKC", form[1:]) for form in lines("legal_forms") if form.startswith("=")}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))
