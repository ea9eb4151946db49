"""`ingest mapping init`: a draft that needs no mending to be read, whatever the database."""

from __future__ import annotations

import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.model import Document
from ingest_assets.sources.crm.databases import CrmDatabase
from ingest_assets.sources.crm.databases.sqlite import SqliteFile
from ingest_assets.sources.crm.mapping import CrmMapping, load_mapping
from ingest_assets.sources.crm.mapping_tools.draft import draft
from ingest_assets.sources.crm.mapping_tools.fit import misfits
from ingest_assets.sources.crm.mapping_tools.preview import previewed
from ingest_assets.sources.crm.mapping_tools.schema import read_schema
from ingest_assets.sources.crm.mapping_tools.written import written
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import SCHEMA, write_sample
from ingest_assets_tests.sources.crm_databases import make


def drafted(path: Path) -> tuple[str, CrmMapping, dict[str, Document]]:
    return drafted_of(SqliteFile(path), path.parent)


def drafted_of(database: CrmDatabase, folder: Path) -> tuple[str, CrmMapping, dict[str, Document]]:
    """The draft as it is written, and as it reads; it has no faults, and every row is a document."""
    with database.snapshot() as snapshot:
        text = written(draft(read_schema(snapshot, database.dialect)), "crm")
        file = folder / "mapping.toml"
        file.write_text(text, "utf-8")
        if not tomllib.loads(text)["documents"]:
            return text, CrmMapping.model_construct(documents=()), {}
        mapping = load_mapping(file)
        assert list(misfits(mapping, snapshot)) == []
        kinds = [entry.name for entry in mapping.documents]
        found = previewed(CrmSource(database, mapping), snapshot, kinds, None, 10_000)
    return text, mapping, {document.id: document for each in found for document in each.documents}


def entry(text: str, name: str) -> dict[str, Any]:
    return next(each for each in tomllib.loads(text)["documents"] if each["name"] == name)


GERMAN = """
CREATE TABLE Firmen (FirmenNr INTEGER PRIMARY KEY, Firmenname TEXT, Straße TEXT, PLZ TEXT, Ort TEXT,
    USt_IdNr TEXT, Internet TEXT);
CREATE TABLE Ansprechpartner (ID INTEGER PRIMARY KEY, Vorname TEXT, Nachname TEXT, "E-Mail" TEXT,
    Telefon TEXT, Geburtsdatum TEXT, Firma_ID INTEGER REFERENCES Firmen, gelöscht INTEGER, Passwort TEXT);
CREATE TABLE Notizen (ID INTEGER PRIMARY KEY, Betreff TEXT, Inhalt TEXT, Datum TEXT,
    Ansprechpartner_ID INTEGER);
INSERT INTO Firmen VALUES (1, 'Volvik AG', 'Ring 3', '24103', 'Kiel', 'DE1', 'www.volvik.example');
INSERT INTO Ansprechpartner VALUES
    (7, 'Ute', 'Brandt', 'ute@volvik.example', '0431 123456', '1970-02-01', 1, 0, 'x'),
    (8, 'Weg', 'Ist', 'w@volvik.example', NULL, NULL, 1, 1, 'x');
INSERT INTO Notizen VALUES (1, 'Preis', 'Sie zögert wegen des Preises.', '31/05/2024', 7),
    (2, 'B', 'C', '01/02/2024', 7);
"""


def test_names_of_another_language(tmp_path: Path) -> None:
    text, _, documents = drafted(make(tmp_path / "crm.db", GERMAN))
    person = documents["ansprechpartner/7"]
    assert person.identity is not None
    assert (person.identity.given_name, person.identity.family_name) == ("Ute", "Brandt")
    assert person.identity.emails == ("ute@volvik.example",)
    assert person.identity.phones == ("0431 123456",)
    assert person.identity.birth_date == "1970-02-01"
    assert person.refs == ("firmen/1",)
    assert ("Firma", "Volvik AG") in person.context
    firm = documents["firmen/1"].identity
    assert firm is not None
    assert (firm.kind, firm.name, firm.place, firm.postcode) == ("organisation", "Volvik AG", "Kiel", "24103")
    assert firm.domains == ("www.volvik.example",)
    # A deleted row is left out, and what looks secret is not read.
    assert "ansprechpartner/8" not in documents
    assert "{Passwort}" not in text
    note = documents["notizen/1"]
    assert (note.title, note.body, note.time) == ("Preis", "Sie zögert wegen des Preises.", "2024-05-31")
    assert note.refs == ("ansprechpartner/7",)
    assert "a guess by its name; 1 of 1 values are there" in " ".join(text.replace("\n#", "").split())
    assert "time_format is guessed" in text


def test_a_prefix_that_all_tables_share_and_references_that_begin_with_a_mark(tmp_path: Path) -> None:
    script = """
    CREATE TABLE zz_client (rowid INTEGER PRIMARY KEY, nom TEXT, ville TEXT);
    CREATE TABLE zz_personne (rowid INTEGER PRIMARY KEY, nom TEXT, prenom TEXT, id_client INT, fk_cli INT);
    CREATE TABLE zz_visite (id INTEGER PRIMARY KEY, titre TEXT, fk_pers INT, fk_inconnu INT);
    INSERT INTO zz_client VALUES (1, 'Moulin', 'Lyon'), (2, 'Verger', 'Nantes');
    INSERT INTO zz_personne VALUES (5, 'Petit', 'Anne', 1, 2);
    INSERT INTO zz_visite VALUES (9, 'Devis', 5, 77);
    """
    _, _, documents = drafted(make(tmp_path / "crm.db", script))
    assert set(documents["personne/5"].refs) == {"client/1", "client/2"}
    assert documents["visite/9"].refs == ("personne/5",)
    assert documents["visite/9"].kind == "visite"


def test_links_parents_of_several_kinds_views_and_tables_without_keys(tmp_path: Path) -> None:
    script = """
    CREATE TABLE contacts (id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT, deleted_at TEXT);
    CREATE TABLE accounts (id TEXT PRIMARY KEY, name TEXT, website TEXT);
    CREATE TABLE accounts_contacts (account_id TEXT, contact_id TEXT, deleted INT,
        PRIMARY KEY (account_id, contact_id));
    CREATE TABLE calls (id INTEGER PRIMARY KEY, subject TEXT, description TEXT,
        parent_type TEXT, parent_id TEXT);
    CREATE TABLE scribbles (headline TEXT, scribble TEXT);
    CREATE TABLE schema_migrations (version TEXT PRIMARY KEY);
    CREATE VIEW everyone AS SELECT * FROM contacts;
    INSERT INTO contacts VALUES ('c1', 'Ann', 'Lee', NULL), ('c2', 'Gone', 'Girl', '2024-01-01 10:00:00');
    INSERT INTO accounts VALUES ('a1', 'Acme', 'acme.example');
    INSERT INTO accounts_contacts VALUES ('a1', 'c1', 0), ('a1', 'c2', 1);
    INSERT INTO calls VALUES (1, 'Hello', 'World', 'Accounts', 'a1'), (2, 'You', 'There', 'Contacts', 'c1'),
        (3, 'To', 'None', 'Widgets', 'w');
    INSERT INTO scribbles VALUES ('One', 'Two');
    """
    text, _, documents = drafted(make(tmp_path / "crm.db", script))
    assert documents["contacts/c1"].refs == ("accounts/a1",)
    assert "contacts/c2" not in documents
    assert documents["calls/1"].refs == ("accounts/a1",)
    assert documents["calls/2"].refs == ("contacts/c1",)
    assert "'Widgets' names no documents" in text
    assert documents["scribbles/1"].title == "One"
    assert "the rowid is used" in text
    for left_out in ("schema_migrations", "everyone", "accounts_contacts"):
        assert f"# - {left_out}:" in text


def test_columns_with_the_name_of_a_key_refer_to_it(tmp_path: Path) -> None:
    script = """
    CREATE TABLE guestmaster (guestid INTEGER PRIMARY KEY, firstname, lastname, portal_password);
    CREATE TABLE staymain (stayno TEXT PRIMARY KEY, subject TEXT, guestid INT);
    CREATE TABLE visitrel (guestid INT, visitkey INT, PRIMARY KEY (guestid, visitkey));
    CREATE TABLE visitlog (visitkey INTEGER PRIMARY KEY, subject TEXT, stayno TEXT);
    CREATE TABLE extra (id INTEGER PRIMARY KEY, title TEXT);
    INSERT INTO guestmaster VALUES (70, 'Ann', 'Lee', 'x'), (71, 'Bo', 'Ray', 'y');
    INSERT INTO staymain VALUES ('S1', 'Two nights', 70), ('S2', 'One night', 71);
    INSERT INTO visitlog VALUES (5, 'Spa', 'S1'), (6, 'Pool', 'S9');
    INSERT INTO visitrel VALUES (70, 5), (71, 6);
    INSERT INTO extra VALUES (70, 'none of these');
    """
    text, _, documents = drafted(make(tmp_path / "crm.db", script))
    assert documents["staymain/S1"].refs == ("guestmaster/70",)
    assert documents["visitlog/6"].refs == ("staymain/S9", "guestmaster/71")
    assert documents["extra/70"].refs == ()
    assert not [key for key in documents if key.startswith("visitrel")]
    assert text.count("portal_password") == 1


def test_labels_of_lists_are_shown_and_technical_columns_are_not(tmp_path: Path) -> None:
    script = """
    CREATE TABLE xx_kunde (kunde_id INTEGER PRIMARY KEY, firma TEXT, ort TEXT, fk_land INT, fk_branche INT,
        fk_currency INT, entity INT, import_key TEXT, datec TEXT, tms TEXT, row_version INT);
    CREATE TABLE xx_c_country (rowid INTEGER PRIMARY KEY, code TEXT, label TEXT);
    CREATE TABLE xx_c_branche (id INTEGER PRIMARY KEY, bezeichnung TEXT, active INT);
    CREATE TABLE xx_currency (id INTEGER PRIMARY KEY, sign TEXT, currency_name TEXT);
    INSERT INTO xx_kunde VALUES
        (1, 'Brot GmbH', 'Wien', 41, 3, 2, 1, 'i1', '2024-01-01', '2024-05-01', 7),
        (2, 'Käse AG', 'Bern', 6, 3, 9, 1, 'i2', '2024-01-02', '2024-05-02', 8);
    INSERT INTO xx_c_country VALUES (41, 'AT', 'Austria'), (6, 'CH', 'Switzerland');
    INSERT INTO xx_c_branche VALUES (3, 'Lebensmittel', 1);
    INSERT INTO xx_currency VALUES (2, '€', 'Euro'), (9, 'Fr.', 'Franc');
    """
    text, _, documents = drafted(make(tmp_path / "crm.db", script))
    header = dict(documents["kunde/1"].context)
    assert header == {"Place": "Wien", "Land": "Austria", "Branche": "Lebensmittel", "Currency": "Euro"}
    assert dict(documents["kunde/2"].context)["Land"] == "Switzerland"
    shown = documents["kunde/1"].title + documents["kunde/1"].body + str(header)
    assert not [each for each in ("41", "2024-05", "i1", "€") if each in shown]
    assert documents["kunde/1"].refs == ()
    assert "fk_land stands for label of xx_c_country, which is shown" in " ".join(
        text.replace("#", "").split()
    )


def test_a_column_named_as_its_table_is_the_title_or_the_label(tmp_path: Path) -> None:
    script = """
    CREATE TABLE towns (town_id INTEGER PRIMARY KEY, town TEXT, population INT, state_id INT, depot_id INT);
    CREATE TABLE state (state_id INTEGER PRIMARY KEY, state TEXT, last_update TEXT);
    CREATE TABLE depot_list (depot_id INTEGER PRIMARY KEY, last_update TEXT);
    INSERT INTO towns VALUES (4, 'Graz', 300000, 2, 1);
    INSERT INTO state VALUES (2, 'Styria', '2024-05-01 10:00:00');
    INSERT INTO depot_list VALUES (1, '2024-05-01 10:00:00');
    """
    _, _, documents = drafted(make(tmp_path / "crm.db", script))
    town = documents["towns/4"]
    assert (town.title, dict(town.context)) == ("Graz", {"State": "Styria", "Population": "300000"})


def test_lines_are_links_and_values_in_json_are_read(tmp_path: Path) -> None:
    script = """
    CREATE TABLE bills (bill_id INTEGER PRIMARY KEY, number TEXT, person_id INTEGER REFERENCES persons);
    CREATE TABLE goods (good_id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE bill_lines (bill_id INTEGER REFERENCES bills, good_id INTEGER REFERENCES goods, price REAL,
        PRIMARY KEY (bill_id, good_id));
    CREATE TABLE persons (person_id INTEGER PRIMARY KEY, name TEXT, emails TEXT, contact_numbers TEXT);
    INSERT INTO persons VALUES (1, 'Jo Ray', '[{"value": "jo@x.example"}]', '[{"value": "040 123456"}]');
    INSERT INTO bills VALUES (1, 'R-7', 1);
    INSERT INTO goods VALUES (5, 'Nails');
    INSERT INTO bill_lines VALUES (1, 5, 2.5);
    """
    _, _, documents = drafted(make(tmp_path / "crm.db", script))
    assert (documents["bills/1"].title, documents["bills/1"].refs) == ("Bill R-7", ("persons/1", "goods/5"))
    person = documents["persons/1"].identity
    assert person is not None
    assert (person.emails, person.phones) == (("jo@x.example",), ("040 123456",))


def test_addresses_in_a_table_of_their_own(tmp_path: Path) -> None:
    script = """
    CREATE TABLE contacts (id TEXT PRIMARY KEY, first_name TEXT, last_name TEXT);
    CREATE TABLE email_addresses (id TEXT PRIMARY KEY, email_address TEXT, opt_out INT);
    CREATE TABLE email_addr_bean_rel (id TEXT PRIMARY KEY, email_address_id TEXT, bean_id TEXT,
        bean_module TEXT, deleted INT);
    INSERT INTO contacts VALUES ('c', 'Ann', 'Lee');
    INSERT INTO email_addresses VALUES ('e', 'ann@x.example', 0), ('f', 'old@x.example', 0);
    INSERT INTO email_addr_bean_rel VALUES ('r', 'e', 'c', 'Contacts', 0), ('s', 'f', 'c', 'Contacts', 1);
    """
    text, _, documents = drafted(make(tmp_path / "crm.db", script))
    assert list(documents) == ["contacts/c"]
    assert documents["contacts/c"].identity is not None
    assert documents["contacts/c"].identity.emails == ("ann@x.example",)
    assert "# - email_addresses: addresses" in text


def test_the_default_schema_and_the_sample(tmp_path: Path) -> None:
    write_sample(tmp_path / "crm.db", 60, 1)
    _, mapping, documents = drafted(tmp_path / "crm.db")
    kinds = {entry.name: entry for entry in mapping.documents}
    assert {"people", "organisations", "interactions", "opportunities"} <= set(kinds)
    assert any(each.identity and each.identity.emails for each in documents.values())
    assert any(ref.startswith("people/") for each in documents.values() for ref in each.refs)


def test_a_schema_without_rows(tmp_path: Path) -> None:
    _, mapping, _ = drafted(make(tmp_path / "crm.db", SCHEMA.read_text("utf-8")))
    assert {"people", "organisations"} <= {entry.name for entry in mapping.documents}


def test_a_database_without_documents(tmp_path: Path) -> None:
    text, _, _ = drafted(make(tmp_path / "crm.db", "CREATE TABLE sessions (id INTEGER PRIMARY KEY, t);"))
    assert "Nothing in this database looks like a document" in text


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
) | st.sampled_from(
    ["id", "name", "date", "html", "E Mail", 'a"b', "a|b", "x{y", "[z]", "größe", "key", "document", "other"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables=st.dictionaries(
        NAMES, st.lists(NAMES, min_size=1, max_size=6, unique_by=str.lower), min_size=1, max_size=4
    ),
    keyed=st.booleans(),
    value=st.one_of(st.none(), st.text(max_size=20), st.integers(-5, 10**9), st.binary(max_size=5)),
)
def test_a_draft_of_any_names_reads(
    tmp_path_factory: pytest.TempPathFactory, tables: dict[str, list[str]], keyed: bool, value: Any
) -> None:
    database = tmp_path_factory.mktemp("any") / "crm.db"
    with sqlite3.connect(database) as connection:
        for name, columns in tables.items():
            declared = ", ".join(
                quoted(column) + (" INTEGER PRIMARY KEY" if keyed and not i else " TEXT")
                for i, column in enumerate(columns)
            )
            try:
                connection.execute(f"CREATE TABLE {quoted(name)} ({declared})")
                values = [1 if keyed and not i else value for i in range(len(columns))]
                marks = ", ".join("?" * len(columns))
                connection.execute(f"INSERT INTO {quoted(name)} VALUES ({marks})", values)
            except (sqlite3.OperationalError, UnicodeError):
                continue  # names that SQLite takes for one, or keeps for itself
        connection.execute("CREATE TABLE IF NOT EXISTS [one more] (id INTEGER PRIMARY KEY, name)")
    connection.close()
    drafted(database)
