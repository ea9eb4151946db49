"""The facts of a database: what a draft is made of.

What belongs here: their shape. What does not: finding them out (`schema`).
"""

from __future__ import annotations

from pydantic import BaseModel

from ingest_assets.sources.crm.mapping_tools.sample import ColumnSample
from ingest_assets.sources.crm.text import folded


class Column(BaseModel):
    """`type` is as declared; "" if it has none."""

    name: str
    type: str
    sample: ColumnSample


class Reference(BaseModel):
    """Columns that refer to the key of another table, as the database declares or as names suggest."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    declared: bool = True
    # Of a guess: how many different values were looked up, and how many of them are there.
    looked_up: int = 0
    found: int = 0


class Table(BaseModel):
    """A table or view. `key` is unique and never NULL in the rows there are; empty if none is known."""

    name: str
    sql: str  # the name in SQL
    dialect: str
    is_view: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    key_is: str = "primary"  # "primary", "unique", "rowid" or "found": how the key is known
    null_keys: bool = False  # whether some rows have none
    has_rows: bool = False
    references: tuple[Reference, ...] = ()

    @property
    def noun(self) -> str:
        """The name without a schema's: what its rows are."""
        return self.name if self.dialect == "sqlite" else self.name.rpartition(".")[2]

    @property
    def trusted(self) -> list[Reference]:
        """References that are declared, or that the rows confirm."""
        return [each for each in self.references if each.declared or each.found * 2 >= each.looked_up]

    def quoted(self, column: str) -> str:
        """The name of one of its columns in SQL."""
        mark = "`" if self.dialect == "mysql" else '"'
        return mark + column.replace(mark, 2 * mark) + mark

    def is_off(self, column: str) -> str:
        """SQL: a column of 0 and 1, or of truth, is not set. `column` is SQL."""
        if self.dialect == "postgres":  # which compares values of one type only
            return f"coalesce({as_text(column, self.dialect)}, '0') IN ('0', 'false')"
        return f"coalesce({column}, 0) = 0"

    def column(self, name: str) -> Column | None:
        """By its name, as SQLite compares names."""
        return next((each for each in self.columns if folded(each.name) == folded(name)), None)


class Schema(BaseModel):
    """All tables and views, in the order of their names."""

    tables: tuple[Table, ...]


def as_text(column: str, dialect: str) -> str:
    """SQL: a value as text."""
    return f"CAST({column} AS {'char' if dialect == 'mysql' else 'text'})"
