"""Labelled records: the sets in `shared`, and any CSV file with a column that names the true entity.

What belongs here: reading. What does not: matching, and measuring.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from ingest_assets.model import Identity, IdentityKind

Row = dict[str, str]
Pairs = dict[str, list[tuple[str, str]]]
TUPLES = {"emails", "phones", "domains", "identifiers"}
FIELDS = tuple(f.name for f in fields(Identity) if f.name != "kind")
CHICAGO = "csv_example_input_with_true_ids.csv"


@dataclass(frozen=True)
class LabelledSet:
    """Records by id, and the entity that each belongs to. `rows` are as the file has them."""

    name: str
    kind: IdentityKind
    identities: Mapping[str, Identity]
    truth: Mapping[str, str]
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class HardSet(LabelledSet):
    """A labelled set that names its hard pairs, by what makes them hard."""

    negatives: Pairs = field(default_factory=dict)
    positives: Pairs = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """What the columns of a CSV file hold. `columns`: field of Identity to the columns it is made from."""

    file: str
    kind: IdentityKind
    key: str | None  # None: the number of the row
    label: Callable[[Row], str]
    columns: Mapping[str, tuple[str, ...]]


def shared_data() -> Path:
    """The folder beside the repository that holds the data sets."""
    return Path(__file__).resolve().parents[2] / "shared" / "data"


_FAKE = {
    "given_name": ("first_name",), "family_name": ("surname",), "birth_date": ("dob",),
    "place": ("city",), "emails": ("email",),
}  # fmt: skip
LAYOUTS = {
    "fake_1000": Layout("people/fake_1000.csv", "person", "unique_id", lambda row: row["cluster"], _FAKE),
    "fake_20000": Layout("people/fake_20000.csv", "person", "unique_id", lambda row: row["group"], _FAKE),
    "febrl3": Layout(
        "people/febrl3.csv", "person", "rec_id", lambda row: row["rec_id"].split("-")[1],
        {
            "given_name": ("given_name",), "family_name": ("surname",), "birth_date": ("date_of_birth",),
            "address": ("street_number", "address_1"), "place": ("suburb",), "postcode": ("postcode",),
            "identifiers": ("soc_sec_id",),
        },
    ),
    "organisations": Layout(
        f"organisations/{CHICAGO}", "organisation", "Id", lambda row: row["True Id"],
        {
            "name": ("Site name",), "address": ("Address",), "postcode": ("Zip",), "phones": ("Phone",),
            "emails": ("Email Address",), "domains": ("Website",),
        },
    ),
}  # fmt: skip


def load(name: str, folder: Path | None = None) -> LabelledSet:
    """One of LAYOUTS."""
    layout = LAYOUTS[name]
    return read(name, (folder or shared_data()) / layout.file, layout)


def load_file(
    path: Path, kind: IdentityKind, label: str, mapping: Mapping[str, tuple[str, ...]]
) -> LabelledSet:
    """Any labelled file. A row without a label is an entity of its own."""
    return read(path.stem, path, Layout(path.name, kind, None, lambda row: row[label], mapping))


def read(name: str, path: Path, layout: Layout) -> LabelledSet:
    """The file's records."""
    identities, truth, rows = {}, {}, {}
    for number, row in enumerate(_rows(path)):
        key = row[layout.key] if layout.key else f"{number:07d}"
        identities[key] = identity_of(row, layout)
        truth[key] = layout.label(row) or f"alone {key}"
        rows[key] = row
    return LabelledSet(name, layout.kind, identities, truth, rows)


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file, skipinitialspace=True):
            yield {key.strip(): (value or "").strip() for key, value in row.items() if key}


def identity_of(row: Row, layout: Layout) -> Identity:
    """Values of several columns: joined by a space, or one item each in a field that holds many."""
    values: dict[str, str | tuple[str, ...]] = {"name": ""}
    for name, columns in layout.columns.items():
        found = [row[column] for column in columns if row.get(column)]
        values[name] = tuple(found) if name in TUPLES else " ".join(found)
    if not values["name"]:
        values["name"] = f"{values.get('given_name', '')} {values.get('family_name', '')}".strip()
    return Identity(layout.kind, **values)  # type: ignore[arg-type]  # by field, as TUPLES has it
