"""Small stand-ins for the data sets that a clone of the repository may lack.

What belongs here: files of the same shape as those of a data set, made up of our own words, the same on every
machine. What does not: which tests get them (data_sets).
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from ingest_assets.embedding.bundled import FOLDER, TOKENIZER
from ingest_assets.sources.crm.sample_records import Person, Registry
from ingest_assets_tests.support.onnx_file import lookup_model

# --- Northwind: the tables and columns that its mapping reads, in the database's own spelling ---------------

NORTHWIND_TABLES = """
CREATE TABLE Categories (CategoryID INTEGER PRIMARY KEY, CategoryName TEXT, Description TEXT, Picture BLOB);
CREATE TABLE Customers (CustomerID TEXT PRIMARY KEY, CompanyName TEXT, ContactName TEXT, ContactTitle TEXT,
    Address TEXT, City TEXT, Region TEXT, PostalCode TEXT, Country TEXT, Phone TEXT, Fax TEXT);
CREATE TABLE Employees (EmployeeID INTEGER PRIMARY KEY, LastName TEXT, FirstName TEXT, Title TEXT,
    TitleOfCourtesy TEXT, BirthDate DATE, HireDate DATE, Address TEXT, City TEXT, PostalCode TEXT,
    Country TEXT, HomePhone TEXT, Extension TEXT, Photo BLOB, Notes TEXT, ReportsTo INTEGER);
CREATE TABLE Suppliers (SupplierID INTEGER PRIMARY KEY, CompanyName TEXT, ContactName TEXT,
    ContactTitle TEXT, Address TEXT, City TEXT, Region TEXT, PostalCode TEXT, Country TEXT, Phone TEXT,
    Fax TEXT, HomePage TEXT);
CREATE TABLE Shippers (ShipperID INTEGER PRIMARY KEY, CompanyName TEXT, Phone TEXT);
CREATE TABLE Products (ProductID INTEGER PRIMARY KEY, ProductName TEXT, SupplierID INTEGER,
    CategoryID INTEGER, QuantityPerUnit TEXT, UnitPrice NUMERIC, UnitsInStock INTEGER, UnitsOnOrder INTEGER);
CREATE TABLE Orders (OrderID INTEGER PRIMARY KEY, CustomerID TEXT, EmployeeID INTEGER, OrderDate DATETIME,
    ShippedDate DATETIME, ShipVia INTEGER, Freight NUMERIC, ShipName TEXT, ShipAddress TEXT, ShipCity TEXT,
    ShipPostalCode TEXT, ShipCountry TEXT);
CREATE TABLE "Order Details" (OrderID INTEGER, ProductID INTEGER, UnitPrice NUMERIC, Quantity INTEGER,
    PRIMARY KEY (OrderID, ProductID));
"""
NORTHWIND_ROWS: dict[str, list[tuple[object, ...]]] = {
    "Categories": [
        (1, "Tools", "Hand tools, and what holds them", b"\xff\xd8\xff\xe0"),
        (2, "Fasteners", "Screws, nails and hooks", None),
    ],
    "Customers": [
        ("AMBOS", "Ambos y Hijos", "Inés Vidal", "Boss", "Calle 4", "Vigo", None, "36201", "Spain", "1", "2"),
        ("KANTE", "Kante & Söhne", "Uwe Kant", "Buyer", "Hof 1", "Kiel", "SH", "24103", "Germany", "3", None),
    ],
    "Employees": [
        (1, "Okafor", "Ada", "Head of Sales", "Dr.", "1961-04-02", "2012-05-01", "Quay 9", "Leith", "EH6",
         "UK", "(0131) 555-0101", "11", b"\x00\x01", "Ada opened the northern branch.", None),
        (2, "Lund", "Bo", "Clerk", None, "1980-12-30", "2019-01-15", "Quay 2", "Leith", "EH6",
         "UK", "(0131) 555-0102", None, None, None, 1),
    ],
    "Suppliers": [
        (1, "Forge Nine", "Pia Holm", "Sales", "Dock 3", "Oslo", None, "0150", "Norway", "5", None,
         "forge-nine.example#https://forge-nine.example/#"),
    ],
    "Shippers": [(1, "Swift Sloop", "(503) 555-0199"), (2, "Slow Barge", None)],
    "Products": [
        (1, "Claw hammer", 1, 1, "1 piece", 18.5, 12, 0),
        (2, "Wood screws", 1, 2, "box of 100", 4, 300, None),
        (3, "Coat hook", None, 2, "bag of 10", 7, 0, 50),
    ],
    "Orders": [
        (500, "KANTE", 2, "2020-03-04", "2020-03-09", 1, 32.38, "Kante & Söhne", "Hof 1", "Kiel", "24103",
         "Germany"),
        (501, "AMBOS", 1, "2020-03-05", None, 2, 11, None, None, None, None, None),
    ],
    "Order Details": [(500, 2, 4, 12), (500, 1, 18.5, 3), (501, 3, 7, 1)],
}  # fmt: skip


def northwind(folder: Path) -> Path:
    """`northwind.db`, with two or three rows a table."""
    path = folder / "northwind.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(NORTHWIND_TABLES)
        for table, rows in NORTHWIND_ROWS.items():
            connection.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows[0]))})', rows)
    return path


# --- Labelled people ----------------------------------------------------------------------------------------

PEOPLE = ("unique_id", "first_name", "surname", "dob", "city", "email", "cluster")
PEOPLE_COUNT, PEOPLE_SEED = 1_000, 11
DUPLICATES = 0.3
MISTYPED, EMPTY = 0.2, 0.1  # shares of the birth dates, and of the cities and addresses, of duplicates


def people(folder: Path) -> Path:
    """`people.csv`: people of the sample CRM and their duplicates; `cluster` is the true entity."""
    path = folder / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(PEOPLE)
        out.writerows((number, *row) for number, row in enumerate(_people_rows(Random(PEOPLE_SEED))))
    return path


def _people_rows(rng: Random) -> Iterator[tuple[str | int, ...]]:
    registry = Registry(rng, DUPLICATES)
    for _ in range(PEOPLE_COUNT // 10):
        registry.add_organisation()
    born: dict[int, str] = {}
    for _ in range(PEOPLE_COUNT):
        one = registry.add_person()
        first = one.original not in born
        date = born.setdefault(one.original, _birth_date(rng))
        city = registry.organisations[one.organisation - 1].city
        email = one.email or ""
        if not first:
            date = _mistyped(date, rng) if rng.random() < MISTYPED else date
            city, email = ("" if rng.random() < EMPTY else value for value in (city, email))
        yield (*_names(one), date, city, email, one.original)


def _names(one: Person) -> tuple[str, str]:
    """Given and family name as this record has them: nicknames, typos and all."""
    if ", " in one.name:
        family, given = one.name.split(", ")
    else:
        given, _, family = one.name.rpartition(" ")
    return given, family


def _birth_date(rng: Random) -> str:
    return f"{rng.randrange(1950, 2000)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def _mistyped(date: str, rng: Random) -> str:
    """With another last digit of the year."""
    return f"{date[:3]}{rng.randrange(10)}{date[4:]}"


# --- A sentence model in ONNX -------------------------------------------------------------------------------


def sentence_model(folder: Path) -> Path:
    """The files of a sentence model: the table of the bundled model as a network, with its tokenizer.

    It has no attention, so that its vectors are not those of the model whose place it takes.
    """
    special = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    texts = {
        "tokenizer.json": TOKENIZER.read_text("utf-8"),
        "tokenizer_config.json": json.dumps({"model_max_length": 512, "pad_token": "[PAD]"}),
        "special_tokens_map.json": json.dumps(special),
        "config.json": json.dumps({"pad_token_id": 0}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    card = json.loads((FOLDER / "model.json").read_text("utf-8"))
    tensors = _tensors(FOLDER / "model.safetensors")
    network = lookup_model(tensors["embeddings"], tensors["weights"], card["tokens"], card["dimension"])
    (folder / "model.onnx").write_bytes(network)
    return folder


def _tensors(file: Path) -> dict[str, bytes]:
    """The bytes of each tensor of a safetensors file: the header's length, the header in JSON, the data."""
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    offsets = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: raw[start + begin : start + end] for name, (begin, end) in offsets.items()}
