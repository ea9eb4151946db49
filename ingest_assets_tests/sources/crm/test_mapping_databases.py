"""`ingest mapping` on a folder of CSV files and on servers: from the draft to the preview, in confinement."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.model import SourceUnavailableError
from ingest_assets.settings import Settings, load_settings
from ingest_assets.sources.crm.databases import CrmDatabase
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.mapping_tools.check import check
from ingest_assets.sources.crm.mapping_tools.confined import previews_of, read_schema_of
from ingest_assets.sources.crm.mapping_tools.draft import draft
from ingest_assets.sources.crm.mapping_tools.preview import Preview
from ingest_assets.sources.crm.mapping_tools.written import written
from ingest_assets.sources.crm.place import crm_database
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets_tests.sources.crm_databases import documents
from ingest_assets_tests.support.crm_servers import PASSWORD, READER, CrmServer, PostgresServer

pytest_plugins = ["ingest_assets_tests.sources.crm_on_servers"]


def configured(folder: Path, **crm: str) -> tuple[Settings, CrmDatabase]:
    settings = load_settings(ingest_home=str(folder / "home"), **crm)
    database = crm_database(settings)
    assert database is not None
    return settings, database


def drafted(settings: Settings, database: CrmDatabase, file: Path) -> dict[str, Preview]:
    """The previews by a draft, which has no faults."""
    file.write_text(written(draft(read_schema_of(settings, database)), "crm"), "utf-8")
    checked = check(settings, file)
    assert checked.is_right, (checked.faults, checked.unreadable)
    assert checked.database == database.identity
    return previewed(settings, database, file)


def previewed(
    settings: Settings, database: CrmDatabase, file: Path, limit: int | None = None
) -> dict[str, Preview]:
    mapping = load_mapping(file)
    kinds = tuple(entry.name for entry in mapping.documents)
    found = previews_of(settings, CrmSource(database, mapping), kinds, limit, 10)
    return {each.kind: each for each in found}


def test_a_folder_of_csv_files(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    (export / "Members.csv").write_text(
        "Member ID;First name;Last name;E-mail;Joined\n"
        "m-1;Ilse;Kraft;ilse@x.example;03.04.2021\nm-2;Noor;Bakker;noor@x.example;25.12.2022\n",
        "utf-8",
    )
    (export / "visits.csv").write_text(
        "visit_id;subject;notes;member_id\n1;Gate;The gate does not close.;m-2\n2;Fence;;m-9\n", "utf-8"
    )
    settings, database = configured(tmp_path, crm_db_path=str(export))
    found = drafted(settings, database, tmp_path / "mapping.toml")
    (visit, other) = found["visits"].documents
    assert (visit.title, visit.body, visit.refs) == ("Gate", "The gate does not close.", ("members/m-2",))
    assert other.id == "visits/2"
    assert found["visits"].readings.nowhere == 1
    person = found["members"].documents[0].identity
    assert person is not None
    assert (person.given_name, person.emails) == ("Ilse", ("ilse@x.example",))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((tmp_path / "mapping.toml").read_text("utf-8").replace("{subject}", "{subjct}"), "utf-8")
    assert ['no column "subjct"' in fault.message for fault in check(settings, wrong).faults] == [True]


def crm_on(server: CrmServer) -> str:
    types = server.types
    url = server.new(
        f"CREATE TABLE firms (firm_id {types['whole']} PRIMARY KEY, name {types['short']})",
        f"CREATE TABLE contacts (id {types['whole']} PRIMARY KEY, first_name {types['short']}, "
        f"last_name {types['short']}, email {types['short']}, deleted {types['truth']}, "
        f"firm_id {types['whole']}, FOREIGN KEY (firm_id) REFERENCES firms (firm_id))",
        f"CREATE TABLE calls (id {types['whole']} PRIMARY KEY, subject {types['short']}, "
        f"description {types['text']}, called_at {types['moment']}, contact_id {types['whole']}, "
        f"firm_id {types['short']}, parent_type {types['short']}, parent_id {types['whole']})",
        f"CREATE TABLE calls_contacts (call_id {types['whole']}, contact_id {types['whole']}, "
        f"deleted {types['truth']}, PRIMARY KEY (call_id, contact_id), "
        "FOREIGN KEY (call_id) REFERENCES calls (id), FOREIGN KEY (contact_id) REFERENCES contacts (id))",
        f"CREATE TABLE scraps (scrap {types['short']})",
        "CREATE VIEW everyone AS SELECT * FROM contacts",
    )
    server.insert(url, "firms", [(4, "Olm AG")])
    people = [(1, "Per", "Olm", "per@x.example", False, 4), (2, "Gone", "Away", None, True, 4)]
    server.insert(url, "contacts", [*people, (3, "Una", None, None, None, None)])
    calls = [
        (1, "Price", "Too high.", "2024-05-31 10:00:00", 1, "4", "Firm", 4),
        (2, "Other", None, None, 77, "", "Contact", 3),
    ]
    server.insert(url, "calls", calls)
    server.insert(url, "calls_contacts", [(1, 3, False), (1, 1, True)])
    server.insert(url, "scraps", [("a",)])
    return url


def test_a_server(tmp_path: Path, server: CrmServer) -> None:
    settings, database = configured(tmp_path, crm_db_url=crm_on(server))
    found = drafted(settings, database, tmp_path / "mapping.toml")
    text = (tmp_path / "mapping.toml").read_text("utf-8")
    assert found["calls"].why_refused == []
    call, _ = found["calls"].documents
    assert (call.title, call.body, call.time) == ("Price", "Too high.", "2024-05-31T10:00:00")
    assert set(call.refs) >= {"firms/4", "contacts/1"}
    assert any("Per Olm" in value for _, value in call.context)
    people = {document.id: document for document in found["contacts"].documents}
    assert set(people) == {"contacts/1", "contacts/3"}  # without the one that is deleted
    assert people["contacts/1"].refs[0] == "firms/4"
    assert "contacts/3" in call.refs  # through the table of links
    assert "# - scraps:" in text
    assert "# - everyone: a view" in text
    first = previewed(settings, database, tmp_path / "mapping.toml", 1)["calls"]
    assert (len(first.documents), first.complete) == (1, False)


def test_schemas_types_and_views_of_postgres(tmp_path: Path) -> None:
    server = PostgresServer()
    url = server.new(
        "CREATE SCHEMA sales",
        "CREATE TYPE stage AS ENUM ('open', 'won')",
        'CREATE TABLE sales."Leads" (id uuid PRIMARY KEY, "Full Name" text, stage stage, is_deleted boolean)',
        "CREATE TABLE tasks (id bigserial PRIMARY KEY, title text, deleted text, lead_id uuid, "
        'other_lead_id text, FOREIGN KEY (lead_id) REFERENCES sales."Leads")',
        "CREATE TABLE hidden (id int PRIMARY KEY, title text)",
        "CREATE VIEW broken AS SELECT 1 / (length(title) - length(title)) AS one FROM tasks",
        f"REVOKE ALL ON hidden FROM {READER}",
        f"GRANT USAGE ON SCHEMA sales TO {READER}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA sales TO {READER}",
    )
    lead, gone = (f"0{number}" + "a" * 6 + "-0000-4000-8000-000000000000" for number in (1, 2))
    server.insert(url, 'sales."Leads"', [(lead, "Kim Ek", "won", False), (gone, "Off", "open", True)])
    server.insert(url, "tasks", [(1, "Ring", "no", lead, lead), (2, "Write", "yes", None, "")])
    settings, database = configured(tmp_path, crm_db_url=url)
    found = drafted(settings, database, tmp_path / "mapping.toml")
    server.close()
    (task,) = found["tasks"].documents
    assert task.refs == (f"leads/{lead}",)
    assert any("Kim Ek" in value for _, value in task.context)
    assert [document.id for document in found["leads"].documents] == [f"leads/{lead}"]
    assert "hidden" not in found


FAULTY = """\
[[documents]]
name = "several"
table = "firms"
key = "firm_id"
kind = "several"
title = "{person}"
columns = { person = "SELECT last_name FROM contacts" }

[[documents]]
name = "calls"
table = "calls"
key = "id"
kind = "call"
title = "{subjct}"
refs = [{ to = "contacts", query = "SELECT nothing FROM contacts" }, { to = "firms", columns = "parent_id" }]
[documents.columns]
who = "SELECT first_name FROM contacs"

[[documents]]
name = "contacts"
query = "SELECT first_nam FROM contacts"
key = "first_name"
kind = "person"
title = "{first_name}"

[[documents]]
name = "firms"
table = "firm"
key = "firm_id"
kind = "firm"
title = "{name}"

[[documents]]
name = "twice"
table = "calls_contacts"
key = "call_id"
kind = "twice"
title = "{contact_id}"
"""


def test_every_fault_on_a_server_at_once(tmp_path: Path, server: CrmServer) -> None:
    settings, _ = configured(tmp_path, crm_db_url=crm_on(server))
    file = tmp_path / "mapping.toml"
    file.write_text(FAULTY, "utf-8")
    found = check(settings, file)
    assert found.unreadable == ""
    assert [fault.line for fault in found.faults] == [7, 14, 15, 17, 21, 28, 36], found.faults


def test_a_server_that_is_not_there(tmp_path: Path, server: CrmServer) -> None:
    url = server.new().replace("crm_reader", "nobody")
    settings, database = configured(tmp_path, crm_db_url=url)
    with pytest.raises(SourceUnavailableError) as caught:
        read_schema_of(settings, database)
    assert str(caught.value).startswith("CRM_DB_URL: ")
    assert PASSWORD not in str(caught.value)
    file = tmp_path / "mapping.toml"
    file.write_text(FAULTY, "utf-8")
    assert "CRM_DB_URL: " in check(settings, file).unreadable


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_tables_of_a_schema_of_its_own(tmp_path: Path, server: CrmServer) -> None:
    """With names in which what belongs together begins alike, as of fields that have parts."""
    url = server.new(
        "CREATE SCHEMA tenant_7x",
        "CREATE TABLE tenant_7x.firm (id uuid PRIMARY KEY, name text)",
        'CREATE TABLE tenant_7x."contact" (id uuid PRIMARY KEY, "fullNameFirstName" text, '
        '"fullNameLastName" text, "mailsPrimaryEmail" text, "firmId" uuid, "deletedAt" timestamptz)',
        'CREATE TABLE tenant_7x."memo" (id uuid PRIMARY KEY, title text)',
        'CREATE TABLE tenant_7x."memoTarget" (id uuid PRIMARY KEY, "memoId" uuid, "contactId" uuid)',
        "GRANT USAGE ON SCHEMA tenant_7x TO crm_reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA tenant_7x TO crm_reader",
    )
    one, two, three = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))
    server.run(
        url,
        f"INSERT INTO tenant_7x.firm VALUES ('{one}', 'Oats Ltd')",
        f"INSERT INTO tenant_7x.contact VALUES ('{two}', 'Ann', 'Lee', 'ann@x.example', '{one}', NULL)",
        f"INSERT INTO tenant_7x.memo VALUES ('{three}', 'Hello')",
        f"INSERT INTO tenant_7x.\"memoTarget\" VALUES ('{one}', '{three}', '{two}')",
    )
    settings, database = configured(tmp_path, crm_db_url=url)
    file = tmp_path / "mapping.toml"
    file.write_text(written(draft(read_schema_of(settings, database)), "crm"), "utf-8")
    assert check(settings, file).is_right
    found = documents(CrmSource(database, load_mapping(file)))
    assert set(found) == {f"firm/{one}", f"contact/{two}", f"memo/{three}"}
    person = found[f"contact/{two}"]
    assert (person.title, person.refs) == ("Ann Lee", (f"firm/{one}",))
    assert person.identity is not None
    assert person.identity.emails == ("ann@x.example",)
    assert found[f"memo/{three}"].refs == (f"contact/{two}",)
