"""The dictionaries in the package, and how spellings of one name meet."""

# ruff: noqa: RUF001 - papers are written with such characters

import gzip
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.dictionaries.compile import is_acronym, names
from ingest_assets.sources.papers.extraction import dictionaries, dictionary_tables
from ingest_assets.sources.papers.extraction.dictionaries import Entry, load, symbol_key
from ingest_assets.sources.papers.extraction.dictionary_tables import build
from ingest_assets.sources.papers.extraction.words import fold, key, words


def _entry(name: str) -> Entry:
    known = load()
    return known.entries[known.phrases[key(name)]]


def _gene(symbol: str) -> Entry:
    known = load()
    return known.entries[min(known.symbols[symbol_key(symbol)], key=lambda each: not each.approved).entry]


def test_names_lead_to_the_ids_of_their_authorities() -> None:
    assert dict(_entry("type 2 diabetes").ids) == {
        "mesh_id": "D003924",
        "umls_id": "C0011860",
        "canonical_id": "DOID:9352",
    }
    assert dict(_entry("metformin").ids) == {"mesh_id": "D008687", "canonical_id": "DrugBank:DB00331"}
    assert dict(_entry("tamoxifen").ids)["mesh_id"] == "D013629"
    assert dict(_gene("TP53").ids) == {"hgnc_id": "HGNC:11998", "uniprot_id": "P04637"}
    assert dict(_gene("HER2").ids)["hgnc_id"] == "HGNC:3430"
    assert dict(_entry("signal transducer and activator of transcription 3").ids)["hgnc_id"] == "HGNC:11364"


@pytest.mark.parametrize(
    ("entity_class", "name", "field", "value"),
    [
        ("Disease", "Type 2 Diabetes", "mesh_id", "D003924"),
        ("Drug", "metformin", "mesh_id", "D008687"),
        ("Gene", "TP53", "hgnc_id", "HGNC:11998"),
        ("Gene", "p53", "hgnc_id", "HGNC:11998"),
        # In another class, as an acronym, as a word, or as the alias of several, it is not known.
        ("Drug", "TP53", "hgnc_id", None),
        ("Gene", "metformin", "mesh_id", None),
        ("Disease", "RRM", "mesh_id", None),
        ("Gene", "tp53", "hgnc_id", None),
        ("Disease", "patients", "mesh_id", None),
        ("Disease", "", "mesh_id", None),
    ],
)
def test_the_ids_of_a_name_in_a_class(entity_class: str, name: str, field: str, value: str | None) -> None:
    assert load().ids_of(entity_class, name).get(field) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tumours", "tumor"),
        ("leukaemia", "Leukemias"),
        ("Cushing's disease", "Cushing’s  disease"),
        ("non-small-cell lung cancer", "Non small cell lung cancers"),
        ("interleukin-1β", "interleukin 1 beta"),
        ("type II diabetes", "type 2 diabetes"),
        ("Sjögren syndrome", "Sjogren Syndrome"),
    ],
)
def test_spellings_of_one_name_are_equal(one: str, other: str) -> None:
    assert key(one) == key(other)


def test_a_name_does_not_go_on_beyond_a_full_stop_a_bracket_or_a_paragraph() -> None:
    for text in ("lung. Cancer", "lung (cancer", "lung\n\ncancer", "lung, cancer"):
        assert [word.joined for word in words(text)] == [False, False]
    for text in ("lung cancer", "lung-cancer", "lung/cancer", "lung\ncancer"):
        assert [word.joined for word in words(text)] == [False, True]


@given(st.text(max_size=80))
def test_words_are_where_they_say(text: str) -> None:
    found = words(text)
    assert all(word.folded == fold(text[word.start : word.end]) for word in found)
    assert all(one.end <= two.start for one, two in pairwise(found))


@given(st.text(alphabet="abIiAes' -12βü’", max_size=30))
def test_the_key_of_a_name_is_that_of_its_words(name: str) -> None:
    assert key(name).split() == [word.folded for word in words(name)]


def test_the_compiled_names_are_folded_as_texts_are() -> None:
    """The fold of the compiler and of the reader are one: the package's data fits its code."""
    known = load()
    named = [each for each in known.entries if each.entity_class != "Gene" and each.name.isascii()]
    missing = [each.name for each in named if key(each.name) not in known.phrases]
    # Acronyms that are genes' symbols, names with commas and what words.toml excludes.
    assert len(missing) < len(named) / 20


def test_what_is_no_drug_disease_or_gene_is_in_no_dictionary() -> None:
    known = load()
    for name in (
        "water",
        "syndrome",
        "disease",
        "tumors",
        "sweet potato",
        "Escherichia coli",
        "growth factor",
        "pain",
    ):
        assert key(name) not in known.phrases, name


def test_compiling_keeps_names_once_and_marks_acronyms() -> None:
    assert names(
        ["AIDS", "aids", "Acquired Immune Deficiency", "A, B", "Xyz", "12 34"], never=frozenset()
    ) == ("!aid|acquired immune deficiency")
    assert is_acronym("NSCLC")
    assert not is_acronym("Cancer")


def test_the_digest_is_of_all_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(dictionaries.digest()) == 64
    monkeypatch.setattr(
        dictionaries, "FILES", ("genes.tsv.gz", "missing.tsv.gz", "drugs.tsv.gz", "words.toml")
    )
    with pytest.raises(ConfigurationError, match="Install the package again"):
        dictionaries.digest.__wrapped__()


def test_the_compiled_tables_are_those_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_json(gzip.decompress(dictionaries.raw(dictionaries.COMPILED))) == build()
    monkeypatch.setattr(dictionaries, "digest", lambda: "other")
    with pytest.raises(ConfigurationError, match="compile it again"):
        load.__wrapped__()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"{}")[:-9], id="cut short"),
        pytest.param(gzip.compress(b"no JSON"), id="no JSON"),
    ],
)
def test_a_damaged_file_is_told(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(dictionaries, "raw", lambda _name: content)
    with pytest.raises(ConfigurationError, match="Install the package again"):
        load.__wrapped__()


def test_a_damaged_table_is_told() -> None:
    with pytest.raises(ConfigurationError, match="columns"):
        list(dictionary_tables._rows("a\tb\nonly one\n", 2))
