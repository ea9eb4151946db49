"""What must not be seen, and hiding it in every text that leaves the process.

What belongs here: the secrets that are known, the ways in which a text may spell them, what a secret looks
like where its value is not known, and errors without them. What does not: which settings are secrets
(`settings`), and where texts leave the process: logs (`log_records`), the terminal, Dagster, the ledger.

`redact` is for messages, errors and logs. `redact_data` is for what people searched for or asked to see: it
hides known secrets only, because a link with a query, or a word that is a user's name, is not one.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote, unquote_plus

HIDDEN = "(hidden)"
# A shorter secret is hidden where it is a word of its own: "ada" must not garble every "Canada".
SHORT = 6
# Below this, values are hidden only where a pattern shows that they are secrets.
_MIN_CHARS = 3
# What is hidden in data: a shorter value may well be an ordinary word of somebody's document.
_DATA_CHARS = 8
_LISTED_CHARS = 16  # of a secret that is one of several, separated by colons
_PLAIN_WORD = re.compile(r"[A-Za-z]{1,11}|[a-z_-]{1,20}|[\d.]{1,9}")
_SECRET_NAME = re.compile(r"token|secret|pass|pwd|key|cred|auth|sig|session|code|jwt", re.IGNORECASE)

_secrets: set[str] = set()
_names: set[str] = set()  # of users, where they are ordinary words


def keep_secret(value: str) -> None:
    """Hide a value from now on, and each of those that it lists (`a,b`, `host=a`, `name:a:scope`)."""
    _add(value)
    for part in map(str.strip, re.split(r"[,;\n]", value)):
        _, named, given = part.partition("=")
        if part != value and len(part) >= _DATA_CHARS:
            _add(part)
        if named:
            _add(given)
        for piece in part.split(":"):
            if piece != part and len(piece) >= _LISTED_CHARS:
                _add(piece)


def keep_secrets_of_url(url: str, *, user: bool = True) -> None:
    """Hide a URL's user name (unless `user` is False), password, and the values of its query."""
    body, _, query = url.partition("#")[0].partition("?")
    for name, value in parse_qsl(query):
        if _SECRET_NAME.search(name) or not _PLAIN_WORD.fullmatch(value):
            _add(value)
    for value in re.findall(r"=([^&]*)", query):  # as it is spelt there
        if not _PLAIN_WORD.fullmatch(value) and unquote_plus(value) in _secrets:
            _add(value)
    given, separator, password = _user_info(body).partition(":")
    if separator:
        for spelt in {password, unquote(password)}:
            _add(spelt)
            _add(f"{unquote(given)}:{spelt}")  # as Basic authentication encodes it
    for spelt in {given, unquote(given)} if user or not separator else ():
        if not _PLAIN_WORD.fullmatch(spelt):
            _add(spelt)
        elif separator and len(spelt) >= _MIN_CHARS:
            _names.add(spelt)


def forget_secrets() -> None:
    """Know no secrets any more."""
    _secrets.clear()
    _names.clear()


def _add(value: str) -> None:
    if len(value) >= _MIN_CHARS:
        _secrets.add(value)


def _user_info(url: str) -> str:
    """What precedes the host. A URL that is wrong may have it elsewhere; a file has none."""
    if (found := re.search(r"://([^/]*)@", url)) is not None:
        return found.group(1)
    found = None if ":///" in url else re.match(r"(?:\w+(?::/{0,2}|/{1,2}(?=[^/])))?(.*)@", url, re.DOTALL)
    return found.group(1) if found else ""


def redact(text: str) -> str:
    """A message without secrets: those that are known, in any usual spelling, and what looks like one."""
    if _secrets or _names:
        text = _known(frozenset(_secrets), frozenset(_names)).sub(HIDDEN, text)
        text = _without_cut_off(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_data(text: str) -> str:
    """Data without the secrets that are known and too long to be an ordinary word."""
    return _data_redaction()(text)


def redact_values(value: Any) -> Any:
    """A JSON value, all of whose texts, keys too, are `redact_data`'s."""
    return _each_text(value, _data_redaction())  # looked up once: an answer has hundreds of texts


def hidden_in_data() -> str:
    """All that `redact_data` hides: data without it is without it as long as this is the same."""
    return "\0".join(sorted(_hidden_in_data()))


def _data_redaction() -> Callable[[str], str]:
    long = _hidden_in_data()
    return partial(_known(long, frozenset()).sub, HIDDEN) if long else str


def _hidden_in_data() -> frozenset[str]:
    return frozenset(secret for secret in _secrets if len(secret) >= _DATA_CHARS)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    # The type that it usually is, first: the other takes long to ask. And leaves here, without a call each:
    # an answer has hundreds, and they are most of what a search costs that is answered from the cache.
    if isinstance(value, dict | Mapping):
        return {
            change(key) if type(key) is str else _each_text(key, change): (
                change(each)
                if type(each) is str
                else each
                if type(each) in _PLAIN
                else _each_text(each, change)
            )
            for key, each in value.items()
        }
    return [_each_text(each, change) for each in value] if isinstance(value, list | tuple) else value


_PLAIN = frozenset({int, float, bool, type(None)})


# --- Errors -------------------------------------------------------------------------------------------------


def without_secrets(error: BaseException) -> Exception:
    """An error that reads like this one and its causes, with the same traces, and shows no secrets.

    It is of another class, of the same name: the originals may keep requests and answers in their attributes.
    """
    return _copy(error, set())


@contextmanager
def raising_no_secrets(*known: type[Exception]) -> Iterator[None]:
    """Raises all errors but the `known` ones without secrets: for callers who store what is raised."""
    try:
        yield
    except known:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it may repeat what a server said
        raise_alone(without_secrets(error))


def raise_alone(error: Exception) -> NoReturn:
    """Raise an error without the one that is being handled, which Python would attach to it."""
    try:
        raise error
    finally:
        error.__context__ = None


def _copy(error: BaseException, seen: set[int]) -> Exception:
    seen.add(id(error))
    try:
        said = redact(str(error))
    except Exception as second:  # noqa: BLE001 - a broken __str__ must not hide that there was an error
        said = f"(its message cannot be shown: {type(second).__name__})"
    bases: tuple[type[Exception], ...] = (Exception,)
    arguments: tuple[object, ...] = (said,) if said else ()
    if isinstance(error, BaseExceptionGroup):
        bases = (ExceptionGroup,)
        arguments = (redact(error.message), [_copy(each, seen) for each in error.exceptions])
    kind = type(type(error).__name__, bases, {"__module__": type(error).__module__})
    copy: Exception = kind(*arguments)
    copy.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        copy.add_note(redact(str(note)))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        copy.__cause__ = _copy(cause, seen)
    copy.__suppress_context__ = True
    return copy


# --- What a secret looks like -------------------------------------------------------------------------------
# Each repetition ends at a character that its anchor cannot begin with, or is bounded: time is linear.

_DONE = re.escape(HIDDEN)
_QUOTE = r"\\{0,8}[\"']"
_PATTERNS = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        HIDDEN,
    ),
    # https://user:password@host, also with escaped slashes or percent-encoded
    (re.compile(r"(?:(?<=://)|(?<=:\\/\\/))(?:[^\s/?#@\"'<>\\]*@)+"), f"{HIDDEN}@"),
    (
        re.compile(r"(?<=%3A%2F%2F)(?:(?!%2F|%3F|%23|%40)[^\s/?#&\"'<>\\])*(%40)", re.IGNORECASE),
        rf"{HIDDEN}\1",
    ),
    # ?name=value&name=value
    (re.compile(r"(?<=[?&])([\w.~%\[\]-]{1,100})=[^\s&#\"'<>\\]+"), rf"\1={HIDDEN}"),
    # Authorization: Bearer …, also as JSON, as a Python pair, and as a libpq parameter
    (
        re.compile(
            rf"((?<!\w)(?:proxy-)?authorization(?:{_QUOTE})?\s{{0,9}}[:=]\s{{0,9}}(?:b?{_QUOTE})?)(?:{_DONE}|[^\r\n\"'\\}}]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            rf"((?<!\w)(?:x-)?(?:api-?key|api_key|auth-token|private-token|set-cookie|cookie)(?:{_QUOTE})?"
            rf"\s{{0,9}}[:=]\s{{0,9}}(?:b?{_QUOTE})?)(?:{_DONE}|[^\s\"'\\,}})\]]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            rf"((?<![A-Za-z0-9])(?:(?:proxy-)?authorization|(?:x-)?api[-_]?key|cookie|password|passwd|passphrase|"
            rf"(?:client_|access_|refresh_)?(?:secret|token)){_QUOTE}\s{{0,9}}[:,]\s{{0,9}}b?{_QUOTE})[^\"'\\]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            rf"((?<![A-Za-z0-9])(?:password|passwd|passphrase|(?:client_|access_|refresh_)?(?:secret|token))="
            rf"(?:b?[\"'])?)(?:{_DONE}|[^\s\"'&,;)]+)",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Keys that their issuers mark: of forges, clouds, models and registries, and JSON Web Tokens
    (
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|sk-|rk_live_|xox[abeprs]-|AKIA|ASIA|AIza|eyJ|hf_|"
            r"npm_|pypi-)(?=[\w.-]{0,200}\d)[\w.-]{12,}"
        ),
        HIDDEN,
    ),
    (
        re.compile(
            r"(\b(?:bearer|basic)\s{1,9})(?=.[a-z]{0,200}[^a-z\s.,;:()])[\w.~+/-]{8,}={0,2}", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
)


# --- How a known secret may be spelt ------------------------------------------------------------------------


@cache
def _known(secrets: frozenset[str], names: frozenset[str]) -> re.Pattern[str]:
    """Matches every spelling of the values; what is hidden already is matched first, and stays as it is."""
    spellings = [re.escape(HIDDEN)]
    for secret in sorted(secrets, key=lambda each: (-len(each), each)):
        spellings += _spellings(secret)
    # The name of a user is hidden where it is one: quoted, or part of a URL or a list of parameters.
    spellings += [rf"(?<=[\"'=/]){re.escape(name)}(?=[\"':@&,;]|%40)" for name in sorted(names)]
    return re.compile("|".join(spellings))


def _spellings(secret: str) -> Iterator[str]:
    escaped = _escaped(secret)
    if len(secret) < SHORT:
        before = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
        yield f"{before}(?:{escaped})(?![^\\W_])"
        for text in (secret, f":{secret}"):
            code = b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
            yield rf"(?<![A-Za-z0-9+/_-]){_of_base64(code)}=+(?![A-Za-z0-9+/_-])"
        return
    yield escaped
    encoded = {secret.encode("utf-8", "surrogatepass"), secret.encode("latin-1", "ignore")}
    for raw in sorted(encoded):
        if len(raw) >= SHORT:
            yield from _as_base64(raw)
            yield from _as_hex(raw)


def _escaped(secret: str) -> str:
    """The secret, each of its special characters as it is, or escaped as URLs, JSON, Python and HTML do."""
    out = []
    for run in re.findall(r"\\+|[^\\]", secret):
        if run[0] == "\\":
            percent = _percent(b"\\")
            out.append(
                rf"(?:\\{{{len(run)},{8 * len(run)}}}|(?:{percent}){{{len(run)}}}|(?:&#92;){{{len(run)}}})"
            )
        else:
            out.append(run if run.isascii() and run.isalnum() else _spelt(run))
    return "".join(out)


def _spelt(character: str) -> str:
    """A special character in any spelling. Backslashes before it are those of texts within texts."""
    raw = character.encode("utf-8", "surrogatepass")
    code = ord(character)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    json_units = r"\\{1,8}".join(_any_case(f"u{units[i : i + 4]}") for i in range(0, len(units), 4))
    tails = {
        json_units,
        r"\\{1,8}".join(_any_case(f"x{byte:02x}") for byte in raw),
        *(_any_case(f"x{code:02x}") for _ in range(1) if code <= 0xFF),  # noqa: PLR2004
        *(_any_case(f"U{code:08x}") for _ in range(1) if code > 0xFFFF),  # noqa: PLR2004
        *(
            re.escape(spelt[1:])
            for spelt in (json.dumps(character)[1:-1], repr(character)[1:-1])
            if len(spelt) > 1
        ),
        *(re.escape(character) for _ in range(1) if character in "\"'/"),
    }
    tails = {tail for tail in tails if tail}
    named = html.escape(character, quote=True)
    entities = {rf"#0{{0,4}}{code};", rf"#[xX]0{{0,4}}{_any_case(f'{code:x}')};"}
    if named != character:
        entities.add(re.escape(named[1:]))
    ways = [
        re.escape(character),
        _percent(raw),
        rf"\\{{1,8}}(?:{'|'.join(sorted(tails, key=lambda each: (-len(each), each)))})",
        rf"&(?:amp;){{0,3}}(?:{'|'.join(sorted(entities))})",
    ]
    if character == " ":
        ways.append(r"\+")
    elif character.isspace():
        ways.append(r"\s{1,4}")  # messages are often put on one line
    if not character.isascii():
        ways.append(re.escape(raw.decode("latin-1")))  # a header, read as it was not meant
    return f"(?:{'|'.join(ways)})"


def _percent(raw: bytes) -> str:
    """Percent-encoded, up to four times."""
    return "".join(f"%(?:25){{0,3}}{_any_case(f'{byte:02x}')}" for byte in raw)


def _any_case(text: str) -> str:
    return "".join(f"[{c}{c.swapcase()}]" if c.isalpha() else re.escape(c) for c in text)


def _as_base64(raw: bytes) -> Iterator[str]:
    """The characters that depend on `raw` alone, for each of the three places where it may begin."""
    for before in range(3):
        code = b64encode(bytes(before) + raw).decode()
        bits = 8 * (before + len(raw))
        rest = r"(?:[A-Za-z0-9+/_-]={0,2})?" if bits % 6 else ""
        yield _of_base64(code[-(-8 * before // 6) : bits // 6]) + rest


def _of_base64(code: str) -> str:
    """Base64 in either alphabet, also percent-encoded or as JSON."""
    ways = {"+": r"(?:\+|-|%2[Bb])", "/": r"(?:/|_|%2[Ff]|\\/)"}
    return "".join(ways.get(character, character) for character in code)


def _as_hex(raw: bytes) -> Iterable[str]:
    pairs = [f"{byte:02x}" for byte in raw]
    for case in (str.lower, str.upper):
        cased = [case(pair) for pair in pairs]
        yield "".join(cased)
        yield "".join(f"%{pair}" for pair in cased)
    yield "".join(rf"\\{{1,4}}x{pair}" for pair in pairs)


_ONE_WORD = re.compile(r"[^\s,;:=]+={0,2}")  # a list may begin with something that is no secret
_CUT = re.compile(r"\.\.\.|…|[\"')\]]{0,3}\s{0,9}\Z")


def _without_cut_off(text: str) -> str:
    """Hide the beginning of a secret where a text was shortened in the middle of it."""
    for secret in sorted(filter(_ONE_WORD.fullmatch, _secrets), key=len, reverse=True):
        spans, start = [], text.find(secret[:SHORT]) if len(secret) > SHORT else -1
        while start >= 0:
            end = start + next(
                (i for i, character in enumerate(secret) if text[start + i : start + i + 1] != character),
                len(secret),
            )
            if _CUT.match(text, end):
                spans.append((start, end))
            start = text.find(secret[:SHORT], end)
        # In one pass: a long text may have thousands.
        ends, starts = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
        text = HIDDEN.join([text[end:start] for end, start in zip(ends, starts, strict=True)])
    return text
