"""Which paths of a repository are passed over, by git's rules for ignoring: whole names, never substrings.

Three lists in order, the last match wins: our defaults, the repository's `.ingestignore`, the caller's. As in
git a pattern that begins with "!" takes a path back, but not below a folder that is left out itself.

What belongs here: patterns and paths. What does not: what a file holds (content).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from ingest_assets.model import ConfigurationError

IGNORE_FILE = ".ingestignore"
MAX_IGNORE_BYTES = 1 << 16
_MAX_LINE = 500
# A pattern becomes a regular expression; each * in it may multiply its time by the length of a name.
_MAX_STARS = 3


class IgnoreRules:
    """The rules for one commit of one repository.

    `own` is what its `.ingestignore` holds; lines there that cannot be used are passed over, as git does.
    Raises ConfigurationError when one of `patterns`, the caller's, cannot be used.
    """

    def __init__(self, patterns: Sequence[str] = (), own: bytes = b"") -> None:
        from pathspec import GitIgnoreSpec

        theirs = own[:MAX_IGNORE_BYTES].decode("utf-8", "replace").splitlines()
        lines = [*default_patterns(), *(line for line in theirs if _is_usable(line)), *checked(patterns)]
        self._spec = GitIgnoreSpec.from_lines(lines)
        self._folders: dict[str, bool] = {"": False}

    def verdict(self, folder: str, name: str) -> bool | None:
        """True: passed over. False: a pattern takes it back. None: no pattern speaks of it.

        `folder` is "" or ends with "/". A folder that was asked about is remembered.
        """
        if self.ignores_folder(folder):
            return True
        return self._spec.check_file(folder + name).include

    def ignores_folder(self, folder: str) -> bool:
        """Whether everything below a folder ("src/", or "" for the root) is passed over."""
        known = self._folders.get(folder)
        if known is None:
            above = folder[: folder.rstrip("/").rfind("/") + 1]
            known = self.ignores_folder(above) or self._spec.check_file(folder).include is True
            self._folders[folder] = known
        return known


@cache
def default_patterns() -> tuple[str, ...]:
    """The patterns that hold for every repository."""
    text = files(__package__).joinpath("ignored.gitignore").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def checked(patterns: Sequence[str]) -> list[str]:
    """The patterns again. Raises ConfigurationError for the first that cannot be used."""
    for pattern in patterns:
        if not _compiles(pattern):
            raise ConfigurationError(f"{pattern[:80]!r} is not a gitignore pattern.")
    return list(patterns)


def _is_usable(line: str) -> bool:
    return len(line) <= _MAX_LINE and line.replace("**", "*").count("*") <= _MAX_STARS and _compiles(line)


def _compiles(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):  # pathspec's, and that of the regular expression that it makes
        return False
    return "\0" not in line
