"""Hiding secrets: every usual spelling of a known one, what looks like one, and nothing else."""

from __future__ import annotations

import html
import json
import logging
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ingest_assets.log_records import make_records_safe
from ingest_assets.model import ConfigurationError
from ingest_assets.redaction import (
    HIDDEN,
    SHORT,
    forget_secrets,
    keep_secret,
    keep_secrets_of_url,
    raising_no_secrets,
    redact,
    redact_data,
    without_secrets,
)
from ingest_assets_tests.support.spellings import spellings_of

# Not in the alphabet of what surrounds it, so that any part that is left over is recognised.
SECRETS = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=SHORT, max_size=40)
AROUND = st.text("xyz \n/:=&\"'", max_size=20)


@contextmanager
def known(*secrets: str) -> Iterator[None]:
    forget_secrets()
    for secret in secrets:
        keep_secret(secret)
    try:
        yield
    finally:
        forget_secrets()


@given(SECRETS, AROUND, AROUND)
@example("p\"w'd\\\\/ é&<%25+ \n€", "x", "y")
@example("\U0001d518nicode\U0001f600", "", "")
def test_every_spelling_of_a_secret_is_hidden(secret: str, before: str, after: str) -> None:
    assume(len(set(secret)) > 3)
    with known(secret):
        for way, spelt in spellings_of(secret).items():
            shown = redact(f"{before}{spelt}{after}")
            assert spelt not in shown, way
            assert HIDDEN in shown, way
            assert redact(shown) == shown, way


@given(SECRETS, st.binary(max_size=5), st.binary(max_size=5))
def test_base64_hides_it_wherever_it_begins(secret: str, before: bytes, after: bytes) -> None:
    raw = secret.encode()
    with known(secret):
        for encode in (b64encode, urlsafe_b64encode):
            code = encode(before + raw + after).decode()
            shown = redact(f"Token {code} of x")
            assert HIDDEN in shown
            # What is left depends on no more than the bits at its two borders.
            assert (
                len(shown.replace(HIDDEN, "")) <= len("Token  of x") + 4 * (len(before) + len(after) + 5) // 3
            )


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), SECRETS)
def test_what_holds_no_secret_is_left_as_it_is(text: str, secret: str) -> None:
    assume(not any(spelt in text for spelt in spellings_of(secret).values()))
    assume("://" not in text and "?" not in text and "&" not in text and secret[:SHORT] not in text)
    with known(secret):
        assert redact_data(text) == text
        assert redact(text) == text


@given(st.text("ab\\%&25+=/:?@.-\"' \n", max_size=300), st.text("ab\\%&25+ ", min_size=3, max_size=12))
def test_it_ends_and_changes_nothing_twice(text: str, secret: str) -> None:
    with known(secret):
        once = redact(text)
        assert redact(once) == once
        if len(secret) >= SHORT:
            assert secret not in once.replace(HIDDEN, "")


@pytest.mark.parametrize("short", ["ada", "pw1", "x-y"])
def test_a_short_secret_is_hidden_as_a_word_of_its_own_only(short: str) -> None:
    word = f"B{short}C, {short}4 and {short}"
    with known(short):
        assert redact(word) == f"B{short}C, {short}4 and {HIDDEN}"
        assert redact(f"a={short}&b") == f"a={HIDDEN}&b"
        assert redact(f"%3A{short}%40") == f"%3A{HIDDEN}%40"
        assert redact_data(word) == word
        code = b64encode(short.encode() + b"!").decode()
        assert redact(f"Not it: {code}x") == f"Not it: {code}x"


@pytest.mark.parametrize("tiny", ["", "a", "of", " "])
def test_a_text_never_becomes_unreadable(tiny: str) -> None:
    with known(tiny):
        assert redact("A list of a few of the words.") == "A list of a few of the words."


def test_a_secret_that_was_cut_off_is_hidden() -> None:
    with known("tok-0123456789abcdef"):
        for said in ("The server said: tok-01234567", "'tok-0123456789...'", "(tok-01234…) more"):
            assert "tok-01" not in redact(said)
        assert redact("The tok-01234 is another thing") == "The tok-01234 is another thing"


LISTS = [
    ("ann:aaaaaaaaaaaaaaaaaaaa:read,bob:bbbbbbbbbbbbbbbbbbbb:ingest+write", ["a" * 20, "b" * 20]),
    ("git.example.com=first-token, other.example.com:8443=second-token", ["first-token", "second-token"]),
    ("one-long-secret;another-long-one", ["one-long-secret", "another-long-one"]),
]


@pytest.mark.parametrize(("value", "each"), LISTS)
def test_each_secret_of_a_list_is_hidden(value: str, each: list[str]) -> None:
    with known(value):
        assert not any(secret in redact(f"It sent {secret}.") for secret in each)
        assert redact("read, ingest and write from git.example.com") == (
            "read, ingest and write from git.example.com"
        )


URLS = [
    (
        "postgresql://ada:s3%20cr%2Fet@host/db?sslmode=require",
        ["s3 cr/et", "s3%20cr%2Fet"],
        ["require", "host"],
    ),
    ("https://token-0123456@host/x", ["token-0123456"], ["host"]),
    ("http://ada:pass@word99@host:1", ["pass@word99"], ["host"]),
    ("https://host/path?sig=plainword&page=2&x=A1b2C3d4E5", ["plainword", "A1b2C3d4E5"], ["page", "path"]),
    ("ada:s3cr3t-9@host", ["s3cr3t-9"], ["host"]),
    ("sqlite:////srv/a@b/ledger.sqlite", [], ["/srv/a@b/ledger.sqlite"]),
]


@pytest.mark.parametrize(("url", "hidden", "shown"), URLS)
def test_what_is_secret_of_a_url(url: str, hidden: list[str], shown: list[str]) -> None:
    forget_secrets()
    keep_secrets_of_url(url)
    assert [each for each in hidden if each in redact(f"Refused: {each}!")] == []
    assert [each for each in shown if each not in redact(f"Refused: {each}!")] == []


def test_a_user_whose_name_is_a_word_is_hidden_where_it_is_a_user() -> None:
    forget_secrets()
    keep_secrets_of_url("postgresql://postgres:s3cr3t-9@host/db")
    assert redact('authentication failed for user "postgres"') == f'authentication failed for user "{HIDDEN}"'
    assert redact("user=postgres, host=x") == f"user={HIDDEN}, host=x"
    assert redact("A postgres server") == "A postgres server"
    assert redact_data('"postgres"') == '"postgres"'
    forget_secrets()


PATTERNS = [
    ("see https://ada:s3cret@host/x", f"see https://{HIDDEN}@host/x"),
    ("https://a@b:c@host and x@y.org", f"https://{HIDDEN}@host and x@y.org"),
    (r"https:\/\/ada:s3cret@host", rf"https:\/\/{HIDDEN}@host"),
    ("u=https%3A%2F%2Fada%3As3cret%40host", f"u=https%3A%2F%2F{HIDDEN}%40host"),
    ("GET /x?key=s3cret&b=2 HTTP/1.1", f"GET /x?key={HIDDEN}&b={HIDDEN} HTTP/1.1"),
    ("Authorization: Bearer s3cret", f"Authorization: {HIDDEN}"),
    ("authorization=Basic YWRhOnMzY3JldA==\nHost: x", f"authorization={HIDDEN}\nHost: x"),
    ('{"Authorization": "Bearer s3cret", "a": 1}', f'{{"Authorization": "{HIDDEN}", "a": 1}}'),
    (r'"{\"api-key\": \"s3cret\", \"a\": 1}"', rf'"{{\"api-key\": \"{HIDDEN}\", \"a\": 1}}"'),
    ("[(b'api-key', b's3cret'), (b'a', b'b')]", f"[(b'api-key', b'{HIDDEN}'), (b'a', b'b')]"),
    ("api-key: s3cret, next", f"api-key: {HIDDEN}, next"),
    ("Cookie: s=s3cret", f"Cookie: {HIDDEN}"),
    ("it refuses Bearer abc123def456.", f"it refuses Bearer {HIDDEN}"),
    ("dbname=x password=s3cret host=y", f"dbname=x password={HIDDEN} host=y"),
    ("client_secret=s3cret; token=t0ken", f"client_secret={HIDDEN}; token={HIDDEN}"),
    ("sent ghp_abcDEF1234567890 and AKIAIOSFODNN7EXAMPLE", f"sent {HIDDEN} and {HIDDEN}"),
    ("the sk-learn package, pypi-server", "the sk-learn package, pypi-server"),
    ("{'password': 's3cret'}", f"{{'password': '{HIDDEN}'}}"),
    ("a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb", f"a\n{HIDDEN}\nb"),
    (r"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl and cut off", HIDDEN),
]


@pytest.mark.parametrize(("text", "shown"), PATTERNS)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


PROSE = [
    "Bearer tokens are compared as digests.",
    "INGEST_API_TOKENS=(hidden): must be NAME:TOKEN:SCOPES, separated by commas",
    "Check QDRANT_API_KEY. QDRANT_API_KEY: it is wrong.",
    "Is it there? Yes & no; a=b.",
    "https://host:8443/path/to@x/file#part is reached",
    "Basic research, and a password: keep it.",
]


@pytest.mark.parametrize("text", PROSE)
def test_ordinary_sentences_are_left_as_they_are(text: str) -> None:
    assert redact(text) == text


# --- Errors and logs ----------------------------------------------------------------------------------------

SECRET = "tok-0123456789abcdef"


class AnswerError(Exception):
    """Its text is not in its arguments."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.body = body

    def __str__(self) -> str:
        return f"answered {self.body}"


def _fail() -> None:
    try:
        try:
            raise AnswerError(SECRET)  # noqa: TRY301 - a chain is what this makes
        except AnswerError as first:
            first.add_note(f"It was sent {SECRET}.")
            raise ValueError(f"bad {SECRET}") from first
    except ValueError:
        raise ExceptionGroup(f"all {SECRET}", [KeyError(SECRET), OSError(5, "no", SECRET)])  # noqa: B904


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__


def test_an_error_without_secrets_reads_like_the_original() -> None:
    with known(SECRET):
        with pytest.raises(ExceptionGroup) as original:
            _fail()
        clean = without_secrets(original.value)
        assert not any(SECRET in f"{each!r} {each} {vars(each)}" for each in _chain(clean))
        as_read = "".join(traceback.format_exception(clean))
        expected = "".join(traceback.format_exception(original.value)).replace(SECRET, HIDDEN)
        for line in expected.splitlines():
            if "During handling" not in line and "direct cause" not in line:
                assert line in as_read
        assert len(list(_chain(clean))) == len(list(_chain(original.value)))


def test_what_is_raised_is_without_secrets_and_without_the_original() -> None:
    with known(SECRET):
        with pytest.raises(Exception, match="all") as caught, raising_no_secrets():
            _fail()
        assert not any(SECRET in f"{each!r} {each} {vars(each)}" for each in _chain(caught.value))
        with pytest.raises(AnswerError), raising_no_secrets(AnswerError):
            raise AnswerError("x")


def test_an_error_is_redacted_even_if_it_is_older_than_the_settings() -> None:
    error = ConfigurationError(f"It said {SECRET}.")
    with known(SECRET):
        assert str(error) == f"It said {HIDDEN}."
        assert SECRET not in repr(error)


class Weird:
    def __str__(self) -> str:
        return f"<{SECRET}>"


def test_every_log_record_is_safe(caplog: pytest.LogCaptureFixture) -> None:
    make_records_safe()
    log = logging.getLogger("some.library")
    with known(SECRET):
        log.warning("plain %s", SECRET)
        log.warning(f"100%% {SECRET}")  # noqa: G004, RUF100
        log.warning("with %(name)s", {"name": SECRET})
        log.warning("an object %s and \x1b[31m", Weird())
        log.warning("stack", stack_info=True)
        log.warning("wrong %s %s", SECRET)  # noqa: PLE1206
        try:
            _fail()
        except ExceptionGroup:
            log.exception("failed with %s", SECRET)
        logging.getLogger("x").handle(log.makeRecord("x", 30, "f", 1, "made %s", (SECRET,), None))
    assert len(caplog.records) == 8
    assert "100% (hidden)" in caplog.text or "100%% (hidden)" in caplog.text
    assert SECRET not in caplog.text
    assert "\x1b" not in caplog.text
    assert "AnswerError: answered (hidden)" in caplog.text


def test_arguments_stay_separate_for_formatters_that_take_them_apart() -> None:
    make_records_safe()
    with known(SECRET):
        made = logging.getLogger("x").makeRecord(
            "x", 20, "f", 1, '%s "%s" %d', ("me", f"GET /{SECRET}", 200), None
        )
    assert made.args == ("me", f"GET /{HIDDEN}", 200)


def test_spellings_differ_from_what_they_spell() -> None:
    """The helper of these tests is not vacuous."""
    spelt = spellings_of('a b"\\é&')
    assert spelt["percent-encoded"] == quote('a b"\\é&', safe="")
    assert spelt["as in a form"] == quote_plus('a b"\\é&')
    assert spelt["JSON"] == json.dumps('a b"\\é&')[1:-1]
    assert spelt["HTML"] == html.escape('a b"\\é&')
    assert len(set(spelt.values())) > 12
