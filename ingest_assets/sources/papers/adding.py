"""Adding papers by whatever names them: files, folders, PMCIDs and URLs.

What belongs here: what each argument stands for, and fetching it. What does not: keeping papers (`papers`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.settings import listed
from ingest_assets.sources.papers.formats.parsing import is_named_as_paper
from ingest_assets.sources.papers.papers import Added, Papers
from ingest_assets.sources.papers.places import papers_of
from ingest_assets.sources.papers.settings import PaperSettings

if TYPE_CHECKING:
    from ingest_assets.sources.papers.fetching.hosts import PaperHosts
    from ingest_assets.sources.papers.fetching.locations import Location
    from ingest_assets.workbench import Workbench


def add_all(bench: Workbench, what: Sequence[str], *, reextract: bool = False) -> Iterator[Added]:
    """Add papers, one argument after the other. What goes wrong with one does not keep the others out.

    Raises ConfigurationError, and adds nothing, when they are to be extracted again and nothing extracts.
    """
    papers = papers_of(bench)
    if reextract:
        require_extractor(bench)
    for added in _added(bench, papers, what):
        if reextract and added.paper_id:
            papers.reextract(added.paper_id)
        yield added


def _added(bench: Workbench, papers: Papers, what: Sequence[str]) -> Iterator[Added]:
    """Files that follow each other are parsed by one process: starting one takes longer than parsing."""
    for are_local, each in groupby(what, key=_is_local):
        if are_local:
            files = [file for given in each for file in _files(given)]
            yield from papers.add_files([file for file in files if isinstance(file, Path)])
            yield from (file for file in files if isinstance(file, Added))
        else:
            for given in each:
                yield from _from_elsewhere(bench, papers, given)


def require_extractor(bench: Workbench) -> None:
    """Raises ConfigurationError where bundles are not extracted, so that none can be extracted again."""
    if bench.settings_of(PaperSettings).pass1_llm_backend == "none":
        raise ConfigurationError(
            "No paper can be extracted again: PASS1_LLM_BACKEND is none. Set it to rules or openai, or do "
            "not ask for it."
        )


def _is_local(what: str) -> bool:
    # This answers no for what cannot be a path at all; Path raises. An empty path is not this folder.
    return bool(what) and os.path.exists(what)  # noqa: PTH110


def _files(what: str) -> Sequence[Path | Added]:
    path = Path(what)
    return files_in(path) if path.is_dir() else [path]


def _from_elsewhere(bench: Workbench, papers: Papers, what: str) -> Iterator[Added]:
    from ingest_assets.sources.papers.fetching.locations import parse_location

    if not what:
        yield Added(what, error="This is empty: name a PMCID, a URL, a file or a folder.")
        return
    try:
        location = parse_location(what)  # says what a file that is not there lacks
        with fetched(bench, what) as file:
            yield from papers.add_files([file], asked=location.pmcid)
    except IngestError as error:
        yield Added(what, error=str(error))


def files_in(folder: Path) -> list[Path | Added]:
    """The files of a folder, those of its folders included, by path: papers, and those that are skipped."""
    found = sorted(
        path
        for path in folder.rglob("*")
        # A link may lead to what is not meant to be read by others.
        if path.is_file()
        and not path.is_symlink()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return [
        path if is_named_as_paper(path) else Added(str(path.relative_to(folder)), state="skipped")
        for path in found
    ]


def hosts_of(settings: PaperSettings) -> PaperHosts:
    """What papers may be fetched from."""
    from ingest_assets.sources.papers.fetching.hosts import PaperHosts

    return PaperHosts(
        hosts=frozenset(listed(settings.ingest_paper_hosts)),
        schemes=frozenset(listed(settings.ingest_paper_protocols)),
        allow_private_addresses=settings.ingest_paper_private_addresses,
        ca_file=settings.ingest_paper_ca_file,
        efetch=settings.ingest_paper_efetch_url,
        email=settings.ncbi_email,
        api_key=settings.ncbi_api_key,
    )


def remote_location(bench: Workbench, given: str) -> Location:
    """A PMCID or a URL that may be fetched. Raises JobTargetError for anything else, files included."""
    from ingest_assets.sources.papers.fetching.hosts import require_allowed
    from ingest_assets.sources.papers.fetching.locations import parse_location

    location = parse_location(given, local=False)
    require_allowed(location, hosts_of(bench.settings_of(PaperSettings)))
    return location


@contextmanager
def fetched(bench: Workbench, given: str, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """A paper that a PMCID or a URL names, as a temporary file."""
    from tempfile import TemporaryDirectory

    from ingest_assets.private import make_private_folder
    from ingest_assets.sources.papers.fetching.fetch import FetchLimits, fetch_paper

    location = remote_location(bench, given)
    settings = bench.settings_of(PaperSettings)
    temporary = bench.settings.ingest_home.absolute() / "tmp"
    make_private_folder(temporary)
    limits = FetchLimits(
        max_bytes=settings.ingest_paper_max_mib << 20, seconds=settings.ingest_paper_timeout_s
    )
    with TemporaryDirectory(prefix="paper-", dir=temporary) as folder:
        yield fetch_paper(location, hosts_of(settings), limits, Path(folder), check, rates=temporary)
