"""Which paths of a repository are ignored, by git's rules: whole names, never substrings.

Three lists in order, the last match wins: our defaults, the repository's `.ingestignore`, the caller's. As in
git, a pattern that begins with "!" includes a path again, but not below a folder that is itself ignored.

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
# A pattern becomes a regular expression; each * in it may multiply its running time by the length of a name.
_MAX_STARS = 3


class IgnoreRules:
    """The rules for one commit of one repository.

    `own` is the content of its `.ingestignore`; unusable lines in it are skipped, as git does.
    Raises ConfigurationError when one of `patterns`, the caller's, cannot be used.
    """

    def __init__(self, patterns: Sequence[str] = (), own: bytes = b"") -> None:
        from pathspec import GitIgnoreSpec

        own_lines = own[:MAX_IGNORE_BYTES].decode("utf-8", "replace").splitlines()
        lines = [*default_patterns(), *(line for line in own_lines if _is_usable(line)), *checked(patterns)]
        self._spec = GitIgnoreSpec.from_lines(lines)
        self._folders: dict[str, bool] = {"": False}

    def verdict(self, folder: str, name: str) -> bool | None:
        """True: ignored. False: a pattern includes it again. None: no pattern matches.

        `folder` is "" or ends with "/". Verdicts on folders are cached.
        """
        if self.ignores_folder(folder):
            return True
        return self._spec.check_file(folder + name).include

    def ignores_folder(self, folder: str) -> bool:
        """Whether everything below a folder ("src/", or "" for the root) is ignored."""
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
    """The same patterns. Raises ConfigurationError for the first one that is not valid."""
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
    except (ValueError, re.error):  # from pathspec, or from the regular expression that it builds
        return False
    return "\0" not in line
