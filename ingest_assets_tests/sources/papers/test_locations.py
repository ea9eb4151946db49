"""A paper as somebody gives it: PMCIDs in every spelling, pages, URLs, files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.papers.fetching.hosts import PaperHosts, require_allowed
from ingest_assets.sources.papers.fetching.locations import parse_location


@pytest.mark.parametrize(
    "given",
    [
        "PMC123", "pmc123", " PMC123\n", "PMC:123", "pmc 123", "PMC123.2", "PMC0123",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC123",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/#sec2",
        "https://PMC.ncbi.nlm.nih.gov./articles/pmc123/?report=reader",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC123.1/pdf/main.pdf",
        "http://www.ncbi.nlm.nih.gov/pmc/articles/PMC123/",
        "https://ncbi.nlm.nih.gov/labs/pmc/articles/PMC123/",
        "https://europepmc.org/article/PMC/PMC123",
        "https://europepmc.org/articles/PMC123?pdf=render",
        "https://www.europepmc.org/abstract/pmc/pmc123",
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/efetch.fcgi?db=pmc&id=PMC123&retmode=xml",
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/efetch.fcgi?db=pmc&id=123&api_key=x",
    ],
)  # fmt: skip
def test_every_spelling_of_an_article_is_its_pmcid(given: str) -> None:
    found = parse_location(given)
    assert (found.kind, found.pmcid, found.shown, found.url) == ("pmc", "PMC123", "PMC123", "")


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "x" * 3_000, "PMC", "PMC0", "PMC12345678901", "nothing-there.xml", "a\0b", "a\nb",
        "https://pmc.ncbi.nlm.nih.gov/", "https://europepmc.org/article/MED/123",
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC123abc/",
        "file:///etc/passwd", "ftp://example.org/a.xml", "javascript://x", "https://", "https:///a",
        "https://user@example.org/a.xml", "https://user:pw@example.org/a", "https://@example.org/a",
        "https://example.org:0/a", "https://example.org:99999/a", "https://[::1/a", "https://exa mple.org/",
        "https://example.org\\@evil.org/", "https://2130706433/a", "https://0x7f.1/a", "https://-x.org/",
    ],
)  # fmt: skip
def test_what_is_no_paper_is_refused_and_not_repeated(given: str, tmp_path: Path) -> None:
    with pytest.raises(JobTargetError) as caught:
        parse_location(given, base=tmp_path)
    assert len(given.strip()) < 5 or given not in str(caught.value)


def test_a_url_is_shown_without_its_secrets() -> None:
    found = parse_location("HTTPS://Papers.Example.org:8443/a/b.pdf?token=s3cr3t-t0ken#page=2")
    assert (found.kind, found.shown) == ("url", "https://papers.example.org:8443/a/b.pdf")
    assert found.url == "https://papers.example.org:8443/a/b.pdf?token=s3cr3t-t0ken"


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "PMC9").write_text("x")
    assert parse_location("PMC9", base=tmp_path).kind == "pmc"
    file = parse_location("./PMC9", base=tmp_path)
    assert (file.kind, file.path) == ("file", tmp_path / "PMC9")
    assert parse_location(str(tmp_path)).kind == "folder"
    for name in ("PMC9x", "y" * 400):
        with pytest.raises(JobTargetError, match="no such file"):
            parse_location(name, base=tmp_path)


def test_who_may_not_name_files_gives_a_pmcid_or_a_url(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("x")
    for name in ("a.xml", str(tmp_path), "nothing"):  # whether it is there is not said
        with pytest.raises(JobTargetError, match="as a PMCID, such as PMC123, or as an https URL"):
            parse_location(name, base=tmp_path, local=False)
    assert parse_location("PMC1", local=False).pmcid == "PMC1"


@given(st.text(max_size=40))
def test_any_text_is_a_location_or_refused(text: str) -> None:
    try:
        found = parse_location(text, local=False)
    except JobTargetError:
        return
    assert found.kind in {"pmc", "url"}
    assert found.pmcid or found.url


def test_what_is_not_listed_is_refused_before_a_job_is_queued() -> None:
    hosts = PaperHosts()
    require_allowed(parse_location("PMC1"), hosts)
    with pytest.raises(NotAllowedError, match=r"example\.org: add it to INGEST_PAPER_HOSTS"):
        require_allowed(parse_location("https://example.org/a.xml"), hosts)
    listed = PaperHosts(hosts=frozenset({"*.example.org", "other.example:8443"}))
    require_allowed(parse_location("https://a.example.org/a.xml"), listed)
    require_allowed(parse_location("https://other.example:8443/a.xml"), listed)
    for url, why in {
        "https://a.example.org:22/a": "port 22",
        "https://other.example/a": "port 443",
        "http://a.example.org/a": "by http",
        "https://127.0.0.1/a": "add it to",
    }.items():
        with pytest.raises(NotAllowedError, match=why):
            require_allowed(parse_location(url), listed)
    everywhere = PaperHosts(hosts=frozenset({"localhost", "10.0.0.1", "*.internal"}))
    for url in ("https://localhost/a", "https://10.0.0.1/a", "https://x.internal/a"):
        with pytest.raises(NotAllowedError, match="private"):
            require_allowed(parse_location(url), everywhere)
