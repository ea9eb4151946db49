"""The same settings give the same weights on another Splink backend."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.entities import Features, MatchModel, default_model, features_of, score
from ingest_assets.entities.features import COLUMNS, LISTS, NUMBERS
from ingest_assets.entities.levels import BESIDE
from ingest_assets.entities.splink_engine import Limits, database, settings_of
from ingest_assets.model import Identity

FUNCTIONS = files("ingest_assets.entities").joinpath("backends/postgres.sql").read_text("utf-8")
# The extension fuzzystrmatch has it; the Postgres of the tests comes without extensions.
LEVENSHTEIN = """
CREATE OR REPLACE FUNCTION levenshtein(a text, b text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    previous integer[] := ARRAY(SELECT generate_series(0, length(b)));
    current integer[];
BEGIN
    FOR i IN 1..length(a) LOOP
        current := ARRAY[i];
        FOR j IN 1..length(b) LOOP
            current[j + 1] := least(previous[j + 1] + 1, current[j] + 1,
                previous[j] + (substr(a, i, 1) <> substr(b, j, 1))::integer);
        END LOOP;
        previous := current;
    END LOOP;
    RETURN previous[length(b) + 1];
END $$;
"""


@pytest.fixture
def engine(postgres: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(postgres.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(LEVENSHTEIN.replace("%", "%%"))
        connection.exec_driver_sql(FUNCTIONS.replace("%", "%%"))
    yield engine
    engine.dispose()


def test_the_functions_match_duckdb(engine: sa.Engine) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcde", k=rng.randrange(1, 9))) for _ in range(300)]
    pairs = [*pairwise(words), ("martha", "marhta"), ("dwayne", "duane"), ("ca", "abc")]
    with database(Limits()) as api, engine.connect() as connection:
        for name in ("jaro_winkler_similarity", "damerau_levenshtein", "levenshtein"):
            for pair in pairs:
                (theirs,) = api.duckdb_con.execute(f"SELECT {name}(?, ?)", pair).fetchone() or (None,)
                ours = connection.scalar(
                    sa.text(f"SELECT {name}(:a, :b)"), dict(zip("ab", pair, strict=True))
                )
                assert ours == pytest.approx(theirs, abs=1e-9), (name, pair)


def _records() -> list[Features]:
    rng = random.Random(2)
    given, family = (
        ["Ada", "Robert", "Bob", "Grace", "Heike"],
        ["Berg", "Lund", "Dijkstra", "Dykstra", "O'Neil"],
    )
    return [
        features_of(
            f"r{n:02d}",
            Identity(
                "person",
                f"{rng.choice(given)} {rng.choice(family)}",
                emails=(f"m{rng.randrange(9)}@acme.org",) if rng.random() < 0.7 else (),
                phones=(f"+3130123456{rng.randrange(3)}",) if rng.random() < 0.5 else (),
                birth_date=f"198{rng.randrange(3)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}",
                identifiers=(f"NL99{rng.randrange(4)}",) if rng.random() < 0.4 else (),
                place=rng.choice(["Kiel", "Utrecht", ""]),
                organisation=rng.choice(["Acme Ltd", "Acme", "Solwell", ""]),
            ),
        )
        for n in range(30)
    ]


def test_the_same_settings_on_postgres_give_the_same_weights(engine: sa.Engine) -> None:
    from splink import Linker

    model, records = default_model("person"), _records()
    _write(engine, model, records)
    api = _postgres_api(engine)
    settings = settings_of(model, api) | {"blocking_rules_to_generate_predictions": ["1 = 1"]}
    linker = Linker(api.register("people"), settings, validate_settings=False, log_level=None)
    for column in model.frequencies:
        linker.table_management.register_term_frequency_lookup(api.register(f"share_of_{column}"), column)
    found = linker.inference.predict(threshold_match_weight=-20).as_record_list()
    there = {tuple(sorted((row["id_l"], row["id_r"]))): float(row["match_weight"]) for row in found}
    here = {(a, b): weight for a, b, weight in score(model, records, least=-20).pairs}
    assert len(here) > 50
    assert here == {pair: pytest.approx(there[pair], abs=1e-5) for pair in here}


def _postgres_api(engine: sa.Engine) -> Any:
    from splink.internals.postgres.database_api import PostgresAPI

    class WithoutExtensions(PostgresAPI):
        def _register_extensions(self) -> None:
            """Nothing: see LEVENSHTEIN."""

    return WithoutExtensions(engine, schema="public")


def _write(engine: sa.Engine, model: MatchModel, records: list[Features]) -> None:
    """The records, and the share of each value in the term-frequency columns."""
    types = {**dict.fromkeys(LISTS, "text[]"), **dict.fromkeys(NUMBERS, "bigint")}
    rows: list[dict[str, Any]] = [
        {name: (list(v) if isinstance(v := getattr(f, name), tuple) else v) or None for name in COLUMNS}
        for f in records
    ]
    rows = [{**row, **{f"{BESIDE}{name}": value for name, value in row.items()}} for row in rows]
    named = [*COLUMNS, *(f"{BESIDE}{name}" for name in COLUMNS)]
    columns = ", ".join(f"{name} {types.get(name.removeprefix(BESIDE), 'text')}" for name in named)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE people ({columns})")
        values = ", ".join(f":{name}" for name in named)
        connection.execute(sa.text(f"INSERT INTO people VALUES ({values})"), rows)
        for name, shares in model.frequencies.items():
            connection.exec_driver_sql(
                f"CREATE TABLE share_of_{name} ({name} text, tf_{name} double precision)"
            )
            known = {value for row in rows if (value := row[name]) is not None}
            connection.execute(
                sa.text(f"INSERT INTO share_of_{name} VALUES (:value, :share)"),
                [{"value": value, "share": shares.get(value, model.rare[name])} for value in sorted(known)],
            )
