"""Which files of a folder on disk git would ignore: `.gitignore` in each folder, and the user's own excludes.

As in git, the file nearest to a path decides, its last match wins, and nothing below an ignored folder is
included again. What git tracks is never ignored: whoever walks the folder knows that (`disk`).

What belongs here: which of several lists decides. What does not: what one pattern matches (wildmatch).
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest_assets.sources.repositories.ignore import patterns_of

IGNORE_FILE = ".gitignore"
MAX_BYTES = 1 << 20  # of one such file


class GitIgnores:
    """The lists that hold in one folder."""

    def __init__(self, excludes: Sequence[bytes] = ()) -> None:
        """`excludes` are the contents of lists for the whole folder, the strongest first."""
        self._lists = tuple((0, patterns_of(each)) for each in excludes)

    def below(self, folder: str, content: bytes | None) -> GitIgnores:
        """Those that hold in a folder ("" or "src/") with a `.gitignore` of this content, or with none."""
        if content is None:
            return self
        inner = GitIgnores()
        inner._lists = ((len(folder.encode("utf-8", "surrogateescape")), patterns_of(content)), *self._lists)
        return inner

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether a file or folder in this folder, given from the root, is ignored."""
        raw = path.encode("utf-8", "surrogateescape")
        for start, patterns in self._lists:
            verdict = patterns.verdict(raw[start:], is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False
