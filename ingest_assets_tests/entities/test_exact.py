"""Who is who by exact identifiers: the same entities whatever the order, and none that only look alike."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.entities import resolve
from ingest_assets.entities.exact import MAX_SHARED, entity_id
from ingest_assets.entities.identifiers import FREE_MAIL, domain, email, phone
from ingest_assets.model import Identity
from ingest_assets_tests.engines import Engines
from ingest_assets_tests.toy import ToyBench, document, dump

Record = tuple[str, Identity]


def _person(**fields: tuple[str, ...]) -> Identity:
    return Identity("person", "Somebody", **fields)


def _organisation(**fields: tuple[str, ...]) -> Identity:
    return Identity("organisation", "Some Ltd", **fields)


def _clusters(records: list[Record]) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for key, entity in resolve("crm", records).entity_of.items():
        groups.setdefault(entity, set()).add(key)
    return {frozenset(group) for group in groups.values()}


_identities = st.builds(
    Identity,
    kind=st.sampled_from(["person", "organisation"]),
    name=st.just("N"),
    emails=st.lists(st.sampled_from([f"{c}@acme.org" for c in "abcdef"]), max_size=2).map(tuple),
    phones=st.lists(st.sampled_from(["+31301234567", "+31307654321"]), max_size=1).map(tuple),
    domains=st.lists(st.sampled_from(["acme.org", "beta.net", "gmail.com"]), max_size=2).map(tuple),
)
_records = st.lists(_identities, max_size=14).map(
    lambda them: [(f"records/{n}", identity) for n, identity in enumerate(them)]
)


@settings(max_examples=200)
@given(_records, st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(records: list[Record], chance: random.Random) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert resolve("crm", shuffled) == resolve("crm", records)


def _connected(a: Identity, b: Identity) -> bool:
    """By the definition, without any normalising: what the strategy above gives is normal already."""
    if a.kind != b.kind:
        return False
    domains = set(a.domains) & set(b.domains) - {"gmail.com"} if a.kind == "organisation" else set()
    return bool(set(a.emails) & set(b.emails) or set(a.phones) & set(b.phones) or domains)


@settings(max_examples=100)
@given(_records.filter(lambda them: len(them) <= MAX_SHARED))
def test_entities_are_the_connected_records(records: list[Record]) -> None:
    clusters = {key: {key} for key, _ in records}
    for key, one in records:
        for other, two in records:
            if _connected(one, two) and clusters[key] is not clusters[other]:
                clusters[key] |= clusters[other]
                for member in clusters[key]:
                    clusters[member] = clusters[key]
    assert _clusters(records) == {frozenset(cluster) for cluster in clusters.values()}


def test_ids_are_derived_from_the_smallest_member() -> None:
    records = [(f"people/{n}", _person(emails=("ada@acme.org",))) for n in (3, 1, 2)]
    ids = set(resolve("crm", records).entity_of.values())
    assert ids == {entity_id("crm", "person", "people/1")}
    assert uuid.UUID(ids.pop()).version == 5
    assert entity_id("crm", "person", "people/1") != entity_id("other", "person", "people/1")


@pytest.mark.parametrize(("holders", "joined"), [(MAX_SHARED, True), (MAX_SHARED + 1, False)])
def test_an_identifier_that_too_many_share_joins_nobody(holders: int, *, joined: bool) -> None:
    records = [(f"people/{n:02d}", _person(phones=("+31 30 123 4567",))) for n in range(holders)]
    resolution = resolve("crm", records)
    assert len(set(resolution.entity_of.values())) == (1 if joined else holders)
    assert resolution.cut == ({} if joined else {"person/phone:+31301234567": holders})


def test_one_record_that_repeats_an_identifier_is_one_holder() -> None:
    same = _person(emails=("Ada@acme.org", "ada@ACME.org") * MAX_SHARED)
    resolution = resolve("crm", [("people/1", same), ("people/2", _person(emails=("ada@acme.org",)))])
    assert len(set(resolution.entity_of.values())) == 1
    assert not resolution.cut


def test_people_and_organisations_are_never_one() -> None:
    records = [
        ("people/1", _person(emails=("info@acme.org",))),
        ("organisations/1", _organisation(emails=("info@acme.org",))),
    ]
    assert len(_clusters(records)) == 2


def test_organisations_share_domains_and_people_do_not() -> None:
    records = [
        ("organisations/1", _organisation(domains=("https://www.acme.org/about",))),
        ("organisations/2", _organisation(domains=("ACME.org",))),
        ("people/1", _person(domains=("acme.org",))),
        ("people/2", _person(domains=("acme.org",))),
    ]
    assert _clusters(records) == {
        frozenset({"organisations/1", "organisations/2"}),
        frozenset({"people/1"}),
        frozenset({"people/2"}),
    }


@pytest.mark.parametrize("host", sorted(FREE_MAIL))
def test_free_mail_joins_no_organisations(host: str) -> None:
    records = [(f"organisations/{n}", _organisation(domains=(host,))) for n in range(2)]
    assert len(_clusters(records)) == 2


def test_records_without_identifiers_stand_alone() -> None:
    records = [(f"people/{n}", _person(emails=("n/a",), phones=("-", "0000000000"))) for n in range(3)]
    assert len(_clusters(records)) == 3


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Ada@Acme.ORG", "ada@acme.org"),
        ("  ada@acme.org ", "ada@acme.org"),
        ("Ada Lovelace <ada@acme.org>", "ada@acme.org"),
        ("mailto:ada@acme.org", "ada@acme.org"),
        ("ada@acme.org; bob@acme.org", "ada@acme.org"),
        ("ada@acme.org.", "ada@acme.org"),
        ("(ada@acme.org)", "ada@acme.org"),
        ('"ada@acme.org"', "ada@acme.org"),
        ("a.b+c@sub.acme.co.uk", "a.b+c@sub.acme.co.uk"),
        ("n/a", None),
        ("unknown@acme.org", None),
        ("test@acme.org", None),
        ("ada@example.com", None),
        ("ada@", None),
        ("ada@acme", None),
        ("", None),
    ],
)
def test_email(written: str, normal: str | None) -> None:
    assert email(written) == normal


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("+31 30 123 4567", "+31301234567"),
        ("+31 (0)30 123 4567", "+31301234567"),
        ("0031-30-1234567", "+31301234567"),
        ("+1 (555) 010-9999 ext. 12", "+15550109999"),
        ("+1 555 010 9999 x12", "+15550109999"),
        ("tel:+31 30 123 4567", "+31301234567"),
        ("030 123 4567", "0301234567"),
        ("030.123.4567", "0301234567"),
        ("123456", None),
        ("0000000000", None),
        ("1111111", None),
        ("n/a", None),
        ("", None),
    ],
)
def test_phone(written: str, normal: str | None) -> None:
    assert phone(written) == normal


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://www.acme.org/about?x=1#top", "acme.org"),
        ("HTTP://Acme.org:8080", "acme.org"),
        ("ada@acme.org", "acme.org"),
        ("www.acme.co.uk", "acme.co.uk"),
        ("acme.org.", "acme.org"),
        ("https://user:pw@acme.org/", "acme.org"),
        ("gmail.com", None),
        ("someone@gmail.com", None),
        ("example.com", None),
        ("localhost", None),
        ("n/a", None),
        ("", None),
    ],
)
def test_domain(written: str, normal: str | None) -> None:
    assert domain(written) == normal


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    engines = Engines(embedded=False)
    yield engines
    engines.close()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | _identities), max_size=12))
def test_resolving_as_records_come_and_go_is_resolving_them_all(
    engines: Engines, edits: list[tuple[int, Identity | None]]
) -> None:
    home, store = engines.folder(), engines.lend_store()
    bench, fresh = (ToyBench(home, ledger=engines.lend_ledger(), store=store) for _ in range(2))
    for number, identity in edits:
        key = f"people/{number}"
        bench.toy.documents.pop(key, None)
        if identity is not None:
            bench.toy.put(document(key, identity=identity, refs=["people/0", "people/5"]))
        bench.do("records")
        bench.do("entities")
    fresh.toy.documents = dict(bench.toy.documents)
    fresh.do("records")
    fresh.do("entities")
    for table in ("entity_member", "document_entities"):
        assert dump(bench.ledger)[table] == dump(fresh.ledger)[table]
    for each in (bench, fresh):
        engines.take_ledger(each.ledger)
    engines.take_store(store)
