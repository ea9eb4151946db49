"""What became of a CRM's values, kind by kind: how many were read, which were not, and what leads nowhere.

A value that a row has and that could not be read as what the mapping says it is stays with its document, as
an attribute `unread_…` that is never part of a point. So the totals are always those of the whole CRM,
whichever rows a refresh happened to render, and they are the same after a rebuild.

What belongs here: the counts, made from documents (`of`, `count`) or from the ledger (`recorded`). What does
not: reading values (`times`, `many`), and what people are told (`checks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest_assets.model import Document

# An attribute `unread_WHAT`: the text that was not read. WHAT is "time", the key of the identity,
# or "attributes", which may be no time, number or flag.
UNREAD = "unread_"
EXAMPLES = 3  # of each sort
EXAMPLE_CHARS = 80
NOWHERE = "references"  # the name of the examples of references that lead nowhere


@dataclass(slots=True)
class Readings:
    """The counts of one kind: the name of a [[documents]] entry."""

    kind: str
    rows: int = 0
    empty_titles: int = 0  # the id stands for the title
    empty_bodies: int = 0
    times: int = 0  # rows whose time was read; those that are neither here nor in `unread` have none
    emails: int = 0  # rows with at least one address
    phones: int = 0  # rows with at least one telephone number
    several: int = 0  # rows with several addresses or several telephone numbers
    references: int = 0
    nowhere: int = 0  # references to documents that there are not
    headers_cut: int = 0  # rows whose header lines are longer than chunks repeat them
    longest_header: int = 0  # characters of the longest value of a header line
    unread: Counter[str] = field(default_factory=Counter)  # by what they should have been: rows
    examples: dict[str, list[str]] = field(default_factory=dict)  # "ID: text", by WHAT, and of NOWHERE

    @property
    def times_unread(self) -> int:
        """Rows that have something for a time that is none, or could be several."""
        return self.unread["time"]

    def note(self, what: str, example: str) -> None:
        """Keep an example, if there is room."""
        kept = self.examples.setdefault(what, [])
        if len(kept) < EXAMPLES:
            kept.append(example[:EXAMPLE_CHARS])

    def count(self, document: Document, known: Callable[[str], bool] | None = None) -> None:
        """Add a document.

        `known` says whether there is one with an id; without it, all references lead somewhere.
        """
        from ingest_assets.chunking.records import header_is_cut

        self.rows += 1
        self.empty_titles += document.title == document.id
        self.empty_bodies += not document.body.strip()
        self.times += document.time is not None
        self.headers_cut += header_is_cut(document)
        self.longest_header = max(self.longest_header, *(len(value) for _, value in document.context), 0)
        if identity := document.identity:
            self.emails += bool(identity.emails)
            self.phones += bool(identity.phones)
            self.several += len(identity.emails) > 1 or len(identity.phones) > 1
        for what, text in unread_of(document).items():
            self.unread[what] += 1
            self.note(what, f"{document.id}: {text}")
        for ref in document.refs:
            self.references += 1
            if known is not None and not known(ref):
                self.nowhere += 1
                self.note(NOWHERE, f"{document.id} -> {ref}")


def kind_of(document_id: str) -> str:
    """The kind that an id begins with."""
    return document_id.partition("/")[0]


def unread_of(document: Document) -> Mapping[str, str]:
    """What of a document's row could not be read, by what it should have been."""
    return {
        name.removeprefix(UNREAD): str(value)
        for name, value in document.attributes.items()
        if name.startswith(UNREAD)
    }


def unread(found: Mapping[str, str]) -> dict[str, Any]:
    """The attributes of a document that say so."""
    return {f"{UNREAD}{what}": text[:EXAMPLE_CHARS] for what, text in found.items()}


def of(
    kinds: Iterable[str], documents: Iterable[Document], known: Callable[[str], bool] | None = None
) -> dict[str, Readings]:
    """The counts of documents, by kind, in the order of `kinds`."""
    found = {kind: Readings(kind) for kind in kinds}
    for document in documents:
        if (one := found.get(kind_of(document.id))) is not None:
            one.count(document, known)
    return found
