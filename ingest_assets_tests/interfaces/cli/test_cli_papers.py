"""`ingest paper`: adding, listing, showing, removing and the three passes, with right and wrong input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.papers import Added, Papers
from ingest_assets_tests.sources.papers.paper_bench import jats
from ingest_assets_tests.sources.papers.paper_server import Sent, serving_papers
from ingest_assets_tests.support.built_index import Home, Said
from ingest_assets_tests.support.fixtures import IngestHere

ONE = jats(
    "Metformin [bold]for[/bold] all",
    {"Results": "Metformin is used to treat type 2 diabetes mellitus in most patients."},
    pmcid="PMC1",
    doi="10.1000/one",
)
TWO = jats("Two", {"Results": "Aspirin reduces the risk of myocardial infarction."}, pmcid="PMC2")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    path = tmp_path / "home"
    path.mkdir()
    return Home(path).with_settings(crm_db_path=None, ingest_workspace_root=str(path / "workspace"))


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "more").mkdir(parents=True)
    (folder / "one.xml").write_text(ONE)
    (folder / "more" / "two.xml").write_text(TWO)
    (folder / ".hidden.xml").write_text("no")
    return folder


def said(found: Said, status: int = 0) -> Any:
    assert found.status == status, found.everything
    return json.loads(found.out)


def refused(found: Said, *sentences: str) -> None:
    assert found.status != 0, found.everything
    text = " ".join(found.everything.replace("│", " ").split())
    for sentence in sentences:
        assert sentence in text


def test_papers_are_added_listed_shown_and_removed(home: Home, papers: Path, ingest_here: IngestHere) -> None:
    assert "No paper has been added" in ingest_here(home, "paper", "list").out
    assert said(ingest_here(home, "paper", "list", "--json")) == {"papers": []}
    added = said(ingest_here(home, "paper", "add", str(papers), "--json"))["papers"]
    assert [(each["paper_id"], each["state"], each["error"]) for each in added] == [
        ("PMC2", "added", ""),
        ("PMC1", "added", ""),
    ]
    again = ingest_here(home, "paper", "add", str(papers / "one.xml"))
    assert again.status == 0
    assert "PMC1: unchanged. Metformin [bold]for[/bold] all" in again.out
    assert "ingest refresh" not in again.out
    rows = said(ingest_here(home, "paper", "list", "--json"))["papers"]
    assert [(row["paper_id"], row["year"], row["files"]) for row in rows] == [
        ("PMC1", 2020, ["PMC1.xml"]),
        ("PMC2", 2020, ["PMC2.xml"]),
    ]
    assert "Metformin [bold]for[/bold] all" in ingest_here(home, "paper", "list").out
    shown = said(ingest_here(home, "paper", "show", "PMC1", "--json"))
    assert (shown["doi"], shown["bundle"], len(shown["sections"])) == ("10.1000/one", None, 2)
    assert "Metformin [bold]for[/bold] all" in ingest_here(home, "paper", "show", "PMC1").out
    removed = said(ingest_here(home, "paper", "remove", "PMC1", "--json"))
    assert (removed["paper_id"], removed["files"]) == ("PMC1", ["PMC1.xml"])
    for command in ("remove", "show"):
        refused(
            ingest_here(home, "paper", command, "PMC1"), "There is no paper 'PMC1'", "`ingest paper list`"
        )
    assert len(said(ingest_here(home, "paper", "list", "--json"))["papers"]) == 1


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("none.xml", "There is no such file or folder."),
        ("doi:10.1210/JENDSO/bvaf1", "not fetched by their DOI: give the PMCID"),
        ("x" * 300, "x" * 50),
        ("PMC", "PMC"),
        ("PMC" + "9" * 400, "PMC"),
        ("https://" + "a" * 300 + ".example/x.pdf", "https"),
        ("https://elsewhere.example/x.pdf", "elsewhere.example"),
        ("http://eutils.ncbi.nlm.nih.gov/x.xml", "http"),
        ("file:///etc/passwd", ""),
        ("ftp://eutils.ncbi.nlm.nih.gov/x.xml", ""),
        ("https://user:secret-1@eutils.ncbi.nlm.nih.gov/x", ""),
        ("a\x00b", ""),
        ("", ""),
    ],
)
def test_what_is_no_paper_is_refused(home: Home, ingest_here: IngestHere, what: str, says: str) -> None:
    found = ingest_here(home, "paper", "add", "--json", "--", what)
    [refusal] = said(found, status=1)["papers"]
    assert refusal["file"] == what.replace("user:secret-1", "(hidden)")
    assert refusal["paper_id"] == ""
    assert refusal["error"].endswith(".")
    assert says in refusal["error"] or says in what
    assert len(refusal["error"]) < 1_000
    assert "secret-1" not in found.everything
    assert said(ingest_here(home, "paper", "list", "--json")) == {"papers": []}


def test_what_goes_wrong_with_one_keeps_no_other_out(
    home: Home, papers: Path, ingest_here: IngestHere
) -> None:
    (papers / "broken.xml").write_text("<article>")
    (papers / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    found = said(ingest_here(home, "paper", "add", "none.xml", str(papers), "--json"), status=1)["papers"]
    assert {each["paper_id"] for each in found if not each["error"]} == {"PMC1", "PMC2"}
    assert {each["file"] for each in found if each["error"]} == {"none.xml", "broken.xml", "picture.txt"}


def test_what_was_added_is_said_when_something_ends_it_midway(
    home: Home, papers: Path, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Papers._keep

    def full(self: Papers, file: str, article: Article, content: bytes) -> Added:
        if article.paper_id == "PMC2":
            raise UnavailableError("The disk is full.")
        return keep(self, file, article, content)

    monkeypatch.setattr(Papers, "_keep", full)
    one, two = papers / "one.xml", papers / "more" / "two.xml"
    found = ingest_here(home, "paper", "add", str(one), str(two), "--json")
    assert found.status == 1
    assert [each["paper_id"] for each in json.loads(found.out)["papers"]] == ["PMC1"]
    assert "The disk is full." in found.everything
    assert ingest_here(home, "paper", "add", str(two), "--json").out == ""  # nothing was added


def test_files_of_a_folder_that_are_not_named_as_papers_are_skipped_and_said(
    home: Home, papers: Path, ingest_here: IngestHere
) -> None:
    others = {"figures/data.csv": "dose,cortisol\n1,2\n", "LICENSE": "You may.", "run.py": "print(1)\n"}
    for name, content in others.items():
        (papers / name).parent.mkdir(exist_ok=True)
        (papers / name).write_text(content)
    (papers / "three.NXML").write_text(jats("Three", {"Results": "Metformin."}, pmcid="PMC3"))
    added = said(ingest_here(home, "paper", "add", str(papers), "--json"))["papers"]
    skipped = [each for each in added if each["state"] == "skipped"]
    assert {each["file"] for each in skipped} == set(others)
    assert {(each["paper_id"], each["error"]) for each in skipped} == {("", "")}
    assert {each["paper_id"] for each in added} == {"", "PMC1", "PMC2", "PMC3"}
    again = ingest_here(home, "paper", "add", str(papers)).out
    assert "Skipped: LICENSE, figures/data.csv, run.py. In folders" in " ".join(again.split())
    named = said(ingest_here(home, "paper", "add", str(papers / "LICENSE"), "--json"))["papers"]
    assert [(each["paper_id"], each["state"]) for each in named] == [("LICENSE", "added")]
    bundles = papers.parent / "bundles"
    arguments = ("paper", "pass1", "--input-dir", str(papers), "--output-dir", str(bundles), "--json")
    assert len(said(ingest_here(home, *arguments))["papers"]) == 3 + len(others)
    assert {each.name for each in bundles.iterdir()} == {f"paper_PMC{n}.json" for n in (1, 2, 3)}


def test_a_folder_without_papers(home: Home, tmp_path: Path, ingest_here: IngestHere) -> None:
    (tmp_path / "none").mkdir()
    found = ingest_here(home, "paper", "add", str(tmp_path / "none"))
    assert (found.status, found.out.strip()) == (0, "There is no file of a paper.")


@pytest.fixture
def fetching(home: Home) -> Iterator[Home]:
    with serving_papers() as server:
        server.answer = lambda path: Sent(TWO.encode() if "id=2" in path else b"<nothing/>")
        yield home.with_settings(
            ingest_paper_efetch_url=f"{server.base}/efetch.fcgi",
            ingest_paper_protocols="https,http",
            ingest_paper_private_addresses=True,
            ingest_paper_hosts=f"127.0.0.1:{server.port}",
        )


def test_a_pmcid_is_fetched(fetching: Home, ingest_here: IngestHere) -> None:
    [added] = said(ingest_here(fetching, "paper", "add", "pmc2", "--json"))["papers"]
    assert (added["paper_id"], added["title"], added["state"]) == ("PMC2", "Two", "added")
    [refusal] = said(ingest_here(fetching, "paper", "add", "PMC3", "--json"), status=1)["papers"]
    assert refusal["error"]


def test_the_three_passes_on_folders(
    home: Home, papers: Path, tmp_path: Path, ingest_here: IngestHere
) -> None:
    bundles, merged, graph = (tmp_path / "out" / name for name in ("bundles", "merged", "graph"))

    def passes(*reextract: str) -> tuple[Any, Any, Any]:
        one = ["pass1", "--input-dir", str(papers), "--output-dir", str(bundles), *reextract]
        two = ["pass2", "--bundle-dir", str(bundles), "--output-dir", str(merged)]
        three = ["pass3", "--merged-dir", str(merged), "--bundles-dir", str(bundles)]
        three += ["--output-dir", str(graph)]
        first, second, third = (
            said(ingest_here(home, "paper", *each, "--json")) for each in (one, two, three)
        )
        return first, second, third

    first, second, third = passes()
    assert [each["state"] for each in first["papers"]] == ["added", "added"]
    assert (second["papers"], second["unreadable"], third["unreadable"]) == (2, {}, {})
    assert sorted(path.name for path in bundles.iterdir()) == ["paper_PMC1.json", "paper_PMC2.json"]
    assert (graph / "manifest.json").exists()
    files = {path: path.read_bytes() for path in tmp_path.joinpath("out").rglob("*") if path.is_file()}
    again = passes()
    assert [each["state"] for each in again[0]["papers"]] == ["unchanged", "unchanged"]
    assert again[1:] == (second, third)
    assert [each["state"] for each in passes("--reextract")[0]["papers"]] == ["changed", "changed"]
    assert {p: p.read_bytes() for p in tmp_path.joinpath("out").rglob("*") if p.is_file()} == files
    # The index is not touched.
    assert said(ingest_here(home, "paper", "list", "--json")) == {"papers": []}
    (bundles / "paper_PMC3.json").write_text("{")
    two = ingest_here(home, "paper", "pass2", "--bundle-dir", str(bundles), "--output-dir", str(merged))
    assert "unreadable: PMC3" in two.out


def test_bundles_that_no_refresh_has_read_are_said(home: Home, ingest_here: IngestHere) -> None:
    folder = home.path / "workspace" / "pass1_bundles"
    folder.mkdir(parents=True)
    (folder / "paper_PMC1.json").write_text("{}")
    found = ingest_here(home, "paper", "list")
    assert "1 bundles are in the workspace: `ingest refresh` reads them." in found.out
    assert said(ingest_here(home, "paper", "list", "--json")) == {"papers": []}


def test_two_files_of_a_paper_are_one_bundle(home: Home, tmp_path: Path, ingest_here: IngestHere) -> None:
    folder, bundles = tmp_path / "papers", tmp_path / "ws" / "bundles"
    folder.mkdir()
    text = jats("Text", {"Results": "Aspirin reduces the risk of stroke."}, doi="10.1000/one")
    (folder / "PMC1.md").write_text("# One\n\nThe same paper.\n")
    (folder / "b.xml").write_text(text)
    (folder / "z.xml").write_text(ONE)
    (folder / "two.xml").write_text(TWO)
    arguments = ["paper", "pass1", "--papers", str(folder), "--output-dir", str(bundles), "--json"]
    found = said(ingest_here(home, *arguments))["papers"]
    assert [(each["paper_id"], each["state"]) for each in found if each["state"] == "added"] == [
        ("PMC1", "added"),
        ("PMC2", "added"),
    ]
    one = json.loads((bundles / "paper_PMC1.json").read_text())
    assert {path.name for path in bundles.iterdir()} >= {"paper_PMC1.json", "paper_PMC2.json"}
    assert not (bundles / "paper_doi-10.1000-one.json").exists()
    assert one["paper"]["pmcid"] == "PMC1"
    assert {each["file"] for each in found if each["paper_id"] == "PMC1"} >= {"PMC1.md", "b.xml", "z.xml"}


def test_bundles_are_read_where_nothing_can_be_written(
    home: Home, papers: Path, tmp_path: Path, ingest_here: IngestHere
) -> None:
    bundles, out = tmp_path / "theirs" / "bundles", tmp_path / "ours"
    said(
        ingest_here(
            home, "paper", "pass1", "--input-dir", str(papers), "--output-dir", str(bundles), "--json"
        )
    )
    before = sorted(tmp_path.joinpath("theirs").rglob("*"))
    cache = ["--synonym-cache", str(tmp_path / "none.json")]
    two = ["--bundle-dir", str(bundles), "--output-dir", str(out / "merged"), *cache, "--json"]
    assert said(ingest_here(home, "paper", "pass2", *two))["papers"] == 2
    three = ["--merged-dir", str(out / "merged"), "--bundles-dir", str(bundles)]
    said(ingest_here(home, "paper", "pass3", *three, "--output-dir", str(out / "graph"), "--json"))
    assert sorted(tmp_path.joinpath("theirs").rglob("*")) == before
    assert (out / ".ingest.lock").exists()


def test_passes_on_folders_that_are_none(home: Home, tmp_path: Path, ingest_here: IngestHere) -> None:
    none, out = str(tmp_path / "none"), str(tmp_path / "out")
    for arguments in (
        ["pass1", "--input-dir", none, "--output-dir", out],
        ["pass2", "--bundle-dir", none, "--output-dir", out],
        ["pass3", "--merged-dir", none, "--bundles-dir", none, "--output-dir", out],
    ):
        refused(ingest_here(home, "paper", *arguments), "There is no folder")
    assert not Path(out).exists()
    (tmp_path / "file").write_text("x")
    refused(
        ingest_here(
            home, "paper", "pass1", "--input-dir", str(tmp_path), "--output-dir", str(tmp_path / "file")
        )
    )
    merged = tmp_path / "merged"
    merged.mkdir()
    for made in (merged, merged / "more"):  # others' files are none, and nothing is written for none
        refused(
            ingest_here(home, "paper", "pass2", "--bundle-dir", str(merged), "--output-dir", str(made)),
            "There is no bundle in",
        )
        (merged / "entities.json").write_text("[]")
    assert [each.name for each in merged.iterdir()] == ["entities.json"]
    refused(
        ingest_here(
            home, "paper", "pass3", "--merged-dir", str(merged), "--bundles-dir", str(merged),
            "--output-dir", out,
        ),
    )  # fmt: skip


def test_pass_1_that_is_left_to_others(home: Home, papers: Path, ingest_here: IngestHere) -> None:
    without = home.with_settings(pass1_llm_backend="none")
    found = ingest_here(
        without, "paper", "pass1", "--input-dir", str(papers), "--output-dir", str(home.path / "b")
    )
    refused(found, "PASS1_LLM_BACKEND=none extracts nothing")
