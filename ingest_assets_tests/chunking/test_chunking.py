"""Where texts are cut, and that an edit does not change the ids of what it does not touch."""

from __future__ import annotations

import random
import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.chunking import ChunkBudget, RecordChunker
from ingest_assets.chunking.prose import _cut_in_word, split
from ingest_assets.chunking.records import HEADER_CHARS, VALUE_CHARS, header_of
from ingest_assets.embedding.bundled import TOKENIZER
from ingest_assets.model import Chunk
from ingest_assets_tests.support.small_parts import document

WORDS = [
    "crane",
    "invoice",
    "letter",
    "harbour",
    "the",
    "a",
    "of",
    "Utrecht",
    "price",
    "answer",
    "café",
    "naïve",
    "42",
    "e.g.",
    "i.e.",
    "x-ray",
    "don't",
]
_alphabet = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(
        [" ", "  ", "\n", "\n\n", "\n \n", ".", ". ", "! ", "? ", "\t", "\r\n", "\u00a0", "\u2028"]
    ),
    st.sampled_from(
        [
            "שלום עולם. ",
            "مرحبا بالعالم؟ ",
            "\u202e",
            "👩‍👩‍👧‍👦",
            "🇳🇱",
            "e\u0301\u0323",
            "한국어 문장입니다",
            "日本語。",
        ]
    ),
    st.characters(exclude_categories=["Cs"]),
)
texts = st.lists(_alphabet, max_size=120).map("".join)
budgets = st.builds(ChunkBudget, st.integers(20, 200), st.sampled_from([0, 0, 10]))
token_budgets = st.builds(
    lambda size, overlap: ChunkBudget(size, overlap, "tokens", TOKENIZER),
    st.integers(10, 60),
    st.sampled_from([0, 5]),
)


def _tokens(text: str) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_truncation()
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _cut(text: str, budget: ChunkBudget | None = None) -> list[Chunk]:
    return RecordChunker("crm", budget or ChunkBudget(200)).chunks(document("notes/1", text, title="T"))


def _ids(text: str, budget: ChunkBudget | None = None) -> list[str]:
    return [chunk.id for chunk in _cut(text, budget)]


@settings(max_examples=250)
@given(texts, budgets)
def test_pieces_cover_the_text_within_the_budget(text: str, budget: ChunkBudget) -> None:
    pieces = split(text, budget)
    assert "".join(text[p.start : p.end] for p in pieces) == text
    position = 0
    for piece in pieces:
        assert piece.start == position
        assert 0 < piece.end - piece.start <= budget.size
        assert 0 <= piece.start - piece.lead <= budget.overlap
        position = piece.end
    assert split(text, budget) == pieces


@settings(max_examples=60)
@given(texts, token_budgets)
def test_pieces_stay_within_a_budget_of_tokens(text: str, budget: ChunkBudget) -> None:
    pieces = split(text, budget)
    assert "".join(text[p.start : p.end] for p in pieces) == text
    for piece in pieces:
        assert _tokens(text[piece.start : piece.end]) <= budget.size


def test_characters_of_several_tokens_stay_within_the_budget() -> None:
    text = "한국 " * 90
    assert _tokens(text[:60]) > 60
    for piece in split(text, ChunkBudget(60, 0, "tokens", TOKENIZER)):
        assert _tokens(text[piece.start : piece.end]) <= 60


@settings(max_examples=150)
@given(texts, budgets)
def test_chunks_know_their_place_in_the_text(text: str, budget: ChunkBudget) -> None:
    chunks = _cut(text, budget)
    assert len({chunk.id for chunk in chunks}) == len(chunks) >= 1
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        own = text[chunk.start : chunk.end].strip()
        assert chunk.text == (f"T\n\n{own}" if own else "T")
        assert uuid.UUID(chunk.id).version == 5
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)
    assert _cut(text, budget) == chunks


@settings(max_examples=60)
@given(texts, st.integers(40, 120))
def test_overlap_changes_no_id(text: str, size: int) -> None:
    plain, repeating = _cut(text, ChunkBudget(size)), _cut(text, ChunkBudget(size, size // 2))
    assert [chunk.id for chunk in plain] == [chunk.id for chunk in repeating]
    assert all(b.start <= a.start and a.end == b.end for a, b in zip(plain, repeating, strict=True))


def test_overlap_repeats_something() -> None:
    text = " ".join(f"This is sentence number {n}." for n in range(100))
    plain, repeating = _cut(text, ChunkBudget(200)), _cut(text, ChunkBudget(200, 60))
    shifted = sum(b.start < a.start for a, b in zip(plain, repeating, strict=True))
    assert shifted > 0.8 * len(plain)


def _prose(rng: random.Random, words: int, sentence_end: bool, paragraphs: bool) -> str:
    parts = []
    for n in range(words):
        word = f"{rng.choice(WORDS)}{rng.randrange(1000)}"
        if sentence_end and n % 11 == 10:
            word += "."
        parts.append(word + ("\n\n" if paragraphs and n % 55 == 54 else " "))
    return "".join(parts)


def _without_spaces(rng: random.Random, length: int) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(length))


def _japanese(rng: random.Random, length: int) -> str:
    return "".join("。" if n % 23 == 22 else chr(0x4E00 + rng.randrange(2000)) for n in range(length))


KINDS = {
    "paragraphs": lambda rng: _prose(rng, 9_000, sentence_end=True, paragraphs=True),
    "sentences": lambda rng: _prose(rng, 9_000, sentence_end=True, paragraphs=False),
    "words": lambda rng: _prose(rng, 9_000, sentence_end=False, paragraphs=False),
    "lines": lambda rng: _prose(rng, 9_000, sentence_end=True, paragraphs=False).replace(". ", ".\n"),
    "no spaces, sentences": lambda rng: _japanese(rng, 200_000),
    "no spaces at all": lambda rng: _without_spaces(rng, 200_000),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["top", "middle"])
def test_an_insertion_keeps_nearly_all_ids(kind: str, where: str) -> None:
    budget = ChunkBudget(500)
    shares = []
    for seed in range(3):
        rng = random.Random(seed)
        text = KINDS[kind](rng)
        at = 0 if where == "top" else text.find(" ", len(text) // 2) + 1 or len(text) // 2
        before = set(_ids(text, budget))
        after = set(_ids(text[:at] + "One new sentence, put in. " + text[at:], budget))
        shares.append(len(before - after) / len(before))
    # A few chunks around the insertion; in a text without words, those of a few segments of eight budgets.
    assert max(shares) < 0.15, shares
    assert sorted(shares)[1] < 0.08, shares


def test_an_insertion_keeps_nearly_all_ids_with_a_budget_of_tokens() -> None:
    text = _prose(random.Random(1), 3_000, sentence_end=True, paragraphs=False)
    budget = ChunkBudget(60, 0, "tokens", TOKENIZER)
    before, after = set(_ids(text, budget)), set(_ids("One new sentence, put in. " + text, budget))
    assert len(before - after) < 0.08 * len(before)


@given(st.text("ab", min_size=300, max_size=900), st.integers(1, 40))
def test_a_text_without_spaces_is_cut_by_its_content(text: str, shift: int) -> None:
    """The cut depends on the text around it, not on what precedes it."""
    low, high = 100, 200
    chosen = _cut_in_word(text, low, high)
    assert low <= chosen < high
    assert _cut_in_word("z" * shift + text, low + shift, high + shift) == chosen + shift


def test_equal_pieces_of_a_document_have_different_ids() -> None:
    paragraph = "The same paragraph, word for word, and long enough to stand for itself alone.\n\n"
    ids = _ids(paragraph * 6, ChunkBudget(100))
    assert len(set(ids)) == 6
    assert set(_ids(paragraph * 5, ChunkBudget(100))) == set(ids[:5])


@pytest.mark.parametrize("kind", ["sentences", "no spaces at all", "blank lines"])
def test_time_grows_linearly_with_the_text(kind: str) -> None:
    rng = random.Random(1)
    blocks = {
        "sentences": lambda: _prose(rng, 4_000, sentence_end=True, paragraphs=False),
        "no spaces at all": lambda: _without_spaces(rng, 30_000),
        "blank lines": lambda: "\n" * 30_000,
    }
    block = blocks[kind]()

    def once(text: str) -> float:
        started = time.process_time()
        _cut(text, ChunkBudget(1_000))
        return time.process_time() - started

    def seconds(times: int) -> float:
        return min(once(block * times) for _ in range(3))

    seconds(1)
    assert seconds(32) < 12 * max(seconds(8), 0.02)


def test_a_document_of_five_megabytes() -> None:
    text = _prose(random.Random(2), 120, sentence_end=True, paragraphs=True) * 5_500
    assert len(text) > 5_000_000
    chunks = _cut(text, ChunkBudget(1_000))
    assert len({chunk.id for chunk in chunks}) == len(chunks) > 4_000


@pytest.mark.parametrize("body", ["", " ", "\n\t \u00a0"])
def test_a_document_without_a_body_is_its_header(body: str) -> None:
    (chunk,) = _cut(body)
    assert (chunk.text, chunk.start, chunk.end) == ("T", 0, 0)


def test_headers() -> None:
    chunker = RecordChunker("crm", ChunkBudget(100))
    context = [("From", "Ada  \n Lovelace"), ("To", "x" * 500), ("Where", "Utrecht"), ("Why", "y" * 400)]
    one = document("notes/1", "A sentence of the body. " * 20, title="A\ntitle", context=context)
    header = header_of(one)
    assert header.splitlines()[:2] == ["A title", "From: Ada Lovelace"]
    assert header.splitlines()[2] == f"To: {'x' * (VALUE_CHARS - 1)}…"
    assert all(chunk.text.startswith(f"{header}\n\nA sentence") for chunk in chunker.chunks(one))
    many = document("notes/2", context=[(f"Participant {n}", "z" * 50) for n in range(200)])
    assert len(header_of(many)) <= HEADER_CHARS
    assert len(header_of(document("notes/3", title="t" * 5_000))) == VALUE_CHARS


def test_ids_depend_on_source_document_and_content_only() -> None:
    text = "A sentence of the body. " * 20
    ids = _ids(text)
    assert [
        c.id for c in RecordChunker("crm", ChunkBudget(200)).chunks(document("notes/1", text, title="Z"))
    ] == ids
    others = [
        RecordChunker("another", ChunkBudget(200)).chunks(document("notes/1", text)),
        RecordChunker("crm", ChunkBudget(200)).chunks(document("notes/2", text)),
    ]
    assert all(not set(ids) & {c.id for c in each} for each in others)


def test_fingerprints_differ_with_everything_that_affects_cuts() -> None:
    budgets = [
        ChunkBudget(200),
        ChunkBudget(201),
        ChunkBudget(200, 10),
        ChunkBudget(200, 0, "tokens", TOKENIZER),
    ]
    assert len({RecordChunker("crm", budget).fingerprint for budget in budgets}) == len(budgets)


def test_another_tokenizer_changes_the_fingerprint(tmp_path: object) -> None:
    from pathlib import Path

    other = Path(str(tmp_path)) / "tokenizer.json"
    other.write_bytes(TOKENIZER.read_bytes() + b"\n")
    one, two = (
        RecordChunker("crm", ChunkBudget(200, 0, "tokens", path)).fingerprint for path in (TOKENIZER, other)
    )
    assert one != two
