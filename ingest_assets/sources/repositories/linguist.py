"""GitHub Linguist's table of languages (`linguist.tsv`): their names, and what files they are written in.

What belongs here: reading the table. What does not: what a file's language is (languages).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ingest_assets.model import digest_of

_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Linguist:
    """The table. All keys but the names of files are in lower case."""

    names: dict[str, str]  # the name of a language by that, and by its other names
    extensions: dict[str, str]  # ".tcl"
    files: dict[str, str]  # "SConstruct"
    digest: str


@cache
def linguist() -> Linguist:
    """Read once per process."""
    text = files(__package__).joinpath("linguist.tsv").read_text("utf-8")
    found = Linguist({}, {}, {}, digest_of(text))
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, others, extensions, names = (*line.split("\t"), *[""] * _COLUMNS)[:_COLUMNS]
        found.names.update(dict.fromkeys(others.split(), name))
        found.extensions.update(dict.fromkeys(extensions.split(), name))
        found.files.update({file.replace("/", " "): name for file in names.split()})
    # A language's own name counts more than another one's nickname.
    for line in text.splitlines():
        if not line.startswith("#"):
            name = line.partition("\t")[0]
            found.names[name.lower()] = name
    return found


def extensions_of(name: str) -> Iterator[str]:
    """The extensions of a file's name, in lower case, the longest first: .tcl.in, then .in."""
    at = name.find(".", 1)
    while at >= 0:
        yield name[at:].lower()
        at = name.find(".", at + 1)
