"""Texts that people and confined processes write: settings, filters, answers; and hiding secrets.

What belongs here: parsers of text that need no server.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from ingest_assets.entities.decisions import load_decisions, load_labels
from ingest_assets.fields import BOUNDS, COMMON_FIELDS, FilterField, conditions_of, typed
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.model import IngestError, SkippedItem, SourceItem
from ingest_assets.redaction import (
    HIDDEN,
    forget_secrets,
    keep_secret,
    keep_secrets_of_url,
    redact,
    redact_data,
)
from ingest_assets.sandbox.answers import (
    PART,
    RENDERED,
    batch_of,
    checked_batch,
    checked_document,
    documents,
    split,
)
from ingest_assets.settings import load_settings
from ingest_assets_tests.fuzz.target import Parse, Place, Target, plain
from ingest_assets_tests.sandbox.tasks import Records

# --- Answers of a confined process --------------------------------------------------------------------------


def _batch(data: bytes) -> None:
    found = checked_batch(data)
    assert len(found.ids) == len(found.digests)
    assert all(len(each) == 32 for each in found.digests)
    assert found.ids or found.done


def _batches() -> list[bytes]:
    with Records(3).read() as read:
        items: list[SourceItem] = list(read)
    skips = [SkippedItem("a", "too_large", 5, "why")]
    return [
        batch_of(items, 7, skips, [0, 1, 1], {"n": 1}, done=False),
        batch_of([], 0, [], [], {}, done=True),
    ]


def _documents(data: bytes) -> None:
    size = sum(len(text) + PART.size for _, text in split(data))
    assert size <= len(data)
    for kind, text in split(data):
        document, repaired = checked_document(kind, text)
        assert documents().dump_json(document)
        assert repaired in (True, False)


def _rendered() -> list[bytes]:
    with Records(2).read() as read:
        texts = [documents().dump_json(item.render()) for item in read]
    return [b"".join(PART.pack(RENDERED, len(text)) + text for text in texts)]


# --- Settings -----------------------------------------------------------------------------------------------

_ENV = b"""\
# A comment
INGEST_COLLECTION_PREFIX=mine
QDRANT_URL=http://user:pass-word-1@127.0.0.1:6333
QDRANT_API_KEY="a-key-of-qdrant-1"
SPARK_CONTROL_URL='https://host.example:8443/v1'
INGEST_API_TOKENS=ada:0123456789abcdef0123:read+write,bo:abcdef0123456789abcd:ingest
INGEST_UI_TOKENS=ada:0123456789abcdef0123
INGEST_LEDGER_URL=postgresql://u:p@127.0.0.1:5432/db
INGEST_AGENT_REPOSITORY_HOSTS=github.com,gitlab.example.com:8443
INGEST_CHUNK_SIZE=1000
INGEST_CHUNK_OVERLAP=100
INGEST_EMBED_TIMEOUT_S=2.5
"""


@contextmanager
def _settings(place: Place) -> Iterator[Parse]:
    """A .env file. What is refused says which variable, and not the secret in it."""
    file = place.folder / ".env"

    logging.getLogger("dotenv").setLevel(logging.ERROR)  # it warns of each line that it cannot read

    def parse(data: bytes) -> None:
        forget_secrets()
        file.write_bytes(data)
        try:
            settings = load_settings(_env_file=file)
            settings.ledger_url  # noqa: B018 - a property that parses
            for tokens in (
                Tokens.of(settings.ingest_api_tokens),
                Tokens.of_people(settings.ingest_ui_tokens),
            ):
                assert tokens.caller("Bearer no such token") is None or not tokens
        finally:
            forget_secrets()

    yield parse


def _tokens(data: bytes) -> None:
    """What the settings accept, the servers can read, and each of its tokens is known afterwards."""
    text = data.decode("utf-8", "surrogateescape")
    settings = load_settings(ingest_api_tokens=text, _env_file=None)
    try:
        tokens = Tokens.of(settings.ingest_api_tokens)
        for entry in filter(None, text.split(",")):
            name, token, _scopes = entry.strip().split(":")
            caller = tokens.caller(f"Bearer {token}")
            assert caller is not None
            assert caller.name == name
            assert caller.scopes
            assert token not in repr(settings) + str(settings)
    finally:
        forget_secrets()


# --- Filters ------------------------------------------------------------------------------------------------

_FIELDS = (
    *COMMON_FIELDS, *BOUNDS, FilterField(name="number", description="", type="number"),
    FilterField(name="when", description="", type="time"), FilterField(name="flag", description="",
    type="flag"),
)  # fmt: skip


def _filters(data: bytes) -> None:
    where: dict[str, list[str]] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name, _, value = line.partition("=")
        where.setdefault(name, []).append(value)
        for kind in ("keyword", "number", "time", "flag"):
            found = typed(value, kind)
            assert found is None or FilterField(name="x", description="", type=kind).holds(found)
    conditions = conditions_of(where, _FIELDS)
    assert sum(len(each.values) + len(each.ranges) for each in conditions) == sum(map(len, where.values()))


# --- Decisions and labels -----------------------------------------------------------------------------------


@contextmanager
def _tables(place: Place) -> Iterator[Parse]:
    file = place.folder / "table.csv"

    def parse(data: bytes) -> None:
        file.write_bytes(data)
        try:
            assert all(isinstance(each, str) for pair in load_labels(file).items() for each in pair)
        except IngestError:
            decisions = load_decisions(file)
            assert len(decisions.same) + len(decisions.different) == len(decisions.made)
            assert decisions.digest

    yield parse


# --- Secrets ------------------------------------------------------------------------------------------------

_PLANTED = "pl4nted-s3cret/with+all&of=it"
_LARGE = 1 << 17  # characters


def _redacted(data: bytes) -> None:
    """No text makes it fail, none keeps a known secret, and none is worse than linear."""
    text = data.decode("utf-8", "surrogateescape")
    forget_secrets()
    keep_secret(_PLANTED)
    keep_secrets_of_url(text)
    keep_secret("the-second-one-of-them")
    try:
        middle = len(text) // 2
        for made in (f"{text[:middle]}{_PLANTED}{text[middle:]}", f"{text} {json.dumps(_PLANTED)}"):
            assert _PLANTED not in redact(made)
            assert _PLANTED not in redact_data(made)
        repeated = (text or "x") * (_LARGE // max(1, len(text)))
        redact(repeated)
        redact_data(repeated)
    finally:
        forget_secrets()


def _secret_of_setting(data: bytes) -> None:
    """Whatever a secret is, a text that repeats it does not show it."""
    secret = data.decode("utf-8", "replace").replace(HIDDEN, "").strip()  # no secret holds the mark itself
    forget_secrets()
    keep_secret(secret)
    try:
        if len(secret) >= 6:  # a shorter one is hidden where it is a word
            assert secret not in redact(f"refused: {secret}.")
            assert secret not in redact(f"refused: {SecretStr(secret).get_secret_value()}")
    finally:
        forget_secrets()


TARGETS = (
    Target(
        name="batches", open=plain(_batch), seeds=_batches, brief=1_000,
        tokens=(b"\0", b'"items": 2', b"null", b"[]", b"{}", b"1e400", b"-1", b"NaN", b"true", b'"\\ud800"',
                b"\xed\xa0\x80", b"[" * 500, b"\xff"),
    ),
    Target(
        name="documents", open=plain(_documents), seeds=_rendered, brief=500,
        tokens=(b"d", b"r", b"x", b"\0\0\0\2{}", b"null", b'"\\ud800"', b"[]", b"1e400", b"NaN",
                b'"attributes":{', b"[" * 500, b"\xff\xff\xff\xff"),
    ),
    Target(
        name="settings", open=_settings, seeds=lambda: [_ENV], brief=60,
        tokens=(b"=", b"\n", b"'", b'"', b"\\", b"${", b"}", b"export ", b"#", b"://", b"@", b":", b"[", b",",
                b"\0", b"\xff", b"nan", b"inf", b"1e999", b"-1", b"\xd9\xa3", b"+", b"read", b" ", b"%00"),
    ),
    Target(
        name="tokens", open=plain(_tokens), brief=100,
        seeds=lambda: [b"ada:0123456789abcdef0123:read+write,bo:abcdef0123456789abcd:ingest"],
        tokens=(b":", b",", b"+", b"read", b"write", b"ingest", b" ", b"\n", b"\xd9\xa3", b"\xff", b"\0",
                b"="),
    ),
    Target(
        name="filters", open=plain(_filters), brief=1_000,
        seeds=lambda: [(b"kind=email\nsince=2026-01-31\nuntil=2026-01-31T09:30:00Z\nnumber=1..5\n"
                       b"when=2026..\nflag=yes")],
        tokens=(b"..", b"=", b"\n", b"number=", b"when=", b"since=", b"inf", b"nan", b"1_0", b"0001-01-01",
                b"9999-12-31", b"T23:59:60", b"+23:59", b"-99:99", b"W01", b"\xff", b"\xd9\xa3", b"Z",
                b"1e400", b"24:00"),
    ),
    Target(
        name="decisions", open=_tables, brief=400,
        seeds=lambda: [(b"left,right,verdict,who,why\npeople/1,people/2,same,Ada,\"a, b\"\n"
                       b"people/3,people/4,different,,\n"),
                       b"\xef\xbb\xbfid,cluster\npeople/1,a\npeople/2,a\n"],
        tokens=(b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"same", b"left", b"id,cluster", b"x" * 140_000,
                b'"""'),
    ),
    Target(
        name="redaction", open=plain(_redacted), brief=12,
        seeds=lambda: [(b"https://ada:pw-of-ada@host/x?token=abc123#f 'Authorization': 'Bearer abc.def' "
                       b"password=hunter22"),
                       b"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
                       b"the-second-... the-sec"],
        tokens=(b"://", b"@", b"?a=", b"&", b"%3A%2F%2F", b"%40", b"\\", b"\\\\", b'"', b"'",
                b"authorization:", b"password=", b"-----BEGIN PRIVATE KEY-----", b"bearer ", b"the-sec...",
                b"pl4nted...", b"(hidden)", b"\xff", b"\n", b"api_key", b"\\u0070l4nted"),
        max_bytes=2_048,
    ),
    Target(
        name="secrets", open=plain(_secret_of_setting), brief=80,
        seeds=lambda: [b"a-secret,with=parts:and;more",
        b"caf\xc3\xa9 \xf0\x9f\x94\x91 \"quoted\" \\back\\slash"],
        tokens=(b",", b";", b"=", b":", b"\n", b"hidden", b"[", b"\\", b"*", b"+",
                b"\xe2\x80\xa8", b"bearer ", b"password=", b"https://a:b@c"),
        max_bytes=256,
    ),
)  # fmt: skip
