"""Makes the table of languages from GitHub Linguist's: names, other names, extensions and names of files.

    python -m tools.linguist languages.yml ingest_assets/sources/repositories/linguist.tsv

The file is lib/linguist/languages.yml of https://github.com/github-linguist/linguist. Extensions and names of
files are taken for languages that are programmed or marked up in, not for data, and only where they stand for
one language.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_WRITTEN = ("programming", "markup")
# Written by programs, and of no use to people who search.
_NOT_FOR_PEOPLE = frozenset({"G-code", "PostScript", "Roff Manpage", "SVG"})
_HEADER = """\
# Languages as GitHub Linguist has them: name, other names, extensions, names of files, each list by spaces
# (in names of files "/" stands for one). Made by `python -m tools.linguist`.
# Copyright (c) 2017 GitHub, Inc. Its licence is beside it: linguist.LICENSE.
"""


def main() -> None:
    """Write the table of the first file into the second."""
    languages: Mapping[str, Any] = yaml.safe_load(Path(sys.argv[1]).read_text("utf-8"))
    lines = [_HEADER.rstrip()]
    extensions, names = _counted(languages, "extensions"), _counted(languages, "filenames")
    for name, language in sorted(languages.items()):
        written = language["type"] in _WRITTEN and name not in _NOT_FOR_PEOPLE
        own = [each.lower() for each in language.get("extensions", ()) if written]
        files = [each for each in language.get("filenames", ()) if written]
        aliases = dict.fromkeys(each.lower() for each in language.get("aliases", ()))
        columns = (
            aliases,
            sorted({each for each in own if extensions[each] == 1}),
            sorted(each.replace(" ", "/") for each in files if names[each] == 1),
        )
        lines.append("\t".join([name, *(" ".join(column) for column in columns)]).rstrip("\t"))
    Path(sys.argv[2]).write_text("\n".join(lines) + "\n", "utf-8")


def _counted(languages: Mapping[str, Any], key: str) -> Counter[str]:
    """For how many languages an extension or a name of a file stands."""
    lowered = key == "extensions"
    return Counter(
        each
        for language in languages.values()
        for each in {name.lower() if lowered else name for name in language.get(key, ())}
    )


if __name__ == "__main__":
    main()
