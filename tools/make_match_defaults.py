"""Makes `ingest_assets/entities/defaults/{person,organisation}.json`: the matching models that ship.

The probabilities are those written in `entities/people.py` and `entities/organisations.py`: labelled sets
are mostly synthetic, and their error rates are those of their generators. What is taken from data is which
names and places are common. A value that the data does not know is neither common nor rare, since a name
from another country than the data's is not a rare one.

    python tools/make_match_defaults.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.entity_sets import load
from ingest_assets.entities.comparisons import PRIOR, TERM_FREQUENCIES, settings
from ingest_assets.entities.features import features_of
from ingest_assets.entities.model import JOIN_AT_UNTRAINED, Levels, MatchModel
from ingest_assets.entities.training import term_frequencies
from ingest_assets.model import IdentityKind

SETS: dict[IdentityKind, tuple[str, ...]] = {
    "person": ("fake_20000", "febrl3"),
    "organisation": ("organisations",),
}
# Values at least so many times as common as the average.
COMMON = 0.5
TARGET = Path(__file__).resolve().parents[1] / "ingest_assets" / "entities" / "defaults"


def main() -> None:
    """Write both files."""
    TARGET.mkdir(exist_ok=True)
    for kind in SETS:
        path = TARGET / f"{kind}.json"
        path.write_text(made(kind).to_json(indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


def made(kind: IdentityKind) -> MatchModel:
    """The default model of one kind."""
    levels, average = _written(kind)
    records = [
        features_of(f"{name} {key}", identity)
        for name in SETS[kind]
        for key, identity in load(name).identities.items()
    ]
    shares, _ = term_frequencies(kind, records)
    columns = TERM_FREQUENCIES[kind]
    common = {
        column: {v: s for v, s in shares.get(column, {}).items() if s > average[column] * COMMON}
        for column in columns
    }
    return MatchModel(
        kind,
        "default",
        0,
        PRIOR,
        levels,
        common,
        {column: average[column] for column in columns},
        JOIN_AT_UNTRAINED,
    )


def _written(kind: IdentityKind) -> tuple[dict[str, Levels], dict[str, float]]:
    """The m and u as the settings have them; and u of the columns whose frequencies count."""
    levels: dict[str, Levels] = {}
    average: dict[str, float] = {}
    for comparison in settings(kind).create_settings_dict("duckdb")["comparisons"]:
        said = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        levels[comparison["output_column_name"]] = tuple(
            (x["m_probability"], x["u_probability"]) for x in said
        )
        for level in said:
            if column := level.get("tf_adjustment_column"):
                average[column] = level["u_probability"]
    return levels, average


if __name__ == "__main__":
    main()
