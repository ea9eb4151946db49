"""What `.gitattributes` files say of a file: its language, and whether it is worth reading.

As in git, the file nearest to a path decides, its last line that matches wins, attribute by attribute, and
macros are defined at the root. Of the attributes, five are of use here.

What belongs here: lines of attributes, and which of them holds for a path. What does not: what one pattern
matches (wildmatch), what a language's name stands for (languages).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ingest_assets.sources.repositories.wildmatch import Pattern, parse

ATTRIBUTES_FILE = ".gitattributes"
MAX_ATTRIBUTES_BYTES = 1 << 18  # of one such file; a larger one is not applied

Value = str | bool | None  # as written, set or unset; None: not specified, whatever farther files say
Setting = tuple[str, Value]

_LANGUAGE, _GENERATED, _VENDORED = "linguist-language", "linguist-generated", "linguist-vendored"
_READ = frozenset({_LANGUAGE, _GENERATED, _VENDORED, "text", "diff"})
_MACRO = b"[attr]"
_BUILT_IN: Mapping[str, Sequence[Setting]] = {"binary": (("diff", False), ("merge", False), ("text", False))}
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ANY_NAME = re.compile(rb"\*(\.[^*?\[\\/.]+)")
_NAME = re.compile(r"[A-Za-z0-9_.][-A-Za-z0-9_.]*")  # git skips a line with any other one
_BOM = b"\xef\xbb\xbf"


class FileAttributes(NamedTuple):
    """What is said of one file; the defaults stand for nothing."""

    language: str | None = None  # as written
    generated: bool | None = None
    vendored: bool | None = None
    binary: bool = False  # neither text nor to be compared. `-text` alone is about the ends of lines


NOTHING_SAID = FileAttributes()


class GitAttributes:
    """The files of attributes that hold in one folder."""

    def __init__(self) -> None:
        self._files: tuple[tuple[int, _Lines], ...] = ()  # where their paths begin; the nearest first
        self._macros: Mapping[str, Sequence[Setting]] = _BUILT_IN

    def below(self, folder: str, content: bytes | None) -> GitAttributes:
        """Those that hold in a folder ("" or "src/") with a file of this content, or with none."""
        if content is None:
            return self
        inner = GitAttributes()
        lines = list(_parsed(content))
        inner._macros = self._macros
        if not folder:
            inner._macros = {**_BUILT_IN, **{macro: settings for macro, _, settings in lines if macro}}
        useful = _READ | inner._macros.keys()
        own = _Lines((pattern, kept) for _, pattern, settings in lines
                     if pattern and (kept := [each for each in settings if each[0] in useful]))  # fmt: skip
        inner._files = ((len(_bytes(folder)), own), *self._files)
        return inner

    def of(self, path: str) -> FileAttributes:
        """What is said of a file in this folder, given from the root."""
        if not self._files:
            return NOTHING_SAID
        raw = _bytes(path)
        found: dict[str, Value] = {}
        for start, lines in self._files:
            for settings in lines.matching(raw[start:]):
                self._fill(found, settings)
        if not found:
            return NOTHING_SAID
        language = found.get(_LANGUAGE)
        return FileAttributes(
            language if isinstance(language, str) else None,
            _flag(found.get(_GENERATED)),
            _flag(found.get(_VENDORED)),
            found.get("text") is False and found.get("diff") is False,
        )

    def _fill(self, found: dict[str, Value], settings: Sequence[Setting]) -> None:
        """Take over what is not known yet; the last setting of a line wins, and macros are expanded."""
        waiting = list(settings)  # the last one is next; macros may name each other in a chain of any length
        while waiting:
            name, value = waiting.pop()
            if name not in found:
                found[name] = value
                if value is True and name in self._macros:
                    waiting += self._macros[name]


class _Lines:
    """The lines of one file. Names and "*.extension" are looked up, other patterns are tried."""

    def __init__(self, lines: Iterable[tuple[Pattern, Sequence[Setting]]]) -> None:
        self._settings: list[Sequence[Setting]] = []
        self._names: dict[bytes, list[int]] = {}
        self._paths: dict[bytes, list[int]] = {}
        self._extensions: dict[bytes, list[int]] = {}
        self._others: list[tuple[int, Pattern]] = []
        for number, (pattern, settings) in enumerate(lines):
            self._settings.append(settings)
            if pattern.literal is not None:
                literals = self._paths if pattern.whole_path else self._names
                literals.setdefault(pattern.literal, []).append(number)
            elif not pattern.whole_path and (any_name := _ANY_NAME.fullmatch(pattern.source)):
                self._extensions.setdefault(any_name[1], []).append(number)
            else:
                self._others.append((number, pattern))

    def matching(self, path: bytes) -> Iterator[Sequence[Setting]]:
        """The settings of the lines that match, the last one first."""
        name = path[path.rfind(b"/") + 1 :]
        extension = name[name.rfind(b".") :] if b"." in name else b""
        numbers = [*self._names.get(name, ()), *self._paths.get(path, ())]
        numbers += self._extensions.get(extension, ())
        numbers += (n for n, each in self._others if each.matches(path if each.whole_path else name))
        for number in sorted(numbers, reverse=True):
            yield self._settings[number]


def _parsed(content: bytes) -> Iterator[tuple[str, Pattern | None, list[Setting]]]:
    """(name of a macro or "", pattern, settings) of each line that git would use."""
    for line in content.removeprefix(_BOM).splitlines():
        text = line.strip(b" \t\r")
        if not text or text.startswith(b"#"):
            continue
        first, rest = _first(text)
        settings = [_setting(word) for word in rest.split()]
        if not all(_NAME.fullmatch(name) for name, _ in settings):
            continue
        if first.startswith(_MACRO):
            yield first.removeprefix(_MACRO).decode("utf-8", "replace"), None, settings
        elif (pattern := parse(first)) and not pattern.negated and not pattern.folders_only:
            yield "", pattern, settings


def _first(line: bytes) -> tuple[bytes, bytes]:
    """The pattern of a line, which may be in quotes as C has them, and what follows."""
    if quoted := _QUOTED.match(line):
        return _ESCAPE.sub(_unescaped, quoted[1]), line[quoted.end() :]
    if line.startswith(_MACRO):
        name, _, rest = line.removeprefix(_MACRO).lstrip().partition(b" ")
        return _MACRO + name, rest
    words = line.split(None, 1)
    return words[0], words[1] if len(words) > 1 else b""


def _unescaped(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    if len(escape) == 1:
        return _ESCAPES.get(escape, escape)
    return bytes([int(escape, 8) & 0xFF])


def _setting(word: bytes) -> Setting:
    name, equals, value = word.decode("utf-8", "replace").partition("=")
    if name[:1] in ("-", "!"):
        return name[1:], False if name[0] == "-" else None
    return name, value if equals else True


def _flag(value: Value) -> bool | None:
    """People write "linguist-generated=true" as well."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
