"""Plain Splink with the settings that its own documentation gives for each data set.

What belongs here: the settings of Splink's examples "Accuracy analysis from a labels column" (fake_1000, of
which fake_20000 is a longer edition) and "Febrl3". Splink documents none for the organisations: they get its
own comparisons for such columns, with blocking on each of them. What does not: any normalising, blocking or
threshold of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.entity_sets import LabelledSet

if TYPE_CHECKING:
    from splink import Linker, SettingsCreator

Pairs = list[tuple[str, str, float]]


def documented(data: LabelledSet) -> Pairs | None:
    """Pairs and match weights above Splink's usual threshold (probability 0.5); None without settings."""
    recipes = {"fake_1000": _fake, "fake_20000": _fake, "febrl3": _febrl, "organisations": _organisations}
    if data.name not in recipes:
        return None
    logging.getLogger("splink").setLevel(logging.ERROR)
    linker = recipes[data.name](data)
    found = linker.inference.predict(threshold_match_probability=0.5).as_duckdbpyrelation()
    return [(str(a), str(b), w) for a, b, w in found.project("id_l, id_r, match_weight").fetchall()]


def _linker(data: LabelledSet, settings: SettingsCreator, convert: Mapping[str, str] | None = None) -> Linker:
    import duckdb
    import pyarrow as pa
    from splink import DuckDBAPI, Linker

    connection = duckdb.connect(config={"threads": 2})
    rows = [{"id": key, **{k: v or None for k, v in row.items()}} for key, row in data.rows.items()]
    connection.register("given", pa.Table.from_pylist(rows))
    replaced = ", ".join(f'{sql} AS "{column}"' for column, sql in (convert or {}).items())
    connection.execute(
        f"CREATE TABLE input AS SELECT * {f'REPLACE ({replaced})' if replaced else ''} FROM given"
    )
    api = DuckDBAPI(connection)
    return Linker(api.register(connection.table("input")), settings, log_level=None)


def _settings(comparisons: list[Any], blocking: list[Any]) -> SettingsCreator:
    from splink import SettingsCreator

    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="id",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=blocking,
    )


def _train(linker: Linker, rules: list[Any], recall: float, sessions: list[Any], seed: int) -> Linker:
    linker.training.estimate_probability_two_random_records_match(rules, recall=recall)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=seed)
    for session in sessions:
        linker.training.estimate_parameters_using_expectation_maximisation(
            session, estimate_without_term_frequencies=True
        )
    return linker


def _fake(data: LabelledSet) -> Linker:
    import splink.comparison_library as cl
    from splink import block_on

    settings = _settings(
        [
            cl.ForenameSurnameComparison("first_name", "surname"),
            cl.DateOfBirthComparison("dob", input_is_string=False),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
            cl.EmailComparison("email"),
        ],
        [block_on("first_name"), block_on("surname"), block_on("dob"), block_on("email")],
    )
    rules = [
        "l.first_name = r.first_name and levenshtein(r.dob::VARCHAR, l.dob::VARCHAR) <= 1",
        "l.surname = r.surname and levenshtein(r.dob::VARCHAR, l.dob::VARCHAR) <= 1",
        "l.first_name = r.first_name and levenshtein(r.surname, l.surname) <= 2",
        "l.email = r.email",
    ]
    sessions = [block_on("dob"), block_on("email"), block_on("first_name", "surname")]
    return _train(_linker(data, settings, {"dob": "try_cast(dob AS DATE)"}), rules, 0.7, sessions, 5)


def _febrl(data: LabelledSet) -> Linker:
    import splink.comparison_library as cl
    from splink import block_on

    columns = ("soc_sec_id", "given_name", "surname", "date_of_birth", "postcode")
    settings = _settings(
        [
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            cl.DateOfBirthComparison("date_of_birth", input_is_string=True, datetime_format="%Y%m%d"),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.ExactMatch("postcode").configure(term_frequency_adjustments=True),
        ],
        [block_on(column) for column in columns],
    )
    rules = [
        block_on("soc_sec_id"),
        block_on("given_name", "surname", "date_of_birth"),
        "l.given_name = r.surname and l.surname = r.given_name and l.date_of_birth = r.date_of_birth",
    ]
    return _train(_linker(data, settings), rules, 0.9, [block_on("date_of_birth"), block_on("postcode")], 2)


def _organisations(data: LabelledSet) -> Linker:
    import splink.comparison_library as cl
    from splink import block_on

    columns = ("Site name", "Address", "Phone", "Zip")
    settings = _settings(
        [
            cl.JaroWinklerAtThresholds("Site name").configure(term_frequency_adjustments=True),
            cl.JaroWinklerAtThresholds("Address"),
            cl.ExactMatch("Zip").configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("Phone", 1),
        ],
        [block_on(column) for column in columns[:3]],
    )
    rules = [block_on("Site name", "Phone"), block_on("Address", "Phone")]
    sessions = [block_on("Phone"), block_on("Address")]
    return _train(_linker(data, settings), rules, 0.6, sessions, 1)
