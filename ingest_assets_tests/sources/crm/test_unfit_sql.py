"""Which SQL of a mapping is refused before a server sees its rows; names that only look alike are not."""

from __future__ import annotations

import re

import pytest

from ingest_assets.sources.crm.determinism import unfit


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgresql", "SELECT data->>'now' AS n, \"current_user\", u.user FROM t AS u"),
        ("postgresql", "SELECT a @> b, a @@ to_tsquery('x'), age(a, b) FROM t"),
        ("postgresql", "SELECT wait_days(a), lo_price(b), sleep_hours, release_date FROM t"),
        ("postgresql", "WITH x AS (SELECT 1 AS pg_sleep) SELECT pg_sleep FROM x -- pg_sleep(1)"),
        ("mysql", "SELECT `user`, `sleep`, '@x', wait_time FROM t WHERE mail LIKE '%@%' # sleep(1)"),
        ("mysql", "SELECT unix_timestamp(a), concat('now()', b), schema() FROM t"),
        ("mysql", "SELECT '/*! sleep(1) */', `/*!`, 'it\\'s /*!' /* sleep(1) ! */ FROM t"),
        ("mysql", "this is no SQL at all ((("),  # the server says so
    ],
)
def test_what_is_of_the_data_alone_is_let_through(dialect: str, sql: str) -> None:
    assert unfit([sql], dialect) is None


@pytest.mark.parametrize(
    ("dialect", "sql", "said"),
    [
        (
            "postgresql",
            "SELECT a FROM t WHERE b = pg_catalog.pg_sleep(1)::text",
            r"uses pg_sleep\(\)",
        ),
        ("postgresql", "WITH x AS (SELECT * FROM dblink('', '') AS d(a int)) SELECT * FROM x", r"dblink\(\)"),
        ("postgresql", "SELECT * FROM t TABLESAMPLE SYSTEM (10)", "by chance"),
        ("postgresql", "SELECT lo_import('/etc/passwd'), LO_GET(5)", r"lo_import\(\)"),
        ("postgresql", "SELECT * FROM (SELECT * FROM t FOR NO KEY UPDATE) AS x", "locks rows"),
        ("mysql", "SELECT a FROM t WHERE SLEEP (1) OR b", r"uses sleep\(\)"),
        ("mysql", "SELECT a FROM t WHERE a = @last", "variable @last"),
        ("mysql", "SELECT a FROM t LOCK IN SHARE MODE", "locks rows"),
        ("mysql", "SELECT a /*!50000 , LOAD_FILE('/x') */ FROM t", "comment that the server runs"),
        ("mysql", "SELECT 'it''s', \"\\\"\" /*M! , SLEEP(5) */ FROM t", "comment that the server runs"),
        ("mysql", "SELECT wait_for_executed_gtid_set('x')", "wait_for_executed_gtid_set"),
    ],
)
def test_what_is_not_or_does_more_than_read_is_refused(dialect: str, sql: str, said: str) -> None:
    assert re.search(said, unfit(["SELECT 1", sql], dialect) or "")
