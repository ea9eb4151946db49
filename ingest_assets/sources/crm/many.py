"""Several values in one column: addresses, telephone numbers, web sites and identifiers as people list them.

Between them are semicolons, commas, bars or line breaks, or the column holds a JSON array of texts, or of
objects as CRMs keep them: [{"value": "ada@x.example", "label": "work"}].

What belongs here: one text to its values. What does not: their normal form (`entities.identifiers`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

# No pattern looks at a long text more than once from one place: a column may hold anything.
_QUOTED_NAME = re.compile(r'"[^"]*"\s*<')
_AROUND_ADDRESSES = re.compile(r"""[\s<>"',;:|()\[\]]+""")
_BETWEEN = re.compile(r"[;,|\n]")
_BETWEEN_SITES = re.compile(r"[;,|\s]+")
# What may come between two telephone numbers, and may be part of one too: "0431/123456", "555 0100, ext. 7".
_BETWEEN_PHONES = re.compile(
    r"(\s*[;|\n]\s*|\s*,\s*|\s*/\s*|\s+(?:&|and|or|und|oder)\s+|\s+(?=\(?\+\d))", re.IGNORECASE
)
_SURE = ";|\n"
_BLANKS = re.compile(r"[^\S\n]+")
_DIGITS = re.compile(r"\d")
_LEAST, _LEAST_AROUND_SLASH = 5, 7  # digits of a telephone number; before a slash there may be an area code
_OBJECT_KEYS = ("value", "email", "address", "mail", "phone", "number", "url", "domain")
_MAX_VALUES = 100  # in one column


def split(what: str, text: str) -> list[str]:
    """The values in a text. `what` is the identity's key: emails, phones, domains or identifiers."""
    texts = _of_json(text) if text[:1] in "[{" else None
    found = (value.strip() for each in ([text] if texts is None else texts) for value in _SPLIT[what](each))
    return list(dict.fromkeys(value for value in found if value))[:_MAX_VALUES]


def is_one(what: str, value: str) -> bool:
    """Whether a value looks like what it should be."""
    if what == "emails":
        return "@" in value
    return what != "phones" or len(_DIGITS.findall(value)) > 2  # noqa: PLR2004 - an emergency number has three


def _of_json(text: str) -> list[str] | None:
    """The texts of a JSON array, or of an object; None if it is neither, or holds something else."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = list(_texts(parsed)) if isinstance(parsed, list | dict) else None
    return found or (None if parsed else [])


def _texts(parsed: Any) -> Iterator[str]:
    if isinstance(parsed, str):
        yield parsed
    elif isinstance(parsed, int) and not isinstance(parsed, bool):
        yield str(parsed)
    elif isinstance(parsed, dict):
        named = {str(key).lower(): value for key, value in parsed.items()}
        yield from (named[key] for key in _OBJECT_KEYS if isinstance(named.get(key), str))
    elif isinstance(parsed, list):
        for each in parsed:
            if not isinstance(each, list):
                yield from _texts(each)


def _emails(text: str) -> Iterable[str]:
    """Addresses, without the names before them. A text without an address is one value, to be told of."""
    parts = _AROUND_ADDRESSES.split(_QUOTED_NAME.sub("<", text))
    found = [part.strip(".") for part in parts if "@" in part.strip("@")]
    return found or [text]


def _phones(text: str) -> Iterable[str]:
    parts = _BETWEEN_PHONES.split(_BLANKS.sub(" ", text))
    number, digits = [parts[0]], _count(parts[0])
    for between, part in zip(parts[1::2], parts[2::2], strict=True):
        least, more = _LEAST_AROUND_SLASH if "/" in between else _LEAST, _count(part)
        if any(sign in between for sign in _SURE) or min(digits, more) >= least:
            yield "".join(number)
            number, digits = [part], more
        else:
            number += (between, part)
            digits += more
    yield "".join(number)


def _count(text: str) -> int:
    return len(_DIGITS.findall(text))


_SPLIT: Mapping[str, Callable[[str], Iterable[str]]] = {
    "emails": _emails,
    "phones": _phones,
    "domains": _BETWEEN_SITES.split,
    "identifiers": _BETWEEN.split,
}
