"""A chunker in a confined process gives what it gives here, however long the names of documents are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ingest_assets.model import Chunk, Document
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.chunking import ConfinedChunker


@dataclass(frozen=True)
class Talkative:
    """Gives chunks that are far larger than a pipe."""

    source: str = "files"
    fingerprint: str = "1"

    def chunks(self, document: Document) -> list[Chunk]:
        return [Chunk("c", document.id, 0, 0, 1, document.title[:1] * 300_000)]


def _file(number: int, name: int) -> Document:
    path = f"{number}/" + "p" * name
    return Document(
        id=f"host/{path}",
        kind="file",
        title=path,
        uri=f"https://host/{path}",
        time=None,
        context=(),
        body="x",
        attributes={"path": f"{path}!"},
    )


@pytest.mark.parametrize("name", [1, 4_000, 20_000])
def test_neither_side_waits_for_the_other(box: Sandbox, name: int) -> None:
    documents = [_file(number, name) for number in range(60)]
    chunker = ConfinedChunker(Talkative(), box, "the parser")
    chunker.expect(documents)
    assert [chunker.chunks(each) for each in documents] == [Talkative().chunks(each) for each in documents]
    chunker.close()


def test_documents_may_come_in_another_order_than_was_expected(box: Sandbox) -> None:
    documents = [_file(number, 10) for number in range(20)]
    chunker = ConfinedChunker(Talkative(), box, "the parser")
    chunker.expect(documents)
    for each in reversed(documents):
        assert chunker.chunks(each) == Talkative().chunks(each)
    chunker.close()
