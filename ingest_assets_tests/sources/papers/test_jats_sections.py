"""Which text of a JATS article becomes which section."""

from __future__ import annotations

from ingest_assets.sources.papers.article import Section
from ingest_assets.sources.papers.formats import jats
from ingest_assets_tests.sources.papers.jats_samples import article


def sections(body: str, **more: str) -> tuple[Section, ...]:
    (found,), error = jats.parse(article(body, **more).encode())
    assert not error
    return found.article.sections[1:]  # without the title


def brief(body: str, **more: str) -> list[tuple[str, str, str]]:
    return [(each.id, each.kind, each.text) for each in sections(body, **more)]


def test_paths_have_the_titles_of_all_ancestors() -> None:
    body = (
        "<sec><title>Methods</title><p>one</p><sec><title>2.1 Study population</title><p>two</p>"
        "<sec><p>three</p></sec><boxed-text><caption><title>Box 1</title></caption><p>four</p></boxed-text>"
        "</sec></sec>"
    )
    assert [(each.id, each.path, each.text) for each in sections(body)] == [
        ("methods", ("Methods",), "Methods\n\none"),
        ("methods/study-population", ("Methods", "2.1 Study population"), "2.1 Study population\n\ntwo"),
        ("methods/study-population/section", ("Methods", "2.1 Study population"), "three"),
        ("methods/study-population/box-1", ("Methods", "2.1 Study population", "Box 1"), "Box 1\n\nfour"),
    ]


def test_a_title_without_prose_goes_to_the_first_text_below_it() -> None:
    body = (
        "<sec><title>Results</title><sec><title>First</title><p>one</p></sec></sec>"
        "<sec><title>Figures</title><fig><label>Fig. 1</label></fig></sec><sec><title>Empty</title></sec>"
    )
    assert brief(body) == [
        ("results/first", "body", "Results\n\nFirst\n\none"),
        ("figures/fig-1", "caption", "Figures\n\nFig. 1"),
        ("empty", "body", "Empty"),
    ]


def test_sections_of_one_name_are_numbered() -> None:
    sec = "<sec><title>Part</title><p>text</p></sec>"
    assert [each.id for each in sections(sec * 3)] == ["part", "part~2", "part~3"]


def test_prose_goes_on_after_what_interrupts_it() -> None:
    body = "<p>one</p><boxed-text><p>two</p></boxed-text><p>three</p><sec><p>four</p></sec><p>five</p>"
    assert brief(body) == [
        ("body", "body", "one"),
        ("box", "boxed_text", "two"),
        ("continued", "body", "three"),
        ("section", "body", "four"),
        ("continued~2", "body", "five"),
    ]


def test_lists_and_wrappers_are_prose() -> None:
    body = (
        "<p>zero</p><list><list-item><label>1.</label><p>one</p></list-item><list-item><p>two</p></list-item>"
        "</list><disp-quote><p>three</p></disp-quote><verse-group><verse-line>four</verse-line></verse-group>"
        "<statement><label>Rule</label><p>five</p></statement>"
        "<def-list><def-item><term>A</term><def><p>six</p></def></def-item></def-list>"
        "<unheard-of><p>seven</p></unheard-of>"
    )
    assert brief(body) == [
        ("body", "body", "zero\n\n1. one\n\ntwo\n\nthree\n\nfour\n\nRule five\n\nA six\n\nseven"),
    ]


def test_formulas_in_a_paragraph_are_pieces_and_the_prose_goes_on() -> None:
    formula = (
        "<disp-formula><label>(1)</label><alternatives><mml:math><mml:mi>E</mml:mi><mml:mo>=</mml:mo>\n"
        "<mml:mfrac><mml:mi>a</mml:mi><mml:mi>b</mml:mi></mml:mfrac></mml:math>"
        "<tex-math>$E$</tex-math></alternatives></disp-formula>"
    )
    assert brief(f"<p>We set{formula}where a is b.</p>") == [
        ("body", "body", "We set\n\nwhere a is b."),
        ("formula-1", "formula", "(1) E= a b"),
    ]


def test_formulas_within_a_line_stay_there() -> None:
    tex = r"<tex-math>\documentclass{x} \begin{document}$\alpha_1$\end{document}</tex-math>"
    body = f"<p>with <inline-formula><mml:math><mml:mi>p</mml:mi></mml:math></inline-formula>, {tex}.</p>"
    assert brief(body) == [("body", "body", r"with p, \alpha_1.")]


def test_floating_parts_in_a_sentence_do_not_split_it() -> None:
    body = (
        "<p>As seen<fig><label>Figure 1.</label><caption><title>Growth</title><p>Of cells.</p></caption>"
        "<graphic><alt-text>A curve</alt-text></graphic></fig>there.</p>"
    )
    assert brief(body) == [
        ("body", "body", "As seen there."),
        ("figure-1", "caption", "Figure 1. Growth\n\nOf cells.\n\nA curve"),
    ]
    assert sections(body)[1].path == ("Figure 1: Growth",)


def test_a_table_is_rows_with_tabs_and_its_notes_and_its_legend_is_apart() -> None:
    body = (
        "<sec><title>R</title><table-wrap><label>Table 2</label><caption><p>Doses</p></caption><table><thead>"
        "<tr><th>Drug</th><th/><th>mg<break/>a day</th></tr></thead><tbody><tr><td>A<sup>a</sup></td>"
        "<td>x</td><td><p>1</p><p>2</p></td></tr></tbody></table><table-wrap-foot>"
        "<fn><label>a</label><p>Note</p></fn></table-wrap-foot></table-wrap></sec>"
    )
    assert brief(body) == [
        ("r/table-2/caption", "caption", "R\n\nTable 2 Doses"),
        ("r/table-2", "table", "Drug\t\tmg a day\nAa\tx\t1 2\n\na Note"),
    ]


def test_markup_within_a_line_splits_no_word_and_other_elements_join_none() -> None:
    body = (
        "<p>H<sub>2</sub>O and <italic>in</italic>side<sup><xref>1</xref>,<xref>2</xref></sup> a<break/>b "
        "<!-- no -->c<?pi no?>d</p><p>e</p>"
    )
    assert brief(body) == [("body", "body", "H2O and inside1,2 a b cd\n\ne")]


def test_white_space_is_normalised() -> None:
    assert brief("<p> one\n\t two\N{NO-BREAK SPACE}\N{THIN SPACE}three </p>\n\n\n<p/>") == [
        ("body", "body", "one two three")
    ]


def test_abstracts_by_title_or_type() -> None:
    meta = (
        "<abstract><sec><title>Aim</title><p>one</p></sec></abstract>"
        '<abstract abstract-type="graphical"><p>two</p></abstract>'
        "<abstract><title>Highlights</title><p>three</p></abstract><trans-abstract><p>vier</p></trans-abstract>"
    )
    found = sections("<p>body</p>", meta=meta)
    assert [(each.id, each.kind, each.text) for each in found[:4]] == [
        ("abstract/aim", "abstract", "Aim\n\none"),
        ("graphical-abstract", "abstract", "two"),
        ("highlights", "abstract", "Highlights\n\nthree"),
        ("translated-abstract", "abstract", "vier"),
    ]
    assert found[0].path == ("Abstract", "Aim")


def test_back_matter_footnotes_and_floating_groups() -> None:
    rest = (
        "<floats-group><fig><label>Figure 9</label></fig></floats-group><back><ack><p>Thanks.</p></ack>"
        "<app-group><app><title>Appendix A</title><p>more</p></app></app-group><fn-group><fn><p>note</p></fn>"
        "</fn-group><notes><title>Funding</title><p>none</p></notes></back>"
    )
    assert brief("<p>text<fn><p>aside</p></fn> on</p>", rest=rest) == [
        ("body", "body", "text on"),
        ("footnote", "back", "aside"),
        ("figure-9", "caption", "Figure 9"),
        ("acknowledgements", "back", "Thanks."),
        ("appendix-a", "back", "Appendix A\n\nmore"),
        ("footnotes", "back", "note"),
        ("funding", "back", "Funding\n\nnone"),
    ]


def test_reports_on_an_article_are_parts_of_its_back_matter() -> None:
    report = (
        "<sub-article><front-stub><title-group><article-title>Review</article-title></title-group></front-stub>"
        "<body><p>Good.</p></body><response><body><p>Thanks.</p></body></response></sub-article>"
    )
    assert brief("<p>text</p>", rest=report)[1:] == [
        ("review", "back", "Review\n\nGood."),
        ("review/response", "back", "Thanks."),
    ]


def test_a_translation_has_its_abstract() -> None:
    translation = (
        '<sub-article article-type="translation"><front-stub><title-group><article-title>Sobre'
        "</article-title></title-group><abstract><title>Resumen</title><p>Breve.</p></abstract></front-stub>"
        "<body><p>Texto.</p></body></sub-article>"
    )
    assert brief("<p>text</p>", rest=translation)[1:] == [
        ("sobre/resumen", "back", "Sobre\n\nResumen\n\nBreve."),
        ("sobre", "back", "Texto."),
    ]


def test_supplements_are_prose_and_panels_parts_of_their_figure() -> None:
    body = (
        "<sec><title>Supplement</title><supplementary-material><label>S1</label><media><caption><p>A film</p>"
        "</caption></media></supplementary-material><fig-group><label>Fig. 1</label><caption>"
        "<p>All</p></caption><fig><label>A</label><caption><p>Part</p></caption></fig></fig-group></sec>"
    )
    assert brief(body) == [
        ("supplement", "body", "Supplement\n\nS1 A film"),
        ("supplement/fig-1", "caption", "Fig. 1 All\n\nA Part"),
    ]


def test_deep_and_long_titles_have_short_ids() -> None:
    body = "<p>deep</p>"
    for number in range(30):
        body = f"<sec><title>{'A very long title ' * 30}{number}</title>{body}</sec>"
    (section,) = sections(body)
    assert len(section.id) <= 300
    assert len(section.path) == 30
