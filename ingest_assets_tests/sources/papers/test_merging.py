"""Which entities are one: the tiers, what must not be merged, and that the order of papers is no matter."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.bundles import Bundle, BundleEntity
from ingest_assets.sources.papers.merging.authorities import MAX_ID_CHARS, canonical_form, derived_id
from ingest_assets.sources.papers.merging.classes import class_named, known_classes, predicate_named
from ingest_assets.sources.papers.merging.decisions import Decisions
from ingest_assets.sources.papers.merging.merged import Merged
from ingest_assets.sources.papers.merging.merging import merge
from ingest_assets.sources.papers.merging.names import fold
from ingest_assets.sources.papers.merging.said import from_text, said_of
from ingest_assets_tests.sources.papers import making
from ingest_assets_tests.sources.papers.making import bundle, decide, entity, says, sentence

MESH, UMLS, RXNORM, OTHER_RXNORM = "D000224", "C0001403", "5492", "703"


def _merge(*bundles: Bundle, decisions: Decisions | None = None) -> Merged:
    return _merged([(f"PMC{number}", each) for number, each in enumerate(bundles, 1)], decisions)


def _merged(papers: Iterable[tuple[str, Bundle]], decisions: Decisions | None = None) -> Merged:
    """Of what was said before, as it is kept."""
    kept = [(paper_id, from_text(said_of(each).as_json())) for paper_id, each in papers]
    return merge([(paper_id, said) for paper_id, said in kept if said is not None], decisions)


def _one_each(*entities: BundleEntity, decisions: Decisions | None = None) -> list[str]:
    """The ids of entities that stand in a paper each."""
    merged = _merge(*(bundle([each]) for each in entities), decisions=decisions)
    return [merged.id_map[f"PMC{number}"][each.id] for number, each in enumerate(entities, 1)]


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("D000224", "mesh_id", "MeSH:D000224"),
        ("MESH:D000224", "canonical_id", "MeSH:D000224"),
        ("D000224", "canonical_id", "MeSH:D000224"),
        ("C0001403", "canonical_id", "UMLS:C0001403"),
        ("2600", "hgnc_id", "HGNC:2600"),
        ("hgnc:2600", "hgnc_id", "HGNC:2600"),
        (" 5492 ", "rxnorm_id", "RxNorm:5492"),
        ("p12345", "uniprot_id", "UniProt:P12345"),
        ("2160-0", "loinc_code", "LOINC:2160-0"),
        ("MeSH:D000224", "umls_id", "MeSH:D000224"),
        ("5492", "canonical_id", None),  # whose?
        ("HGNC:abc", "hgnc_id", None),
        ("HGNC:", "hgnc_id", None),
        ("C0389995", "rxnorm_id", None),
        ("C0000000", "umls_id", None),
        ("C9999999", "umls_id", None),
        ("1234567", "rxnorm_id", None),
        ("unknown", "mesh_id", None),
        ("ORCID:0000", "canonical_id", None),
        ("", "mesh_id", None),
        (None, "mesh_id", None),
        ("12345678901234567890123456789012345678901", "rxnorm_id", None),
    ],
)
def test_an_id_is_one_only_with_its_authority(value: str | None, field: str, expected: str | None) -> None:
    assert canonical_form(value, field) == expected


@pytest.mark.parametrize(
    "spelled", ["Biological_Process", "Biological Process", "BiologicalProcess", "biological-process"]
)
def test_a_class_has_one_spelling(spelled: str) -> None:
    assert class_named(spelled) == "BiologicalProcess"
    assert class_named("Spaceship") is None
    assert class_named("space_ship", known_classes(["SpaceShip"])) == "SpaceShip"


def test_a_predicate_has_one_spelling() -> None:
    assert predicate_named(" same as") == predicate_named("same-as") == "SAME_AS"
    assert predicate_named("; drop") is None
    assert predicate_named("") is None


@given(st.text())
def test_folding_a_name_twice_changes_nothing(name: str) -> None:
    assert fold(fold(name)) == fold(name)


def test_ids_of_authorities_come_first_whatever_the_names_and_classes() -> None:
    left = entity("E1", "SMRP", "Biomarker", hgnc_id="HGNC:7371")
    right = entity("E1", "mesothelin", "Gene", hgnc_id="7371")
    assert _one_each(left, right) == ["HGNC:7371", "HGNC:7371"]


def test_of_several_ids_that_of_the_first_authority_is_the_entitys_and_the_others_lead_to_it() -> None:
    merged = _merge(
        bundle([entity("E1", "Hydrocortisone", rxnorm_id=RXNORM, mesh_id=MESH)]),
        bundle([entity("E1", "Cortisol", rxnorm_id=RXNORM)]),
    )
    (only,) = merged.entities
    assert only.id == f"MeSH:{MESH}"
    assert only.ids == (f"MeSH:{MESH}", f"RxNorm:{RXNORM}")
    for old in (f"RxNorm:{RXNORM}", derived_id("Drug", "cortisol"), derived_id("Drug", "hydrocortisone")):
        assert merged.aliases[old] == only.id


def test_a_name_without_an_id_belongs_to_what_has_it() -> None:
    known = entity("E1", "Hydrocortisone", rxnorm_id=RXNORM)
    assert _one_each(entity("E1", "hydro\u00adcortisone"), known) == [f"RxNorm:{RXNORM}"] * 2
    assert _one_each(entity("E1", "Hydrocortisone", "Hormone"), known)[0] == derived_id(
        "Hormone", "hydrocortisone"
    )


def test_ids_of_different_authorities_and_one_name_are_one_entity() -> None:
    assert (
        _one_each(entity("E1", "Aspirin", rxnorm_id="1154"), entity("E1", "aspirin", mesh_id="D001241"))
        == ["MeSH:D001241"] * 2
    )


def test_one_name_with_different_ids_of_one_authority_is_several_entities() -> None:
    ids = _one_each(
        entity("E1", "ACTH", "Gene", hgnc_id="9201"),
        entity("E1", "ACTH", "Gene", hgnc_id="15537"),
        entity("E1", "ACTH", "Gene", hgnc_id="15537"),
        entity("E1", "ACTH", "Gene"),
    )
    assert ids == ["HGNC:9201", "HGNC:15537", "HGNC:15537", "HGNC:15537"]  # the last: what most papers mean


def test_an_id_shared_beside_better_ones_does_not_make_them_one() -> None:
    ids = _one_each(
        entity("E1", "a", mesh_id="D000001", umls_id=UMLS),
        entity("E1", "b", mesh_id="D000002", umls_id=UMLS),
        entity("E1", "a", mesh_id="D000001", umls_id=UMLS),
    )
    assert ids == ["MeSH:D000001", "MeSH:D000002", "MeSH:D000001"]


def test_same_as_merges_from_its_confidence_on_and_below_stays_an_edge() -> None:
    entities = [entity("E1", "biofilm"), entity("E2", "dental plaque")]
    (one,) = _merge(bundle(entities, [says("E1", "SAME_AS", "E2", 0.85)])).entities
    assert one.id == min(derived_id("Drug", "biofilm"), derived_id("Drug", "dental plaque"))
    merged = _merge(bundle(entities, [says("E1", "SAME_AS", "E2", 0.84)]))
    assert len(merged.entities) == 2
    assert [each.predicate for each in merged.relationships] == ["SAME_AS"]
    distinct = says("E1", "SAME_AS", "E2", 1.0, resolution="distinct")
    assert len(_merge(bundle(entities, [distinct])).entities) == 2


def test_what_one_paper_says_is_the_same_holds_in_others_before_their_name_does() -> None:
    says_so = bundle(
        [entity("E1", "CORT"), entity("E2", "Hydrocortisone", rxnorm_id=RXNORM)],
        [says("E1", "SAME_AS", "E2")],
    )
    merged = _merge(says_so, bundle([entity("E1", "cort")]), bundle([entity("E1", "CORT", rxnorm_id="11")]))
    assert merged.id_map["PMC2"]["E1"] == f"RxNorm:{RXNORM}"
    assert merged.id_map["PMC3"]["E1"] == "RxNorm:11"


def test_a_name_without_an_id_is_no_bridge_between_two_ids() -> None:
    first = bundle(
        [entity("E1", "AI"), entity("E2", "Adrenal insufficiency", umls_id="C0001623")],
        [says("E1", "SAME_AS", "E2", 0.95)],
    )
    second = bundle(
        [entity("E1", "AI"), entity("E2", "Aortic insufficiency", umls_id="C0003504")],
        [says("E1", "SAME_AS", "E2", 0.9)],
    )
    merged = _merge(first, second)
    assert {each.id for each in merged.entities} == {"UMLS:C0001623", "UMLS:C0003504"}
    assert merged.id_map["PMC2"]["E1"] == "UMLS:C0001623"
    assert len(merged.remarks) == 1
    direct = bundle(
        [entity("E1", "warfarin", rxnorm_id="11289"), entity("E2", "acenocoumarol", rxnorm_id="703")],
        [says("E1", "SAME_AS", "E2")],
    )
    assert len(_merge(direct).entities) == 1  # a paper says so


def test_synonyms_merge_nothing() -> None:
    assert _one_each(
        entity("E1", "Adrenal insufficiency", umls_id="C0001623", synonyms=("AI",)),
        entity("E1", "Aortic insufficiency", umls_id="C0003504", synonyms=("AI",)),
        entity("E1", "AI"),
    ) == ["UMLS:C0001623", "UMLS:C0003504", derived_id("Drug", "ai")]


def test_a_curator_wins_over_same_as_ids_and_names() -> None:
    syndrome, disease = (
        entity("E1", "Cushing syndrome", umls_id=UMLS),
        entity("E1", "Cushing disease", umls_id=UMLS),
    )
    apart = decide(("Drug/Cushing disease", f"UMLS:{UMLS}", "different"))
    assert _one_each(syndrome, disease, decisions=apart) == [
        f"UMLS:{UMLS}",
        derived_id("Drug", "cushing disease"),
    ]
    both = bundle([entity("E1", "a"), entity("E2", "b")], [says("E1", "SAME_AS", "E2", 1.0)])
    merged = _merge(both, decisions=decide(("Drug/a", "Drug/B", "different")))
    assert len(merged.entities) == 2
    assert merged.relationships[0].predicate == "SAME_AS"
    one = decide(("Drug/pasireotide", "RxNorm:1100699", "same"))
    made_up = [entity("E1", "pasireotide", rxnorm_id=each) for each in ("1234995", "1234568")]
    assert _one_each(*made_up, decisions=one) == ["RxNorm:1100699"] * 2
    by_ids = decide(("RxNorm:1234995", "RxNorm:1234568", "same"))
    assert _one_each(*made_up, decisions=by_ids) == ["RxNorm:1234568"] * 2
    derived = decide((derived_id("Drug", "a"), "Drug/b", "same"))
    assert len(_merge(bundle([entity("E1", "a"), entity("E2", "b")]), decisions=derived).entities) == 1


def test_decisions_that_contradict_each_other_are_refused() -> None:
    made = decide(
        ("Drug/a", "Drug/b", "same"), ("Drug/b", "Drug/c", "same"), ("Drug/c", "Drug/A", "different")
    )
    with pytest.raises(ConfigurationError, match="contradict"):
        _merge(bundle([entity("E1", "a")]), decisions=made)
    two_words = decide((derived_id("Drug", "a"), "Drug/a", "different"))
    with pytest.raises(ConfigurationError, match="two words"):
        _merge(bundle([entity("E1", "a")]), decisions=two_words)


def test_papers_are_those_of_the_files_and_their_evidence_is_theirs() -> None:
    said = bundle(
        [entity("E1", "a"), entity("E2", "b")],
        [says("E1", "TREATS", "E2", evidence_ids=("paper_1:results:1", "x"), source_papers=("paper_1",))],
        [sentence("paper_1:results:1", "One."), sentence("x", "Two.")],
    )
    (relationship,) = _merge(said, said).relationships
    assert relationship.papers == ("PMC1", "PMC2")
    assert relationship.evidence_ids == ("PMC1:results:1", "PMC1:x", "PMC2:results:1", "PMC2:x")


def test_the_synonym_cache_has_each_pair_once() -> None:
    there = bundle([entity("E1", "a"), entity("E2", "b")], [says("E1", "SAME_AS", "E2", 0.5)])
    back = bundle([entity("E1", "A"), entity("E2", "B")], [says("E2", "SAME_AS", "E1", 0.6)])
    itself = bundle([entity("E1", "c")], [says("E1", "SAME_AS", "E1")])
    (pair,) = _merge(there, back, there, itself).synonym_pairs
    assert (pair.confidence, pair.papers, pair.merged) == (0.6, ("PMC1", "PMC2", "PMC3"), False)


@settings(max_examples=60)
@given(making.papers, making.decisions(), st.randoms(use_true_random=False))
def test_the_order_of_papers_does_not_matter(
    papers: making.Papers, decisions: Decisions, random: Random
) -> None:
    shuffled = list(papers.items())
    random.shuffle(shuffled)
    assert _outcome(shuffled, decisions) == _outcome(list(papers.items()), decisions)


@settings(max_examples=60)
@given(making.papers, making.decisions())
def test_every_id_of_fewer_papers_leads_to_an_entity_of_all(
    papers: making.Papers, decisions: Decisions
) -> None:
    merged = _outcome(list(papers.items()), decisions)
    if not isinstance(merged, Merged):
        return
    known = {each.id for each in merged.entities}
    assert not known & merged.aliases.keys()
    assert set(merged.aliases.values()) <= known
    assert all(len(each) <= MAX_ID_CHARS for each in known)
    for left_out in papers:
        fewer = _outcome([(paper, each) for paper, each in papers.items() if paper != left_out], decisions)
        if isinstance(fewer, Merged):
            assert {each.id for each in fewer.entities} <= known | merged.aliases.keys()


@settings(max_examples=60)
@given(making.papers)
def test_no_entity_has_two_ids_of_one_authority_unless_a_paper_says_so(papers: making.Papers) -> None:
    silent = {paper: each.model_copy(update={"relationships": ()}) for paper, each in papers.items()}
    for each in _merged(silent.items()).entities:
        authorities = [found.partition(":")[0] for found in each.ids]
        assert len(set(authorities)) == len(authorities)


@settings(max_examples=60)
@given(making.papers)
def test_nothing_is_provisional_that_an_authority_knows_by_name(papers: making.Papers) -> None:
    silent = {paper: each.model_copy(update={"relationships": ()}) for paper, each in papers.items()}
    merged = _merged(silent.items())
    canonical = {each.id for each in merged.entities if each.is_canonical}
    named = {
        (each.entity_class, fold(each.name)): merged.id_map[paper][each.id]
        for paper, found in silent.items()
        for each in found.entities
        if merged.id_map[paper][each.id] in canonical
    }
    for paper, found in silent.items():
        for each in found.entities:
            if (each.entity_class, fold(each.name)) in named:
                assert merged.id_map[paper][each.id] in canonical


def _outcome(papers: list[tuple[str, Bundle]], decisions: Decisions) -> Merged | str:
    try:
        return _merged(papers, decisions)
    except ConfigurationError as error:
        return str(error)
