"""Which paths of a repository are ignored, by git's rules: whole names, never substrings.

Three lists in order, the last match wins: our defaults, the repository's `.ingestignore`, the caller's. As in
git, a pattern that begins with "!" includes a path again, but not below a folder that is itself ignored.

What belongs here: lists of patterns, and paths. What does not: what one pattern matches (wildmatch), what a
file holds (content).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.repositories.wildmatch import Pattern, parse

IGNORE_FILE = ".ingestignore"
MAX_IGNORE_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"


class IgnoreRules:
    """The rules for one commit of one repository.

    `own` is the content of its `.ingestignore`; lines that can match nothing are skipped, as git does.
    Raises ConfigurationError when one of `patterns`, the caller's, cannot be used.
    """

    def __init__(self, patterns: Sequence[str] = (), own: bytes = b"") -> None:
        lines = [*map(_bytes, default_patterns()), *_lines(own), *map(_bytes, checked(patterns))]
        self._patterns = Patterns(found for line in lines if (found := parse(line)))
        self._folders: dict[str, bool] = {"": False}

    def verdict(self, folder: str, name: str) -> bool | None:
        """True: ignored. False: a pattern includes it again. None: no pattern matches.

        `folder` is "" or ends with "/". Verdicts on folders are cached.
        """
        if self.ignores_folder(folder):
            return True
        return self._patterns.verdict(_bytes(folder + name), is_folder=False)

    def ignores_folder(self, folder: str) -> bool:
        """Whether everything below a folder ("src/", or "" for the root) is ignored."""
        known = self._folders.get(folder)
        if known is None:
            path = folder.rstrip("/")
            above = path[: path.rfind("/") + 1]
            known = self.ignores_folder(above) or self._patterns.verdict(_bytes(path), is_folder=True) is True
            self._folders[folder] = known
        return known


class Patterns:
    """Patterns of which the last one that matches wins. Those without a wildcard are looked up."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._names: dict[bytes, list[tuple[int, Pattern]]] = {}
        self._paths: dict[bytes, list[tuple[int, Pattern]]] = {}
        self._others: list[tuple[int, Pattern]] = []  # the last one first, as everywhere here
        for each in reversed(list(enumerate(patterns))):
            pattern = each[1]
            if pattern.literal is None:
                self._others.append(each)
            else:
                literals = self._paths if pattern.whole_path else self._names
                literals.setdefault(pattern.literal, []).append(each)

    def verdict(self, path: bytes, *, is_folder: bool) -> bool | None:
        name = path[path.rfind(b"/") + 1 :]
        literal = [*self._names.get(name, ()), *self._paths.get(path, ())]
        best = max(
            (each for each in literal if is_folder or not each[1].folders_only), default=None, key=_first
        )
        for position, pattern in self._others:
            if best and position < best[0]:
                break
            if pattern.folders_only and not is_folder:
                continue
            if pattern.matches(path if pattern.whole_path else name):
                return not pattern.negated
        return None if best is None else not best[1].negated


@cache
def default_patterns() -> tuple[str, ...]:
    """The patterns that hold for every repository."""
    text = files(__package__).joinpath("ignored.gitignore").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def checked(patterns: Sequence[str]) -> list[str]:
    """The same patterns. Raises ConfigurationError for the first one that can match nothing."""
    for pattern in patterns:
        if not pattern.startswith("#") and parse(_bytes(pattern)) is None:
            raise ConfigurationError(f"{pattern[:80]!r} is not a gitignore pattern.")
    return list(patterns)


def patterns_of(content: bytes) -> Patterns:
    """The patterns of a file of them. Lines that can match nothing are skipped, as git does."""
    return Patterns(found for line in _lines(content) if (found := parse(line)))


def _first(each: tuple[int, Pattern]) -> int:
    return each[0]


def _lines(own: bytes) -> Iterator[bytes]:
    for line in own.removeprefix(_BOM).split(b"\n"):
        yield line.removesuffix(b"\r")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
