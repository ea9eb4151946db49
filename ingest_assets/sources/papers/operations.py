"""What programs and agents can do with papers: add, look up, list, remove, and ask the graph.

What belongs here: arguments, answers and descriptions. What does not: the graph's own (`graph_operations`),
and how operations are served (`interfaces`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from ingest_assets.document_text import DocumentText, FromDocuments
from ingest_assets.jobs import queue
from ingest_assets.jobs.errors import UnknownJobError
from ingest_assets.jobs.rows import JobRow
from ingest_assets.jobs.shown import shown_reason
from ingest_assets.model import NotFoundError, RequestError
from ingest_assets.settings import listed
from ingest_assets.sources.operations import Arguments, Asking, Id, SourceOperation
from ingest_assets.sources.papers.graph.operations import GRAPH_OPERATIONS
from ingest_assets.sources.papers.papers import UnknownPaperError
from ingest_assets.sources.papers.settings import NAME, PaperSettings, state_shown

LISTED = 50  # papers on a page
SHOWN_SECTIONS = 100
SHOWN_AUTHORS = 50

_NOTICES = (
    'retraction, correction or expression_of_concern; "retraction (says PMC2)" if not the paper itself but '
    "another one says so, which anybody may have added."
)
PaperId = Annotated[str, Field(min_length=1, max_length=200, description="As `list_papers` gives it.")]


class IngestPaper(Arguments):
    paper: Annotated[str, Field(min_length=1, max_length=2_000)] = Field(
        description='A PMCID ("PMC10667925"), or an https URL of a host that the operator has listed.'
    )
    reextract: bool = Field(
        default=False, description="Extract it again even if it has a bundle. Not for agents."
    )


class PaperJob(FromDocuments):
    """A job that adds a paper."""

    job_id: str
    status: str = Field(description="queued, running, complete, failed or cancelled.")
    paper: str = Field(description="What was asked for.")
    paper_title: DocumentText | None
    pmcid: str | None
    paper_ids: list[str]
    entities_added: int = Field(description="What this paper added to the graph; 0 if all was known.")
    relationships_added: int
    error: str | None
    error_type: str | None
    missing: dict[str, int] = Field(description="How much is not in the index, by kind, once it has ended.")
    progress_percentage: int
    pass1_s: float | None = Field(description="Seconds of pass 1, the extraction.")
    pass2_s: float | None = Field(description="Seconds of pass 2, merging entities.")
    pass3_s: float | None = Field(description="Seconds of pass 3, writing the graph bundle.")
    load_s: float | None = Field(description="Seconds of loading the graph.")
    created_at: str
    started_at: str | None
    completed_at: str | None
    cancelled_at: str | None


class JobId(Arguments):
    job_id: Id


class ListPapers(Arguments):
    after: Annotated[str | None, Field(max_length=200)] = Field(
        default=None, description="The `next_after` of the previous answer, to go on."
    )
    limit: int = Field(default=20, ge=1, le=LISTED)


class ListedPaper(BaseModel):
    paper_id: str
    title: DocumentText
    journal: DocumentText
    year: int | None
    notice: str = Field(description=f"{_NOTICES} Empty if there is none.")
    sections: int


class PaperList(FromDocuments):
    papers: list[ListedPaper]
    next_after: str | None


class OnePaper(Arguments):
    paper_id: PaperId


class PaperSection(BaseModel):
    document_id: str = Field(description="For get_document, and the filter document_id of search.")
    kind: str
    path: list[DocumentText]
    characters: int


class PaperBundle(BaseModel):
    extractor: DocumentText
    entities: int
    relationships: int
    evidence: int


class PaperAnswer(FromDocuments):
    paper_id: str
    title: DocumentText
    pmcid: DocumentText
    pmid: DocumentText
    doi: DocumentText
    authors: list[DocumentText] = Field(description=f"The first {SHOWN_AUTHORS}.")
    journal: DocumentText
    year: int | None
    study_type: DocumentText
    notices: list[str] = Field(description=_NOTICES)
    references: int = Field(description="How many works it cites.")
    sections: list[PaperSection] = Field(description=f"The first {SHOWN_SECTIONS}.")
    bundle: PaperBundle | None


class RemovedPaper(FromDocuments):
    paper_id: str
    title: DocumentText
    message: str


def _ingest(asking: Asking, asked: IngestPaper) -> PaperJob:
    """Queue a job. Raises RequestError for what may not be fetched."""
    from ingest_assets.sources.papers.jobs import target

    found, _ = target(asking.bench, asked.paper, None)
    if asking.agent and asked.reextract:
        raise RequestError("Agents may not have a paper extracted again: its bundle may have been paid for.")
    if asking.agent:
        _require_for_agents(asking, found.path)
    started = queue.start(
        asking.bench.ledger,
        found,
        force_reindex=asked.reextract,
        connection_id=asking.transport,
        caller=queue.JobCaller(asking.caller, asking.bench.settings.ingest_max_pending_jobs),
    )
    return _job(queue.status_of(asking.bench.ledger, started.job_id))


def _require_for_agents(asking: Asking, location: str) -> None:
    """Whatever is asked of another server is a message to whoever reads its log: agents may send little.

    A PMCID is a number that goes to NCBI. Of a URL, the host must be listed for agents, and there may be no
    query.
    """
    from ingest_assets.sources.papers.adding import hosts_of
    from ingest_assets.sources.papers.fetching.locations import parse_location

    settings = asking.bench.settings_of(PaperSettings)
    found = parse_location(location, local=False)
    url = urlsplit(found.url or hosts_of(settings).efetch)
    allowed = {host.lower() for host in listed(settings.ingest_agent_paper_hosts)}
    host = url.netloc.lower()
    if host not in allowed:
        raise RequestError(
            "Agents may not have papers fetched from there. "
            + (f"Hosts: {', '.join(sorted(allowed))}." if allowed else "The operator has listed no hosts.")
        )
    if found.url and not re.fullmatch(r"/[A-Za-z0-9._/-]{0,200}", url.path or "/"):
        raise RequestError("Agents give a paper's URL with a plain, short path and nothing else.")
    if found.url and (url.query or url.fragment):
        raise RequestError("Agents give a paper's URL without a query and a fragment.")


def _status(asking: Asking, asked: JobId) -> PaperJob:
    found = queue.status_of(asking.bench.ledger, asked.job_id)
    if found["source"] != NAME:
        raise UnknownJobError(asked.job_id)
    return _job(found)


def _job(found: JobRow) -> PaperJob:
    result = found["result"]
    return PaperJob(
        job_id=found["job_id"],
        status=state_shown(found["status"]),
        paper=found["repo_path"],
        paper_title=result.get("paper_title"),
        pmcid=result.get("pmcid"),
        paper_ids=result.get("paper_ids", []),
        entities_added=result.get("entities_added", 0),
        relationships_added=result.get("relationships_added", 0),
        error=shown_reason(found),
        error_type=found["error_type"],
        missing=found["missing"],
        progress_percentage=found["progress_percentage"],
        **{name: result.get(name) for name in ("pass1_s", "pass2_s", "pass3_s", "load_s")},
        created_at=found["created_at"],
        started_at=found["started_at"],
        completed_at=found["completed_at"],
        cancelled_at=found["cancelled_at"],
    )


def _list(asking: Asking, asked: ListPapers) -> PaperList:
    from ingest_assets.sources.papers.listing import listed_papers

    rows = listed_papers(asking.bench, after=asked.after or "", limit=asked.limit + 1)
    shown = [ListedPaper.model_validate(_clipped(row)) for row in rows[: asked.limit]]
    return PaperList(papers=shown, next_after=shown[-1].paper_id if len(rows) > asked.limit else None)


def _clipped(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"title": row["title"][:200], "journal": row["journal"][:100]}


def _get(asking: Asking, asked: OnePaper) -> PaperAnswer:
    from ingest_assets.sources.papers.listing import paper_details

    try:
        found = paper_details(asking.bench, asked.paper_id)
    except UnknownPaperError as error:
        raise NotFoundError(str(error)) from None
    sections = [
        PaperSection(
            document_id=f"{found['paper_id']}/{each['id']}",
            kind=each["kind"],
            path=[title[:100] for title in each["path"]],
            characters=each["characters"],
        )
        for each in found["sections"][:SHOWN_SECTIONS]
    ]
    shown = {"sections": sections, "authors": found["authors"][:SHOWN_AUTHORS]}
    return PaperAnswer.model_validate(found | shown, from_attributes=True)


def _remove(asking: Asking, asked: OnePaper) -> RemovedPaper:
    from ingest_assets.sources.papers.places import papers_of

    try:
        found = papers_of(asking.bench).remove(asked.paper_id)
    except UnknownPaperError as error:
        raise NotFoundError(str(error)) from None
    message = "It leaves the index and the graph with the next refresh."
    return RemovedPaper(paper_id=found.paper_id, title=found.title, message=message)


OPERATIONS: tuple[SourceOperation, ...] = (
    SourceOperation(
        name="ingest_paper",
        title="Add a paper",
        description="Queue a job that fetches a scientific paper, extracts what it says and makes it "
        "searchable, and return the job at once. If a job for the paper is already queued or running, that "
        "one is returned. Follow it with check_ingest_status. Only PMCIDs, and URLs of hosts that the "
        'operator has listed for agents. Example: {"paper": "PMC10667925"}',
        scope="ingest",
        takes=IngestPaper,
        answers=PaperJob,
        run=_ingest,
        method="POST",
        path="/papers/jobs",
        status=202,
        idempotent=True,
        reaches_outside=True,
    ),
    SourceOperation(
        name="check_ingest_status",
        title="Status of adding a paper",
        description="Show whether a job of ingest_paper is queued, running, complete or failed, how many "
        "entities and relationships the paper added, and why it failed if it did. Poll it every few seconds, "
        'not more often. Example: {"job_id": "…"}',
        scope="read",
        takes=JobId,
        answers=PaperJob,
        run=_status,
        method="GET",
        path="/papers/jobs/{job_id}",
        idempotent=True,
    ),
    SourceOperation(
        name="list_papers",
        title="List papers",
        description="List the papers of the index in the order of their ids, with title, journal, year, and "
        "whether they were retracted or corrected. Use it to enumerate; to find papers by content, use "
        'search. Example: {"limit": 20}',
        scope="read",
        takes=ListPapers,
        answers=PaperList,
        run=_list,
        method="GET",
        path="/papers",
        idempotent=True,
    ),
    SourceOperation(
        name="get_paper",
        title="Look up a paper",
        description="Show what is known of one paper without its text: ids, authors, notices of retraction "
        "or correction, its sections with their document ids, and the size of its bundle. "
        'Example: {"paper_id": "PMC10667925"}',
        scope="read",
        takes=OnePaper,
        answers=PaperAnswer,
        run=_get,
        method="GET",
        path="/papers/{paper_id}",
        idempotent=True,
    ),
    SourceOperation(
        name="remove_paper",
        title="Remove a paper",
        description="Remove a paper and its bundle. It leaves the index and the graph with the next refresh, "
        "with everything that no other paper supports.",
        scope="ingest",
        takes=OnePaper,
        answers=RemovedPaper,
        run=_remove,
        method="DELETE",
        path="/papers/{paper_id}",
        for_agents=False,
        destructive=True,
        idempotent=True,
    ),
    *GRAPH_OPERATIONS,
)
