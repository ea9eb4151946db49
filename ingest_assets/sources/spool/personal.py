"""Which names of sources are the same to people, so that none of them gets past `SPOOL_PII_SOURCES`.

What belongs here: comparing names. What does not: what follows for a batch (`gates`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# What is not seen and is of another category than these: fillers, joiners and variation selectors.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)


@lru_cache(4_096)  # a batch has many records, and few sources
def source_key(source: str) -> str:
    """What names have in common that look the same but for case, width, and the number of their spaces."""
    # Before and after: NFKC makes letters of signs, and folding the case can take them apart again.
    text = unicodedata.normalize("NFKC", _seen(source)).casefold()
    text = unicodedata.normalize("NFKC", _seen(text))
    return " ".join(text.split())


def _seen(text: str) -> str:
    kept = (each for each in text if each.isspace() or unicodedata.category(each) not in _INVISIBLE)
    return _FILLERS.sub("", "".join(kept))
