"""Strangers who look alike stay apart, and one person under two spellings is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.entities import HARD, hard_shares
from benchmarks.entity_sets import HardSet
from ingest_assets.entities import Features, MatchModel, default_model, features_of, score, train
from ingest_assets.entities.clusters import cluster
from ingest_assets.entities.firm_names import organisation_name
from ingest_assets.entities.identifiers import email, is_role
from ingest_assets.entities.person_names import generation, is_of_family, person_name
from ingest_assets.entities.training import term_frequencies
from ingest_assets.model import Identity


@pytest.mark.parametrize("name", HARD)
def test_hard_pairs(name: str) -> None:
    data = HARD[name](7)
    records = [features_of(key, identity) for key, identity in data.identities.items()]
    _require_quality(data, records, default_model(data.kind))


def test_hard_pairs_of_organisations_with_a_model_trained_on_them() -> None:
    data = HARD["organisations-wild"](13)
    records = [features_of(key, identity) for key, identity in data.identities.items()]
    model = train("organisation", records)
    assert model.origin == "trained"
    _require_quality(data, records, model)


def _require_quality(data: HardSet, records: list[Features], model: MatchModel) -> None:
    shares = hard_shares(
        data, cluster(data.truth, score(model, records).pairs, join_at=model.join_at).clusters
    )
    assert shares["strangers joined"]["all"] <= 0.01
    assert shares["people or firms found"]["all"] >= 0.9


def test_a_firm_that_is_entered_often_does_not_make_its_name_a_common_one() -> None:
    firms = [("Falk Tiefbau", "Graz")] * 6 + [
        ("City Taxi", town) for town in ("Graz", "Linz", "Wels", "Steyr")
    ]
    firms += [("Otter Verlag", "")] * 2 + [(f"Firm number {n}", "Graz") for n in range(88)]
    records = [
        features_of(str(number), Identity("organisation", name, place=town))
        for number, (name, town) in enumerate(firms)
    ]
    shares, _ = term_frequencies("organisation", records)
    assert shares["name"] == {"city taxi": pytest.approx(3 / 100)}


COLLEAGUES = [
    ("Ted Hall", "Todd Hall"), ("Sue Ford", "Sue Nord"), ("Mark Mullen", "Mark Muller"),
    ("John Smith", "Joan Smith"), ("Peter Muller", "Petra Muller"), ("David Chen", "David Cheng"),
    ("Karl Weber", "Karla Weber"), ("Ian Reed", "Ian Reid"), ("Eric Olsen", "Erica Olsen"),
    ("Mary Hanson", "Mary Hansen"), ("Dan Price", "Dana Price"), ("Ana Lopez", "Ana Lopes"),
    ("Rob Stone", "Ron Stone"), ("Paul Baker", "Paula Baker"), ("Lee Wang", "Lee Wong"),
    ("Martin Berg", "Martina Berg"), ("Tim Allen", "Tom Allen"), ("Jane Wood", "June Wood"),
]  # fmt: skip
SAME = [
    (Identity("person", "Robert Stone", emails=("robert.stone@corp.example",)),
     Identity("person", "Bob Stone", emails=("bob.stone@corp.example",), phones=("+44 20 7946 0011",)),
     ("+44 20 7946 0011",)),
    (Identity("person", "Margaret Baker", emails=("m.baker@corp.example",)),
     Identity("person", "Margaret Bakre", emails=("m.baker@corp.example",)), ()),
    (Identity("person", "Hall, Theodore", emails=("theodore.hall+news@corp.example",)),
     Identity("person", "Theodore Hall", emails=("theodore.hall@corp.example",)), ()),
]  # fmt: skip


@pytest.mark.parametrize("telephones", ["none", "one", "two"])
@pytest.mark.parametrize("domain", ["corp.example", "muller-partner.example"])
def test_colleagues_whose_names_are_alike_are_not_joined(telephones: str, domain: str) -> None:
    records = []
    for number, names in enumerate(COLLEAGUES):
        for side, name in enumerate(names):
            line = f"+44 20 7946 0{number:02}{side if telephones == 'two' else 0}"
            identity = Identity(
                "person",
                name,
                emails=(f"{name.lower().replace(' ', '.')}@{number}.{domain}",),
                phones=() if telephones == "none" else (line,),
                organisation=f"Corp {number}",
            )
            records.append(features_of(f"{number}/{side}", identity))
    assert _joined(records) == []


@pytest.mark.parametrize(("one", "other", "phones"), SAME)
def test_one_person_in_two_forms_is_found(one: Identity, other: Identity, phones: tuple[str, ...]) -> None:
    records = [features_of("1", replace(one, phones=phones)), features_of("2", other)]
    assert _joined(records) == [{"1", "2"}]


def _joined(records: list[Features]) -> list[set[str]]:
    model = default_model("person")
    found = cluster(
        [each.id for each in records], score(model, records).pairs, join_at=model.join_at
    ).clusters
    return [set(each) for each in found if len(each) > 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nordlys AB", "AB Nordlys"),
        ("ООО «Берёза»", "Береза ООО"),  # noqa: RUF001
        ("株式会社山川", "山川㈱"),
        ("Bauer & Söhne e.K.", "Bauer und Soehne"),
        ("Oy Kivi Ab", "Kivi"),
        ("Häuser & Bräuer OHG", "Haeuser und Braeuer"),
        ("Groß Logistik GmbH & Co. KG", "Gross Logistik"),
    ],
)
def test_legal_forms_and_spellings_of_organisations(one: str, other: str) -> None:
    assert organisation_name(one) == organisation_name(other) != ""


def test_addresses_that_lead_to_one_mailbox() -> None:
    assert email("Lena.Voss+shop@googlemail.com") == email("lenavoss@gmail.com")
    assert email("lena.voss@firm.example.org") != email("lenavoss@firm.example.org")
    assert is_role("buchhaltung@firm.eu")
    assert is_role("sales2@firm.eu")
    assert not is_role("lena.voss@firm.eu")
    assert is_of_family("familie.voss", ("lena",), "voss")
    assert not is_of_family("l.voss", ("lena",), "voss")
    assert is_of_family("thevosses", ("lena",), "vosse")
    assert is_of_family("otto.voss", ("lena",), "voss")


def test_a_mailbox_of_somebody_without_a_given_name_may_be_the_own_one() -> None:
    assert not is_of_family("lvoss", (), "voss")
    assert not is_of_family("lena.voss", (), "voss")
    for family in ("voss", "voss1970", "familie.voss", "thevosss"):
        assert is_of_family(family, (), "voss")


def test_generations_and_nobody() -> None:
    assert generation("Henry Ames Jr.") == generation("Ames, Henry, II") == "2"
    assert generation("Henry Ames") == ""
    for nobody in ("Undisclosed Recipients", "Nicht antworten", "Destinataires inconnus", "N/A"):
        assert person_name(nobody) == ("", "")
