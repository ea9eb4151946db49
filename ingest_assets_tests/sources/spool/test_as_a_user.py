"""The spool as a user has it: only commands, from the samples to a closed gate, and kills in the middle."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.sources.spool.sample import _PEOPLE
from ingest_assets_tests.support.built_index import ROOT, Home, command
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here

__all__ = ["ingest_here"]

REFRESH = ("refresh", "--source", "spool", "--json")
PEOPLE = re.compile("|".join(_PEOPLE).encode())  # in no batch but the personal one


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh folder."""
    made = Home(tmp_path / "home").with_settings(crm_db_path=None, spool_dir=str(tmp_path / "home" / "spool"))
    made.dagster.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", made.dagster)
    return made


class User:
    """Who runs commands in a folder."""

    def __init__(self, home: Home, ingest: IngestHere) -> None:
        self.home, self._ingest = home, ingest

    def asks(self, *arguments: str, status: int = 0) -> Any:
        said = self._ingest(self.home, *arguments, "--json")
        assert said.status == status, said.everything
        return json.loads(said.out)

    def reads(self, *arguments: str) -> str:
        """What a command prints for people."""
        said = self._ingest(self.home, *arguments)
        assert said.status == 0, said.everything
        return said.everything

    def finds(self, query: str, *filters: str) -> set[str]:
        """The texts that a search finds."""
        given = [word for each in filters for word in ("--filter", each)]
        hits = self.asks("search", query, "--source", "spool", "--limit", "1000", *given)["hits"]
        return {hit["text"] for hit in hits}

    def batches(self) -> dict[str, Any]:
        """Batches by the names of their sources."""
        return {each["source"]: each for each in self.asks("spool", "list")["batches"]}


@pytest.fixture
def user(home: Home, ingest_here: IngestHere) -> User:
    return User(home, ingest_here)


def holding(home: Home, pattern: re.Pattern[bytes]) -> Iterator[str]:
    """The files, but those of the spool and of the ledger, that hold what a pattern finds."""
    spool = home.path / "spool"
    for file in sorted(home.path.rglob("*")):
        allowed = file.name.startswith("ledger.sqlite") or file.is_relative_to(spool)
        if file.is_file() and not allowed and pattern.search(file.read_bytes()):
            yield str(file.relative_to(home.path))


def test_from_the_samples_to_a_closed_gate(user: User) -> None:
    assert len(user.asks("sample", "spool", "--records", "12")) == 5
    assert user.asks("spool", "list")["incoming"]["files"] == 5
    user.asks(*REFRESH)
    found = user.batches()
    assert {name: (each["status"], each["processed"]) for name, each in found.items()} == {
        "helpdesk": ("success", 12),
        "reviews": ("success", 12),
        "survey": ("success", 8),
        "callcentre": ("queued", 0),
        "": ("failed", 0),
    }
    assert len(user.finds("delivery", "record_source=helpdesk")) == 12
    assert not [text for text in user.finds("Ada Byron called") if "called" in text]
    assert list(holding(user.home, PEOPLE)) == []

    tag = found["callcentre"]["batch_tag"]
    assert [each["batch_tag"] for each in user.asks("gate", "list")["gates"]] == [tag]
    assert user.asks("gate", "wait", tag, "--timeout", "0", status=1)["open"] is False
    user.asks("gate", "open", tag, "--why", "approved")
    assert user.asks("gate", "wait", tag)["open"] is True
    user.asks(*REFRESH)
    assert len(user.finds("who called", "pii=true")) == 12
    assert user.batches()["callcentre"]["status"] == "success"
    assert list(holding(user.home, PEOPLE)), "the search for traces finds none where there must be some"

    user.asks("gate", "close", tag, "--why", "withdrawn")
    assert user.finds("who called", "pii=true") == set()  # at once
    assert len(user.finds("delivery", "record_source=helpdesk")) == 12
    user.asks(*REFRESH)
    assert user.finds("who called", "pii=true") == set()
    assert list(holding(user.home, PEOPLE)) == []
    shown = user.asks("spool", "show", tag)
    assert (shown["status"], shown["gate"], shown["processed"]) == ("queued", "locked", 0)
    assert shown["extra"]["open_gate"]["by"] == shown["extra"]["close_gate"]["by"]
    logged = user.reads("audit-log")
    assert "approved" in logged
    assert "withdrawn" in logged
    assert len(user.finds("delivery", "record_source=helpdesk")) == 12


def test_what_failed_is_retried_and_what_is_removed_stays_away(user: User) -> None:
    user.asks("sample", "spool", "--records", "3")
    user.asks(*REFRESH)
    found = user.batches()
    broken, desk = found[""]["batch_tag"], found["helpdesk"]["batch_tag"]
    assert user.asks("spool", "retry", broken, "--why", "why not")["status"] == "queued"
    user.asks(*REFRESH)
    assert user.batches()[""]["status"] == "failed"
    archived = user.home.path / "spool" / "archive" / f"{desk}.msgpack"
    kept = archived.rename(user.home.path / "again.msgpack")
    assert user.asks("spool", "remove", desk, "--why", "not ours")["gone"] == "removed"
    [added] = user.asks("spool", "add", str(kept))["files"]
    assert added["name"] == kept.name
    user.asks(*REFRESH)
    assert user.finds("delivery", "record_source=helpdesk") == set()
    assert user.asks("spool", "list")["incoming"]["files"] == 0
    assert user.asks("spool", "maintain") == {"wanted": [], "made": [], "dropped": [], "error": None}
    assert user.asks("spool", "deliver")["waiting"] == 0


def test_what_is_said_of_batches_that_are_not_in_the_index(user: User) -> None:
    assert "No batch was taken yet." in user.reads("spool", "list")
    user.asks("sample", "spool", "--records", "3")
    said = " ".join(user.reads("refresh", "--source", "spool").split())
    assert "accounted for. Batches failed: 1, at a locked gate: 1 (`ingest spool list`)." in said
    assert "There is no such batch." in user.reads("spool", "list", "--status", "processing")
    found = user.batches()
    user.asks("spool", "remove", found["helpdesk"]["batch_tag"], "--why", "not ours")
    user.asks("spool", "remove", found[""]["batch_tag"], "--why", "broken")
    lines = {line.split()[0].partition("-")[0]: line for line in user.reads("spool", "list").splitlines()}
    assert "3 of 3" in lines["reviews"]
    assert "0 of 3" in lines["callcentre"]
    assert " of " not in lines["helpdesk"], "what is gone is not in the index"
    assert "Batches failed: 0, at" in " ".join(user.reads("refresh", "--source", "spool").split())


@pytest.mark.parametrize(
    "wait_s", [0.3, *(pytest.param(wait, marks=pytest.mark.thorough) for wait in (0.0, 1.0))]
)
def test_a_refresh_that_is_killed(user: User, wait_s: float) -> None:
    user.asks("sample", "spool", "--records", "200")
    processing = user.home.path / "spool" / "processing"
    process = subprocess.Popen(command(*REFRESH), env=user.home.env, cwd=user.home.path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while process.poll() is None and not (processing.is_dir() and any(processing.iterdir())):
        time.sleep(0.005)
    time.sleep(wait_s)
    process.kill()
    assert process.wait() == -9, "it was too late"
    user.asks(*REFRESH)
    found = user.batches()
    assert {name: (each["status"], each["processed"]) for name, each in found.items()} == {
        "helpdesk": ("success", 200),
        "reviews": ("success", 200),
        "survey": ("success", 134),
        "callcentre": ("queued", 0),
        "": ("failed", 0),
    }
    for name, records in (("helpdesk", 200), ("reviews", 200), ("survey", 134)):
        assert len(user.finds("delivery", f"record_source={name}")) == records
    assert user.asks("audit")
