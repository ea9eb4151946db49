"""What JATS files hold: articles, what is known of them, and what is wrong with others."""

from __future__ import annotations

import pytest

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article, Author, Notice
from ingest_assets.sources.papers.formats import jats
from ingest_assets_tests.sources.papers.jats_samples import DOCTYPE, IDS, article, wrapped

_XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def only(xml: str | bytes) -> Article:
    (found,), error = jats.parse(xml.encode() if isinstance(xml, str) else xml)
    assert (error, found.content) == ("", None)
    return found.article


# --- Files --------------------------------------------------------------------------------------------------


def test_the_wrapper_of_efetch_makes_no_difference() -> None:
    plain = only(article())
    assert only(wrapped(article())) == plain
    assert only(DOCTYPE + article()) == plain
    assert only(f"<OAI-PMH><metadata>{article()}</metadata></OAI-PMH>") == plain
    assert (
        only('<?xml version="1.0" encoding="UTF-16"?>'.encode("utf-16") + article().encode("utf-16-le"))
        == plain
    )


def test_each_article_of_several_has_a_file_of_its_own() -> None:
    two = '<article-id pub-id-type="doi">10.1/two</article-id>'
    formula = (
        '<p>so <mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:mi>x</mml:mi></mml:math></p>'
    )
    found, error = jats.parse(wrapped(article(), "\n tail ", article(formula, ids=two)))
    assert error == ""
    assert [each.article.paper_id for each in found] == ["PMC1", "doi-10.1-two"]
    for each in found:
        assert each.content is not None
        assert only(each.content) == each.article


def test_an_article_that_is_wrong_leaves_the_others() -> None:
    found, error = jats.parse(wrapped(article(), article(ids="")))
    assert [each.article.paper_id for each in found] == ["PMC1"]
    assert error == "Article 2 of 2: It has no id: neither a PMCID nor a DOI nor a PMID."


def test_two_articles_with_one_id_are_refused_by_name() -> None:
    other = '<article-id pub-id-type="pmid">7</article-id>'
    found, error = jats.parse(wrapped(article(), article(ids=other), article("<p>Another text.</p>")))
    assert [each.article.paper_id for each in found] == ["pmid-7"]
    assert error == "Two of its articles have the id PMC1. Keep one of them."


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<html><body>no</body></html>", "It holds no article: its root is html"),
        ("<pmc-articleset/>", "It holds no article"),
        (article("", meta=""), "PMC1 has neither a body nor an abstract"),
        (article("<fig/>"), "PMC1 has neither a body nor an abstract"),
        (article(ids=""), "It has no id"),
        ("<article><body><p>x</p></body></article>", "It has no article-meta"),
        ("plain text", "It is not well-formed XML"),
        ("", "It is not well-formed XML"),
        (article()[:-20], "It is not well-formed XML"),
    ],
)
def test_what_holds_no_article_is_refused(xml: str, said: str) -> None:
    try:
        found, error = jats.parse(xml.encode())
    except ItemError as fault:
        found, error = [], str(fault)
    assert not found
    assert said in error


def test_an_abstract_alone_is_an_article() -> None:
    found = only(article("", meta="<abstract><p>In short.</p></abstract>"))
    assert [(each.id, each.text) for each in found.sections] == [
        ("title", "A title"),
        ("abstract", "In short."),
    ]


# --- Facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pmc", "pmcid", "pmc-uid"])
@pytest.mark.parametrize("text", ["PMC123", "123", " pmc123 ", "PMC123.2"])
def test_the_pmcid_under_each_of_its_names(kind: str, text: str) -> None:
    ids = (
        f'<article-id pub-id-type="{kind}">{text}</article-id><article-id pub-id-type="pmcaid">9</article-id>'
    )
    found = only(article(ids=ids))
    assert (found.paper_id, found.pmcid) == ("PMC123", "PMC123")


def test_ids_are_those_of_the_article_and_not_of_its_references() -> None:
    ref = '<ref><mixed-citation>A. <pub-id pub-id-type="pmid">9</pub-id></mixed-citation></ref>'
    ids = '<article-id pub-id-type="doi">10.1000/ABC</article-id>'
    found = only(article(ids=ids, rest=f"<back><ref-list>{ref}</ref-list></back>"))
    assert (found.paper_id, found.doi, found.pmid, found.pmcid) == ("doi-10.1000-abc", "10.1000/abc", "", "")
    assert [(each.text, each.pmid) for each in found.references] == [("A.", "9")]


def test_the_year_is_the_earliest_one() -> None:
    dates = "".join(f"<pub-date><year>{year}</year></pub-date>" for year in ("2021", "2019", "19", "x"))
    assert only(article(meta=dates)).year == 2019
    assert only(article()).year is None
    assert only(article(meta="<pub-date iso-8601-date='2018-01-02'/>")).year == 2018


_PEOPLE = """
<contrib-group>
  <contrib contrib-type="author"><name><surname>Ada</surname><given-names>Lo</given-names></name>
    <xref ref-type="aff" rid="a1 a2"/><email>lo@x.example</email></contrib>
  <contrib contrib-type="author"><name-alternatives><name><surname>Bo</surname>
    <given-names>Chun-Li</given-names></name><name><surname>B</surname></name></name-alternatives>
    <xref ref-type="corresp" rid="c1">*</xref><xref ref-type="aff" rid="a1">1</xref></contrib>
  <contrib contrib-type="author"><string-name>Cy Dee</string-name>
    <xref ref-type="corresp" rid="c1"/></contrib>
  <contrib contrib-type="author"><collab>The Group<contrib-group><contrib><name><surname>No</surname></name>
    </contrib></contrib-group></collab></contrib>
  <contrib contrib-type="editor"><name><surname>Ed</surname></name></contrib>
</contrib-group>
<aff id="a1"><label>1</label><institution>Uni</institution>, <institution-id>123</institution-id>Town</aff>
<aff id="a2"><institution>Clinic</institution><country>Here</country></aff>
<author-notes><corresp id="c1">To: <email>li@x.example</email> (C.-L.B.); Dee
<email>cy@x.example</email></corresp></author-notes>
"""


def test_authors_with_their_affiliations_and_addresses() -> None:
    assert only(article(meta=_PEOPLE)).authors == (
        Author(name="Lo Ada", email="lo@x.example", affiliations=("Uni, Town", "Clinic Here")),
        Author(name="Chun-Li Bo", email="li@x.example", affiliations=("Uni, Town",)),
        Author(name="Cy Dee", email="cy@x.example"),
        Author(name="The Group"),
    )


def test_one_affiliation_without_a_reference_is_everybodys() -> None:
    names = "".join(f"<contrib><name><surname>{name}</surname></name></contrib>" for name in "AB")
    found = only(article(meta=f"<contrib-group>{names}<aff>Uni</aff></contrib-group>"))
    assert [(each.name, each.affiliations) for each in found.authors] == [("A", ("Uni",)), ("B", ("Uni",))]


def test_a_shared_letter_box_is_nobodys_unless_it_says_whose() -> None:
    names = "".join(
        f'<contrib><name><surname>{name}</surname></name><xref ref-type="corresp" rid="c"/></contrib>'
        for name in ("Adams", "Baker")
    )
    box = '<author-notes><corresp id="c">Baker: <email>b@x.example</email></corresp></author-notes>'
    found = only(article(meta=f"<contrib-group>{names}</contrib-group>{box}"))
    assert [each.email for each in found.authors] == ["", "b@x.example"]


def related(kind: str, address: str = "", medium: str = "doi") -> str:
    return (
        f'<related-article {_XLINK} related-article-type="{kind}" ext-link-type="{medium}" '
        f'xlink:href="{address}"/>'
    )


@pytest.mark.parametrize(
    ("kind", "related_kind", "expected"),
    [
        ("research-article", "retraction-forward", ("retraction", True)),
        ("research-article", "retraction", ("retraction", True)),
        ("research-article", "correction-forward", ("correction", True)),
        ("research-article", "expression-of-concern", ("expression_of_concern", True)),
        ("retraction", "retracted-article", ("retraction", False)),
        ("correction", "corrected-article", ("correction", False)),
        ("expression-of-concern", "object-of-concern", ("expression_of_concern", False)),
        ("retraction", "retraction", ("retraction", False)),
    ],
)
def test_notices(kind: str, related_kind: str, expected: tuple[str, bool]) -> None:
    found = only(article(kind=kind, meta=related(related_kind, "https://doi.org/10.1/N")))
    assert [(each.kind, each.about_this, each.doi) for each in found.notices] == [(*expected, "10.1/n")]


def test_a_notice_without_the_article_that_it_is_about() -> None:
    assert only(article(kind="retraction")).notices == (Notice(kind="retraction", about_this=False),)


def test_a_title_that_says_retracted() -> None:
    marked = article().replace("A title", "RETRACTED ARTICLE: A title")
    said = {
        xml: {(each.kind, each.about_this) for each in only(xml).notices}
        for xml in (
            marked,
            marked.replace("research-article", "retraction"),
            article().replace("A title", "Retracted papers: a review"),
        )
    }
    assert [("retraction", True) in each for each in said.values()] == [True, False, False]


def test_a_notice_about_a_cited_work_is_not_about_this_one() -> None:
    ref = f"<ref><element-citation>{related('retraction-forward')}<source>S</source></element-citation></ref>"
    assert only(article(rest=f"<back><ref-list>{ref}</ref-list></back>")).notices == ()


def test_references_are_metadata_and_not_text() -> None:
    refs = (
        "<ref-list><title>References</title><ref><label>1</label><element-citation><person-group><name>"
        "<surname>Ada</surname><given-names>L</given-names></name><name><surname>Bo</surname></name>"
        "</person-group><article-title>On it</article-title><source>J</source><year>2001</year>"
        '<pub-id pub-id-type="doi">10.1/A</pub-id></element-citation></ref><ref><citation-alternatives>'
        "<mixed-citation>As printed.</mixed-citation><element-citation><source>no</source></element-citation>"
        "</citation-alternatives></ref></ref-list>"
    )
    found = only(article(rest=f"<back>{refs}</back>"))
    assert [(each.text, each.doi) for each in found.references] == [
        ("Ada L, Bo. On it. J. 2001", "10.1/a"),
        ("As printed.", ""),
    ]
    assert all("Ada" not in each.text and "References" not in each.text for each in found.sections)


def test_abbreviations_that_the_paper_lists() -> None:
    item = "<def-item><term>AI</term><def><p>adrenal insufficiency</p></def></def-item>"
    table = "<table><tr><td>CS</td><td>Cushing syndrome</td></tr></table>"
    for rest in (
        f"<back><glossary><def-list>{item}</def-list></glossary></back>",
        f"<back><sec><title>List of abbreviations</title><def-list>{item}</def-list></sec></back>",
    ):
        assert only(article(rest=rest)).abbreviations == {"AI": "adrenal insufficiency"}
    rest = f"<back><glossary><title>Abbreviations</title>{table}</glossary></back>"
    assert only(article(rest=rest)).abbreviations == {"CS": "Cushing syndrome"}
    assert (
        only(article(f"<sec><title>Terms</title><def-list>{item}</def-list>{table}</sec>")).abbreviations
        == {}
    )


def test_title_with_markup_and_a_footnote_sign() -> None:
    title = "On <italic>E. coli</italic> H<sub>2</sub>O<xref ref-type='fn' rid='f'>*</xref>"
    found = only(
        article(ids=IDS).replace("A title</article-title>", f"{title}</article-title><subtitle>S</subtitle>")
    )
    assert found.title == "On E. coli H2O: S"
    assert found.sections[0].text == "On E. coli H2O\n\nS"
