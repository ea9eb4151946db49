"""A person's identity, under another name or mistyped. What does not belong here: which make a pair."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from ingest_assets.model import Identity


def person(given: str, family: str, **fields: Any) -> Identity:
    return Identity("person", f"{given} {family}", given_name=given, family_name=family, **fields)


def rename(one: Identity, given: str, family: str) -> Identity:
    return replace(one, name=f"{given} {family}", given_name=given, family_name=family)


def typed_wrongly(rng: random.Random, word: str) -> str:
    """One slip of the keyboard, not in the first letter."""
    at = rng.randrange(1, max(len(word) - 1, 2))
    letter = rng.choice("abcdefghiklmnoprstuvwy")
    return rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
            word[:at] + letter + word[at + 1 :],
        ]
    )
