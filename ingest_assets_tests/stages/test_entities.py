"""Entity resolution in the ledger: any order of arrival gives the same clusters, ids stay, decisions hold."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.entities import blocking
from ingest_assets.entities.decisions import Decisions, load_decisions
from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError, Document, Identity
from ingest_assets.queries.directory import find, view, why
from ingest_assets.queries.search import Searcher
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.stages.resolution import resolver
from ingest_assets.stages.resolution.facts import without_effect, without_member
from ingest_assets.stages.successors import living_id
from ingest_assets_tests.support.crashes import Crash, Fuse, FusedStage
from ingest_assets_tests.support.small_parts import ToyBench, document


def _record(number: int, name: str, *emails: str, kind: str = "person", place: str = "") -> Document:
    identity = Identity(kind, name, emails=emails, place=place)  # type: ignore[arg-type]
    return document(f"people/{number}", f"About {name}.", title=name, identity=identity)


ADA, ADAM = _record(1, "Ada Lovelace", "ada@engine.org"), _record(2, "Adam Ant", "adam@ants.org")
ADA_TOO = _record(3, "A. Lovelace", "ada@engine.org")


def entities(bench: ToyBench) -> dict[str, str]:
    member = tables.entity_member
    with bench.ledger.reading() as connection:
        query = sa.select(member.c.document_id, member.c.entity_id)
        return dict(connection.execute(query).tuples().all())


def clusters(bench: ToyBench) -> set[frozenset[str]]:
    found = defaultdict(set)
    for record, entity in entities(bench).items():
        found[entity].add(record)
    return {frozenset(records) for records in found.values()}


def events(bench: ToyBench) -> list[tuple[str, str, str | None, str | None]]:
    event = tables.entity_event
    with bench.ledger.reading() as connection:
        query = sa.select(event.c.kind, event.c.entity_id, event.c.other_id, event.c.document_id)
        return [tuple(row) for row in connection.execute(query.order_by(event.c.number))]


def resolve(bench: ToyBench) -> None:
    for stage in ("records", "match_models", "entities"):
        bench.do(stage)


def decide(bench: ToyBench, *lines: str) -> None:
    path = bench.settings.ingest_home / "decisions.csv"
    path.write_text("\n".join(["left,right,verdict,who,why", *lines]) + "\n", encoding="utf-8")
    bench.settings = bench.settings.model_copy(update={"ingest_entity_decisions": path})


def _crowd(rng: random.Random, count: int) -> list[Document]:
    given, family = ["Ada", "Grace", "Bob", "Robert"], ["Berg", "Lund", "Okafor"]
    return [
        _record(
            n,
            f"{rng.choice(given)} {rng.choice(family)}",
            f"m{rng.randrange(count // 2)}@acme.org",
            kind="person" if rng.random() < 0.9 else "organisation",
            place=rng.choice(["Kiel", ""]),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_arrival_gives_the_clusters_of_all_at_once(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bounds so low that blocks are cut, and fall below them again when records are removed.
    monkeypatch.setattr(blocking, "MAX_BLOCK", 6)
    monkeypatch.setattr(blocking, "MAX_SHARED", 4)
    monkeypatch.setattr(resolver, "BOUNDS", (4, 6))
    rng = random.Random(seed)
    records = _crowd(rng, 60)
    gone = rng.sample(records, 12)
    with ToyBench(tmp_path / "steps") as steps, ToyBench(tmp_path / "once") as once:
        arriving = rng.sample(records, len(records))
        cuts = sorted(rng.sample(range(1, 60), 4))
        for start, stop in pairwise([0, *cuts, 60]):
            steps.toy.put(*arriving[start:stop])
            # An edit that is undone later.
            steps.toy.put(replace(arriving[start], identity=Identity("person", "Somebody Else")))
            resolve(steps)
            steps.toy.put(arriving[start])
        for record in gone:
            del steps.toy.documents[record.id]
        resolve(steps)
        once.toy.put(*(record for record in records if record not in gone))
        resolve(once)
        assert clusters(steps) == clusters(once)
        assert any(len(found) > 1 for found in clusters(once))


def test_an_id_stays_through_an_edit_and_a_merge_leads_to_the_older_one(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM, _record(3, "A. Lovelace", "al@home.net"))
        bench.refresh()
        first = entities(bench)
        assert len(set(first.values())) == 3
        bench.toy.put(_record(1, "Ada King Lovelace", "ada@engine.org"))
        bench.refresh()
        assert entities(bench) == first
        assert len(events(bench)) == 3
        bench.toy.put(_record(3, "A. Lovelace", "al@home.net", "ada@engine.org"))
        calls = bench.model.calls
        bench.refresh()
        assert bench.model.calls == calls
        assert entities(bench) == first | {"people/3": first["people/1"]}
        assert events(bench)[3:] == [("merge", first["people/1"], first["people/3"], None)]
        with bench.ledger.reading() as connection:
            assert living_id(connection, "crm", first["people/3"]) == first["people/1"]
        for asked in (first["people/1"], first["people/3"]):
            hits = Searcher(bench, "crm").search("about", where={"entity_ids": [asked]}).hits
            assert {hit.document_id for hit in hits} == {"people/1", "people/3"}
        # Apart again: the older id stays with the oldest record, the other record gets a new one.
        bench.toy.put(_record(3, "A. Lovelace", "al@home.net"))
        bench.refresh()
        again = entities(bench)
        assert again["people/1"] == first["people/1"]
        assert again["people/3"] not in first.values()
        assert events(bench)[4:] == [("split", again["people/3"], first["people/1"], None)]


def test_a_deleted_record_leaves_and_the_last_one_ends_its_entity(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM, ADA_TOO)
        resolve(bench)
        first = entities(bench)
        del bench.toy.documents["people/1"], bench.toy.documents["people/2"]
        resolve(bench)
        assert entities(bench) == {"people/3": first["people/3"]}
        assert set(events(bench)[2:]) == {
            ("leave", first["people/3"], None, "people/1"),
            ("retire", first["people/2"], None, None),
        }
        with pytest.raises(ConfigurationError, match="Nothing is left of the entity"):
            view(bench.ledger, "crm", first["people/2"], Decisions())


def test_decisions_win_and_survive_a_rebuild_until_they_are_withdrawn(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM, ADA_TOO)
        decide(bench, "people/1,people/3,different,Ada,my namesake", "people/1,people/2,same,Ada,")
        resolve(bench)
        wanted = {frozenset({"people/1", "people/2"}), frozenset({"people/3"})}
        assert clusters(bench) == wanted
        bench.do("entities", rebuild=True)
        assert clusters(bench) == wanted
        decide(bench, "people/1,people/2,same,Ada,")
        resolve(bench)
        assert frozenset({"people/2"}) not in clusters(bench)
        decide(bench)
        resolve(bench)
        assert clusters(bench) == {frozenset({"people/1", "people/3"}), frozenset({"people/2"})}


def test_decisions_name_documents_as_people_type_them(tmp_path: Path) -> None:
    ids = {"ada@engine.org": "people/ada%40engine.org", "Ant & Sons/2": "people/Ant%20%26%20Sons%2F2"}
    people = [
        document(id_, f"About {typed}.", title=typed, identity=Identity("person", typed))
        for typed, id_ in ids.items()
    ]
    with ToyBench(tmp_path) as bench:
        bench.toy.put(*people)
        decide(bench, "people/ada@engine.org,people/Ant & Sons/2,same,Ada,she was married")
        resolve(bench)
        assert clusters(bench) == {frozenset(ids.values())}
        with bench.ledger.reading() as connection:
            assert without_effect(connection, "crm", bench.decisions()) == []
        decide(bench, "people/ada%40engine.org,people/Ant%20%26%20Sons%2F2,different,Ada,")
        resolve(bench)
        assert clusters(bench) == {frozenset([id_]) for id_ in ids.values()}


def test_decisions_that_cannot_hold_are_reported(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM, ADA_TOO, _record(4, "Engine Ltd", kind="organisation"))
        decide(
            bench,
            "people/1,people/3,same,Ada,",
            "people/3,people/1,different,Adam,",
            "people/1,people/4,same,Ada,she is the firm",
            "people/2,people/99,same,Ada,a typing error",
        )
        resolve(bench)
        with bench.ledger.reading() as connection:
            found = without_effect(connection, "crm", bench.decisions())
        assert [(one.left, one.right, one.reason.split()[0]) for one in found] == [
            ("people/1", "people/4", "one"),
            ("people/2", "people/99", "there"),
            ("people/1", "people/3", "other"),
            ("people/1", "people/3", "another"),
        ]


def test_an_entity_without_records_ends_also_in_a_rebuild(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM)
        resolve(bench)
        first = entities(bench)
        del bench.toy.documents["people/2"]
        bench.do("records")
        bench.do("entities", rebuild=True)
        assert events(bench)[2:] == [("retire", first["people/2"], None, None)]
        with bench.ledger.reading() as connection:
            assert living_id(connection, "crm", first["people/2"]) is None
            assert without_member(connection, "crm") == 0


def test_a_record_that_changes_its_kind_gives_the_clusters_of_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "MAX_SHARED", 4)
    monkeypatch.setattr(resolver, "BOUNDS", (4, blocking.MAX_BLOCK))
    people = [
        _record(n, f"{name} Lund", "hq@acme.org") for n, name in enumerate(["Ada", "Bo", "Cy", "Di", "Ed"])
    ]
    with ToyBench(tmp_path / "steps") as steps, ToyBench(tmp_path / "once") as once:
        steps.toy.put(*people)
        resolve(steps)
        firm = _record(0, "Lund Ltd", "hq@acme.org", kind="organisation")
        for bench in (steps, once):
            bench.toy.put(*people[1:], firm)
            resolve(bench)
        assert clusters(steps) == clusters(once)


def test_the_id_of_a_record_that_changes_its_kind_leads_to_its_new_entity(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADA_TOO, ADAM)
        bench.refresh()
        was = entities(bench)["people/1"]
        bench.toy.put(_record(1, "Ada Lovelace Ltd", "ada@engine.org", kind="organisation"))
        bench.toy.put(_record(3, "Engine Ltd", "ada@engine.org", kind="organisation"))
        bench.refresh()
        firm = entities(bench)["people/1"]
        assert firm != was
        assert ("merge", firm, was, None) in events(bench)
        hits = Searcher(bench, "crm").search("about", where={"entity_ids": [was]}).hits
        assert "people/1" in {hit.document_id for hit in hits}
        # And back: an id that ended stays ended, and leads on.
        bench.toy.put(ADA, ADA_TOO)
        bench.refresh()
        person = entities(bench)["people/1"]
        assert person not in {was, firm}
        with bench.ledger.reading() as connection:
            assert living_id(connection, "crm", was) == living_id(connection, "crm", firm) == person


def test_an_event_says_which_rules_brought_its_records_together(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM)
        resolve(bench)
        bench.toy.put(ADA_TOO)
        resolve(bench)
        joined = view(bench.ledger, "crm", "people/3", Decisions()).history[0]
        assert joined.kind == "join"
        [[left, right, weight, rules]] = joined.reason["pairs"]
        assert (left, right, rules) == ("people/1", "people/3", ["person/email", "person/sound_near"])
        assert weight > 0


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_event_names_a_rule_that_was_no_evidence_until_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rebuild: bool
) -> None:
    monkeypatch.setattr(blocking, "MAX_SHARED", 4)
    monkeypatch.setattr(resolver, "BOUNDS", (4, blocking.MAX_BLOCK))
    names = ["Ada Lovelace", "A. Lovelace", "Bo Ek", "Cy Ray", "Di Moe"]
    with ToyBench(tmp_path) as bench:
        bench.toy.put(*(_record(n, name, "hq@acme.org") for n, name in enumerate(names)))
        resolve(bench)
        assert len(clusters(bench)) == len(names)
        del bench.toy.documents["people/4"]
        for stage in ("records", "match_models", "entities"):
            bench.do(stage, rebuild=rebuild)
        [merged] = [
            e for e in view(bench.ledger, "crm", "people/0", Decisions()).history if e.kind == "merge"
        ]
        assert "person/email" in merged.reason["pairs"][0][3]


def test_links_are_repaired_after_a_crash_and_an_undone_edit(tmp_path: Path) -> None:
    note = document("notes/1", "About her.", refs=["people/3"])
    apart = _record(3, "A. Lovelace", "al@home.net")
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, apart, note)
        bench.refresh()
        first = entities(bench)
        bench.toy.put(ADA_TOO)
        bench.do("records")
        fuse = Fuse()
        stage = FusedStage(bench.stage("crm", "entities"), fuse)
        with bench.ledger.session() as session:
            count = len(list(stage.steps(bench.ledger, session, Run())))
        # The run dies before its last step: the links are recorded, the members are not.
        fuse.light(2 * (count - 1))
        with pytest.raises(Crash):
            reconcile(stage, bench.ledger)
        assert entities(bench) == first
        bench.toy.put(apart)
        bench.refresh()
        assert entities(bench) == first
        hits = Searcher(bench, "crm").search("about", where={"entity_ids": [first["people/1"]]}).hits
        assert {hit.document_id for hit in hits} == {"people/1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("left,right\na,b\n", "lacks verdict"),
        ("left,right,verdict\na,b,maybe\n", "line 2: needs two different document ids and the verdict"),
        ("left,right,verdict\na,a,same\n", "line 2"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_decisions_file_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "decisions.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=complaint):
        load_decisions(path)


def test_an_entity_is_shown_explained_and_found(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(ADA, ADAM, ADA_TOO)
        resolve(bench)
        shown = view(bench.ledger, "crm", "people/3", Decisions())
        assert [member.document_id for member in shown.members] == ["people/1", "people/3"]
        assert shown.golden["name"][0].value == "Ada Lovelace"
        assert shown.golden["emails"][0].records == ("people/3", "people/1")
        [link] = shown.links
        reason = why(bench.ledger, "crm", "people/1", "people/3", Decisions())
        assert reason.same
        assert reason.weight == pytest.approx(link.weight, abs=1e-5)
        total = reason.prior + sum(field.weight + field.frequency for field in reason.fields)
        assert total == pytest.approx(reason.weight, abs=1e-5)
        assert not why(bench.ledger, "crm", "people/1", "people/2", Decisions()).same
        [hit] = find(bench.ledger, "crm", "lovel", 5)
        assert (hit.entity_id, hit.name, hit.records) == (shown.entity_id, "A. Lovelace", 2)
        assert find(bench.ledger, "crm", "nobody", 5) == []
        with pytest.raises(ConfigurationError, match="There is no entity"):
            view(bench.ledger, "crm", "people/9", Decisions())
