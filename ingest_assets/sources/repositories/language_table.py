"""Languages that users add: a table from a file's name or extension to a language, and to what splits it.

A language is shown and searched by its name, and split by a grammar, its own or another one's, or as plain
text. The two together are a label: "EJS:HTML" is EJS, split as HTML is. "Python" alone is split by its own
grammar, "Tcl" alone, which has none, as text.

What belongs here: labels, and the table of the settings. What does not: what languages there are (languages).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from posixpath import basename

from ingest_assets.model import digest_of
from ingest_assets.sources.repositories.attributes import FileAttributes
from ingest_assets.sources.repositories.languages import fingerprint, known, language_of, names
from ingest_assets.sources.repositories.linguist import extensions_of

TEXT = "text"
PROSE = "Text"  # the language of plain text
MAX_NAME = 60
# Languages without a grammar here that another one's splits well.
_SPLIT_AS = {"GLSL": "C", "EJS": "HTML"}
_OWN_NAME = re.compile(r"[\w+#.*'/ -]+")


@dataclass(frozen=True, slots=True)
class LanguageTable:
    """What the settings say. Keys are names of files, and extensions in lower case, with their dot."""

    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Equal ones mean equal languages for equal files."""
        own = [text for pair in sorted(self.labels.items()) for text in pair]
        return digest_of(fingerprint(), repr(_SPLIT_AS), *own)

    def named(self, path: str) -> str | None:
        """The label of a file by its name, or else by its longest extension."""
        if not self.labels:
            return None
        name = basename(path)
        if (label := self.labels.get(name)) is not None:
            return label
        return next((self.labels[each] for each in extensions_of(name) if each in self.labels), None)

    def of(self, path: str, content: bytes, attributes: FileAttributes) -> str | None:
        """The label of a text file: by the settings, its attributes, and what is known; None if not read."""
        if (label := self.named(path)) is not None:
            return label
        language = known_language(attributes.language) if attributes.language else None
        language = language or language_of(path, content)
        return None if language is None else _labelled(language)


NO_TABLE = LanguageTable()


def known_language(written: str) -> str | None:
    """What `linguist-language` means, where "-" may stand for a space; None if there is no such language."""
    return known(written) or known(written.replace("-", " "))


def split_label(label: str) -> tuple[str, str | None]:
    """(the name of a language, the grammar that splits it if that is not its own)."""
    name, _, grammar = label.partition(":")
    return name, grammar or None


def language_table(entries: Sequence[str]) -> LanguageTable:
    """The table of entries such as ".tcl=Tcl", "Justfile=Makefile:text" and ".ejs=EJS:HTML".

    Raises ValueError, with what was probably meant, for one that is not known.
    """
    labels: dict[str, str] = {}
    for entry in entries:
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not key or key == "." or "/" in key:
            raise ValueError(
                f"has {entry[:80]!r}, which is not .EXTENSION=LANGUAGE or FILENAME=LANGUAGE, such as .tcl=Tcl"
            )
        label = _label(value)
        labels[key] = label
        if key.startswith("."):
            labels[key.lower()] = label
    return LanguageTable(labels)


def _labelled(language: str) -> str:
    split_as = _SPLIT_AS.get(language)
    return language if split_as is None else f"{language}:{split_as}"


def _label(value: str) -> str:
    written, colon, by = (part.strip() for part in value.partition(":"))
    if not written or len(written) > MAX_NAME or not _OWN_NAME.fullmatch(written):
        raise ValueError(f"has {value[:80]!r}, which is not a name of a language")
    language = PROSE if written.lower() == TEXT else known_language(written)
    if not colon:
        if language is None:
            hint = _meant(written, [*names(), TEXT])
            raise ValueError(
                f"names the language {written!r}, which is not known{hint}. For a language of your own, say "
                f"what splits it: {written}:text, or {written}:GRAMMAR"
            )
        return _labelled(language)
    grammars = _grammars()
    if by.lower() not in grammars:
        raise ValueError(
            f"names the grammar {by[:MAX_NAME]!r}, and there is no such one{_meant(by, grammars.values())}. "
            f"There are {', '.join(grammars.values())}"
        )
    return _with_grammar(language or written, grammars[by.lower()])


def _with_grammar(language: str, grammar: str) -> str:
    """The shortest label: what splits a language is left out where that is clear."""
    has_one = language.lower() in _grammars() or language in _SPLIT_AS
    clear = grammar == language or (grammar == TEXT and not has_one)
    return language if clear else f"{language}:{grammar}"


@cache
def _grammars() -> dict[str, str]:
    """What can split a file, by its name in lower case."""
    from ingest_assets.chunking.code.languages import LANGUAGES  # loads the parser

    return {name.lower(): name for name in (*LANGUAGES, TEXT)}


def _meant(written: str, there: Iterable[str]) -> str:
    lowered = {name.lower(): name for name in there}
    close = difflib.get_close_matches(written.lower(), lowered, 3)
    return f" (did you mean {' or '.join(lowered[each] for each in close)}?)" if close else ""
