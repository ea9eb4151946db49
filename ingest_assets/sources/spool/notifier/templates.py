"""The bodies of events, rendered from templates that ship or that users put in their place.

A user's template is a text that others may have written. It gets an event's facts and nothing else, and
cannot run for long or write much: it has no loops, no calls, and nothing that multiplies a text. This follows
from the parts of the language that are allowed, so that no clock is needed.

What belongs here: templates, and what they must give. What does not: sending (`delivery`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ingest_assets.model import ConfigurationError
from ingest_assets.redaction import redact
from ingest_assets.sources.spool.notifier.outbox import DONE, FACTS, OPEN, REASONS
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

SHIPPED = Path(__file__).parent / "templates"
SCHEMA = SHIPPED / "gate.schema.json"
MAX_TEMPLATE, MAX_BODY = 65_536, 65_536  # bytes
_SHOWN = 300  # characters of what is wrong

# The parts of the language that a template may use. Time and output are bounded by its length with these.
_NODES = frozenset(
    {
        "Template", "Output", "TemplateData", "Name", "Const", "Filter", "Keyword", "If", "CondExpr", "Test",
        "Compare", "Operand", "And", "Or", "Not", "Concat", "Add", "Sub", "Div", "FloorDiv", "Neg", "Pos",
        "Getitem", "Slice", "List", "Tuple",
    }
)  # fmt: skip
_FILTERS = frozenset(
    {"tojson", "default", "d", "upper", "lower", "title", "capitalize", "trim", "string", "int", "float",
     "length", "count", "abs", "first", "last"}
)  # fmt: skip
_JSON = "tojson"
_TESTS = frozenset(
    {"defined", "undefined", "none", "true", "false", "boolean", "string", "number", "integer", "in", "eq",
     "equalto", "ne", "lt", "lessthan", "le", "gt", "greaterthan", "ge"}
)  # fmt: skip

_TIME = "2026-01-31T09:00:00+00:00"
# Whatever has to be escaped in JSON, so that a template that does not escape it is found here.
_AWKWARD = 'a "quoted" name \\ of {{ braces }}, ünïcödé'


class Templates:
    """The templates of all events, which have given a valid body for each sample."""

    def __init__(self, settings: SpoolSettings) -> None:
        """Raises ConfigurationError when one cannot be read, is not allowed, or gives no valid body."""
        self._sources = {event: _read(settings.gate_templates, event) for event in FACTS}
        self._compiled = {event: _compiled(*source) for event, source in self._sources.items()}
        for sample in samples():
            self.render(sample)

    def render(self, facts: Mapping[str, Any]) -> bytes:
        """The body of an event, as JSON in UTF-8. Raises ConfigurationError when it would not be valid."""
        name, _ = self._sources[facts["event"]]
        try:
            text: str = self._compiled[facts["event"]].render(dict(facts))
        except Exception as error:  # noqa: BLE001 - a template can raise whatever its operators raise
            _refuse(name, f"it fails: {error}")
        body = text.encode("utf-8", "replace")
        if len(body) > MAX_BODY:
            _refuse(name, f"it gives more than {MAX_BODY:,} bytes")
        if wrong := _what_is_wrong(body, facts):
            _refuse(name, wrong)
        return body


def samples() -> Iterator[dict[str, Any]]:
    """Facts of events, one for each path that a template may reasonably take."""
    for pii in (False, True):
        common = {"batch_tag": _AWKWARD, "pii": pii, "ts": _TIME}
        yield {"event": OPEN, **common, "spool": _AWKWARD, "bytes": 1 << 40, "count": 0}
        for reason in REASONS:
            for status in ("success", "failed"):
                yield {"event": DONE, **common, "status": status, "reason": reason, "processed": 3}


def _read(folder: Path | None, event: str) -> tuple[str, str]:
    """A template's name, as messages show it, and its text."""
    name = f"{event}.json.j2"
    if folder is None:
        return name, (SHIPPED / name).read_text("utf-8")
    if not folder.is_dir():
        raise ConfigurationError(f"GATE_TEMPLATES={folder} is no folder.")
    file = folder / name
    if not os.path.lexists(file):
        file = SHIPPED / name
    if not file.is_file():
        _refuse(str(file), "it is no file")
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_TEMPLATE + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        _refuse(str(file), f"it cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        _refuse(str(file), "it is not text in UTF-8")
    if len(raw) > MAX_TEMPLATE:
        _refuse(str(file), f"it has more than {MAX_TEMPLATE:,} bytes")
    return str(file), text


def _compiled(name: str, text: str) -> Any:
    environment = _environment()
    try:
        tree = environment.parse(text)
        _require_allowed(name, tree)
        return environment.from_string(tree)
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - also a RecursionError, or what compiling Python code raises
        _refuse(name, f"it cannot be compiled: {error}")


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=StrictUndefined, loader=None, extensions=[], cache_size=0)
    environment.globals = {}
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


def _require_allowed(name: str, tree: nodes.Template) -> None:
    from jinja2 import nodes

    for node in tree.find_all(nodes.Node):
        if (kind := type(node).__name__) not in _NODES:
            what = f"{kind} is not allowed, only text, values, filters and if"
        elif isinstance(node, nodes.Filter) and node.name == _JSON and not _is_plain_json(node):
            # Each further one would double all quotes, and an indent would be as wide as it says.
            what = f"{_JSON} is allowed once for a value, without arguments"
        elif isinstance(node, nodes.List | nodes.Tuple) and not _is_constant(node):
            # Nested lists, written as texts, double all quotes too.
            what = "lists are allowed of constants only"
        else:
            continue
        _refuse(name, f"line {node.lineno}: {what}")


def _is_plain_json(node: nodes.Filter) -> bool:
    from jinja2 import nodes

    bare = not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
    return bare and all(inner.name != _JSON for inner in node.find_all(nodes.Filter))


def _is_constant(node: nodes.List | nodes.Tuple) -> bool:
    from jinja2 import nodes

    return all(isinstance(item, nodes.Const) for item in node.items)


def _what_is_wrong(body: bytes, facts: Mapping[str, Any]) -> str:
    """Why a body is not one of this event; "" if it is."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "it does not give JSON: write each value as {{ batch_tag | tojson }}"
    if errors := sorted(_validator().iter_errors(value), key=lambda error: [*map(str, error.absolute_path)]):
        where = ".".join(map(str, errors[0].absolute_path)) or "the body"
        more = f", and {len(errors) - 1:,} more" if len(errors) > 1 else ""
        return f"{where}: {errors[0].message}{more} ({SCHEMA.name} says what it must be)"
    for fact in ("event", "batch_tag"):  # what listeners tell repetitions by
        if value[fact] != facts[fact]:
            return f"it does not give the {fact} that it got"
    return ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


def _refuse(name: str, why: str) -> NoReturn:
    shown = " ".join(redact(why).split())
    raise ConfigurationError(f"The template {name} cannot be used: {shown[:_SHOWN]}.")
