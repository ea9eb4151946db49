"""Splink on DuckDB: the settings of a model, the pairs to compare, and comparing them.

What belongs here: everything that touches Splink or DuckDB, except training. DuckDB spills to disk what does
not fit into its memory limit. Term frequencies come from the model, never from the records at hand.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ingest_assets.entities.arrow import lists, numbers, strings
from ingest_assets.entities.comparisons import TERM_FREQUENCIES, settings
from ingest_assets.entities.features import COLUMNS, LISTS, NUMBERS, Features
from ingest_assets.entities.levels import BESIDE
from ingest_assets.entities.model import MatchModel
from ingest_assets.model import IdentityKind

if TYPE_CHECKING:
    import pyarrow as pa
    from splink import DuckDBAPI


@dataclass(frozen=True, slots=True)
class Limits:
    """What DuckDB may use."""

    memory_mib: int = 1024
    threads: int = 2
    temp_dir: Path | None = None  # where DuckDB spills; the system's temporary folder by default


@contextmanager
def database(limits: Limits) -> Iterator[DuckDBAPI]:
    """A temporary database, deleted afterwards."""
    import duckdb
    from splink import DuckDBAPI

    logging.getLogger("splink").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="ingest-match-", dir=limits.temp_dir) as folder:
        config: dict[str, Any] = {
            "memory_limit": f"{limits.memory_mib}MiB",
            "threads": limits.threads,
            "temp_directory": folder,
        }
        with duckdb.connect(config=config) as connection:
            yield DuckDBAPI(connection)


def candidates(
    api: DuckDBAPI, members: Sequence[tuple[str, str]], touched: Collection[str] | None
) -> dict[str, int]:
    """Create the table `pairs` from (record, block) rows; with `touched`, only pairs with one of those.

    Returns the number of pairs by rule; each pair counts for the first rule that finds it.
    """
    import pyarrow as pa

    run = api.duckdb_con.execute
    given = [strings([member[i] for member in members]) for i in (0, 1)]
    api.duckdb_con.register("given_members", pa.Table.from_arrays(given, ["id", "key"]))
    run("CREATE TEMP TABLE member AS SELECT id, key, split_part(key, ':', 1) AS rule FROM given_members")
    sides = "SELECT l.rule, l.id AS l, r.id AS r FROM member l JOIN member r ON l.key = r.key"
    if touched is None:
        found = f"{sides} AND l.id < r.id"
    else:
        chosen = pa.Table.from_arrays([strings(sorted(touched))], ["id"])
        api.duckdb_con.register("given_chosen", chosen)
        run("CREATE TEMP TABLE chosen AS SELECT * FROM member WHERE id IN (SELECT id FROM given_chosen)")
        found = (
            "SELECT l.rule, least(l.id, r.id) AS l, greatest(l.id, r.id) AS r "
            "FROM chosen l JOIN member r ON l.key = r.key AND l.id <> r.id"
        )
    run(
        "CREATE TABLE pairs AS SELECT min(rule) AS match_key, l AS join_key_l, r AS join_key_r "
        f"FROM ({found}) GROUP BY l, r"
    )
    return dict(run("SELECT match_key, count(*) FROM pairs GROUP BY 1 ORDER BY 1").fetchall())


def compare(api: DuckDBAPI, model: MatchModel, records: Sequence[Features], threshold: float | None) -> Any:
    """Splink's result for the table `pairs`: those above the threshold; without one, all, with details."""
    from splink import Linker

    table = api.register(arrow_table(records, model), dataset_display_name="records")
    found = settings_of(model, api, details=threshold is None)
    # The settings are ours, not a user's, and validating them takes as long as comparing a few records.
    linker = Linker(table, found, validate_settings=False, log_level=None)
    linker.table_management.register_blocked_pairs_for_predict(api.register("pairs"))
    return linker.inference.predict(threshold_match_weight=threshold, warning_mode="never")


def settings_of(model: MatchModel, api: DuckDBAPI, *, details: bool = False) -> dict[str, Any]:
    """Splink settings with the model's parameters; with `details`, results show each comparison's weight."""
    found = settings(model.kind).create_settings_dict(api.sql_dialect.sql_dialect_str)
    found |= {"retain_matching_columns": details, "retain_intermediate_calculation_columns": details}
    found["probability_two_random_records_match"] = model.prior
    for comparison in found["comparisons"]:
        levels = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        for level, (m, u) in zip(levels, model.levels[comparison["output_column_name"]], strict=True):
            level |= {"m_probability": m, "u_probability": u}
    return found


def labels(kind: IdentityKind, api: DuckDBAPI) -> Mapping[str, Mapping[int, str]]:
    """The label of each level of each comparison, by Splink's number for the level."""
    found = settings(kind).get_settings(api.sql_dialect.sql_dialect_str)
    return {
        comparison.output_column_name: {
            level.comparison_vector_value: level.label_for_charts for level in comparison.comparison_levels
        }
        for comparison in found.core_model_settings.comparisons
    }


def arrow_table(records: Iterable[Features], model: MatchModel) -> pa.Table:
    """One row per record, sorted by id, with the term frequencies of its values."""
    import pyarrow as pa

    rows = sorted(records, key=lambda f: f.id)
    columns = {name: _column(name, [getattr(f, name) for f in rows]) for name in COLUMNS}
    # A second name for each column: see `levels.beside`.
    columns |= {f"{BESIDE}{name}": column for name, column in columns.items() if name != "id"}
    for name in TERM_FREQUENCIES[model.kind]:
        shares, rare = model.frequencies[name], model.rare[name]
        found = [None if (v := getattr(f, name)) is None else shares.get(v, rare) for f in rows]
        columns[f"tf_{name}"] = numbers(found, np.float64)
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    if name in NUMBERS:
        return numbers(values, np.int64)
    return lists(values) if name in LISTS else strings(values)
