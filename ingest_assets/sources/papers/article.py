"""A paper as its parser gives it: what is known about it, and its text in sections.

What belongs here: the types, their JSON and their bounds. What does not: parsing (`jats`, `pdf`, `prose`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Bounds of what a parser may answer. A book of 2,000 pages stays below them.
MAX_SECTION_CHARS = 2_000_000
MAX_SECTIONS = 20_000
MAX_LISTED = 50_000  # authors, references, notices

Line = Annotated[str, Field(max_length=5_000)]  # a title, a name
SectionKind = Literal["title", "abstract", "body", "boxed_text", "caption", "table", "formula", "back"]
NoticeKind = Literal["retraction", "correction", "expression_of_concern"]
PaperId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._()-]{0,119}$")]


class _Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Author(_Noun):
    """An author as the paper names one."""

    name: Line  # given name first
    email: Line = ""
    affiliations: tuple[Line, ...] = ()


class Section(_Noun):
    """A piece of a paper: every word of its text is in exactly one section."""

    # Unique in the paper and derived from its place there: "abstract", "methods/study-population",
    # "results~2" for the second one of that name.
    id: Annotated[str, Field(pattern=r"^[^\s~/]+(~\d+)?(/[^\s~/]+(~\d+)?)*$", max_length=300)]
    kind: SectionKind
    path: tuple[Line, ...]  # the titles of all its ancestors and its own: ("Methods", "Study population")
    text: Annotated[str, Field(max_length=MAX_SECTION_CHARS)]  # paragraphs, separated by empty lines


class Reference(_Noun):
    """A work that the paper cites."""

    text: Annotated[str, Field(max_length=20_000)]
    doi: Line = ""
    pmid: Line = ""


class Notice(_Noun):
    """What has become of the paper, or what it says of another one."""

    kind: NoticeKind
    about_this: bool  # of this paper; otherwise this paper is the notice about another one
    doi: Line = ""
    pmid: Line = ""
    text: Line = ""


class Article(_Noun):
    """One paper. Unknown facts are empty; ids are normalised: "PMC123", "123", lower-case "10.1000/x"."""

    paper_id: PaperId  # the PMCID, or what else names the paper: see `identity.paper_id`
    pmcid: Line = ""
    pmid: Line = ""
    doi: Line = ""
    title: Line = ""
    authors: Annotated[tuple[Author, ...], Field(max_length=MAX_LISTED)] = ()
    journal: Line = ""
    year: Annotated[int, Field(ge=1400, le=2200)] | None = None
    study_type: Line = ""  # as the paper is classified: "research-article", "review-article"
    notices: Annotated[tuple[Notice, ...], Field(max_length=MAX_LISTED)] = ()
    references: Annotated[tuple[Reference, ...], Field(max_length=MAX_LISTED)] = ()
    # The definitions of abbreviations that the paper lists itself: {"AI": "adrenal insufficiency"}.
    abbreviations: dict[Line, Line] = Field(default_factory=dict, max_length=MAX_LISTED)
    sections: Annotated[tuple[Section, ...], Field(max_length=MAX_SECTIONS)] = ()  # in document order
