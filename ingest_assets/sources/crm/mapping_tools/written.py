"""A draft as TOML, with its comments.

What belongs here: writing. What does not: deciding (`draft`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ingest_assets.characters import visible
from ingest_assets.sources.crm.mapping_tools.draft import Draft
from ingest_assets.sources.crm.mapping_tools.kind import Kind

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 105


def written(drafted: Draft, database: str) -> str:
    """The mapping file."""
    lines = [
        *_comment(
            f"A first mapping of {database}, made by `ingest mapping init`. Comments say what was guessed."
        ),
        *_comment(
            "The manual of the format: ingest_assets/sources/crm/default.toml. Then: `ingest mapping check`,"
        ),
        *_comment("`ingest mapping preview`."),
    ]
    for kind in drafted.kinds:
        lines += ["", *_entry(kind)]
    if drafted.left_out:
        lines += ["", "# Tables and views without documents of their own:"]
        for each in drafted.left_out:
            lines += _comment(f"- {each.name}: {each.why}.")
    if not drafted.kinds:
        lines += ["", "# Nothing in this database looks like a document.", "documents = []"]
    return "\n".join(lines) + "\n"


def _entry(kind: Kind) -> Iterator[str]:
    yield "[[documents]]"
    for note in kind.notes:
        yield from _comment(f"- {note}")
    yield f"name = {_text(kind.name)}"
    if kind.where:
        yield f"query = {_text(f'SELECT * FROM {kind.table.sql} WHERE {kind.where}')}"
    else:
        yield f"table = {_text(kind.table.name)}"
    yield f"key = {_texts(list(kind.table.key))}"
    yield f"kind = {_text(kind.kind)}"
    yield f"title = {_text(kind.title)}"
    for key, value in (("time", kind.time), ("time_format", kind.time_format), ("body", kind.body)):
        if value:
            yield f"{key} = {_text(value)}"
    if kind.filters:
        yield f"filters = {_texts(kind.filters)}"
    if kind.refs:
        yield "refs = ["
        for ref in kind.refs:
            given = ", ".join(f"{key} = {_value(value)}" for key, value in ref.items())
            yield f"    {{ {given} }},"
        yield "]"
    for name in ("columns", "header", "formats", "identity"):
        if values := getattr(kind, name):
            yield from ("", f"[documents.{name}]")
            yield from (f"{_key(key)} = {_value(value)}" for key, value in values.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    return _texts([str(each) for each in value]) if isinstance(value, list | tuple) else _text(str(value))


def _texts(values: list[str]) -> str:
    return _text(values[0]) if len(values) == 1 else f"[{', '.join(map(_text, values))}]"


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _comment(text: str) -> list[str]:
    """Lines of a comment, whatever characters are in the names that it tells."""
    import textwrap

    plain = visible(" ".join(text.encode("utf-8", "replace").decode().split()))
    return [
        f"# {line}" for line in textwrap.wrap(plain, _WIDTH, subsequent_indent="  ", break_long_words=False)
    ]
