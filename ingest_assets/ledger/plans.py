"""How a database should go about a page of a large table, which it cannot know for itself.

A page is the next so many rows in the order of a key, and what belongs to each of them. That costs the same
wherever the page is and however large the table, if an index gives the order and others the rest: nothing is
sorted, and nothing read that is not on the page. SQLite has no statistics here, and Postgres none of a table
that has just been filled: both then prefer to sort what is left of the table, for each page again.

What belongs here: what both need to be told. What does not: which query is read in pages.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.sql.operators import custom_op

# Ways that read or sort more than a page. One is still taken where there is no other.
_OTHER_WAYS = ("seqscan", "sort", "hashjoin", "mergejoin", "material")
_IN_ORDER = "; ".join(f"SET LOCAL enable_{way} = off" for way in _OTHER_WAYS)


def read_in_order(connection: sa.Connection) -> None:
    """Until the transaction ends, Postgres takes rows in the order of an index, and looks up the rest."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_IN_ORDER)


def looked_up(*where: sa.ColumnElement[bool]) -> sa.Exists:
    """SQL: there is such a row, which is looked up for each row of the query, and never joined.

    Postgres without statistics takes all points of a collection to be one, and would join by reading them
    all for each row.
    """
    return sa.select(sa.literal_column("1")).where(*where).offset(0).exists()


def not_searched(engine: sa.Engine, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """SQL: a column by which SQLite may not choose an index, because another one gives the order.

    Without statistics, SQLite prefers any index of which a column is given to one that is in the order of
    the key.
    """
    if engine.dialect.name != "sqlite":
        return column
    return sa.UnaryExpression(column, operator=custom_op("+"), type_=column.type)
