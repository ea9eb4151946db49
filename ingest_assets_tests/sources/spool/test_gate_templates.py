"""Templates of users are checked before anything is sent, and none of them can do harm or take long."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.spool.notifier.outbox import DONE, FACTS, OPEN, REASONS
from ingest_assets.sources.spool.notifier.templates import MAX_TEMPLATE, SCHEMA, SHIPPED, Templates, samples
from ingest_assets.sources.spool.settings import SpoolSettings

OPEN_FILE, DONE_FILE = "gate.open.json.j2", "gate.done.json.j2"


def templates(folder: Path | None = None) -> Templates:
    return Templates(SpoolSettings(_env_file=None, gate_templates=folder))


def refused(folder: Path, text: str, name: str = OPEN_FILE) -> str:
    """Why a template is refused, and that this takes no time."""
    (folder / name).write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as error:
        templates(folder)
    assert time.monotonic() - began < 5
    assert name in str(error.value)
    assert len(str(error.value)) < 1_000
    return str(error.value)


def shipped(name: str = OPEN_FILE) -> str:
    return (SHIPPED / name).read_text()


def facts_of(event: str, tag: str, **facts: Any) -> Mapping[str, Any]:
    found = next(sample for sample in samples() if sample["event"] == event)
    return {**found, "batch_tag": tag, **facts}


@given(
    tag=st.text(min_size=1, max_size=200),
    spool=st.text(max_size=100),
    numbers=st.tuples(st.integers(0, 1 << 62), st.integers(0, 1 << 31)),
    pii=st.booleans(),
    reason=st.sampled_from(REASONS),
)
def test_what_ships_gives_the_facts(
    tag: str, spool: str, numbers: tuple[int, int], pii: bool, reason: str
) -> None:
    ours = _OURS
    facts = facts_of(OPEN, tag, spool=spool, bytes=numbers[0], count=numbers[1], pii=pii)
    if not any("\ud800" <= c <= "\udfff" for c in tag + spool):
        assert json.loads(ours.render(facts)) == facts
    done = facts_of(DONE, "b", reason=reason, processed=numbers[1], pii=pii)
    assert json.loads(ours.render(done)) == done


_OURS = templates()


def test_the_schema_that_ships_is_one_and_names_what_the_outbox_has() -> None:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    for event, definition in ((OPEN, "open"), (DONE, "done")):
        required = {*schema["required"], *schema["$defs"][definition]["required"]}
        assert required == set(FACTS[event])
    assert schema["$defs"]["done"]["properties"]["reason"]["enum"] == list(REASONS)


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    own = shipped().replace(
        "{\n", '{\n  "text": {{ ("Batch " ~ batch_tag ~ " of " ~ bytes // 1024 ~ " KiB") | tojson }},\n'
    )
    own += "{# a comment #}{% if pii %} {% elif count in (1, 2) %} {% else %}\n{% endif %}"
    (tmp_path / OPEN_FILE).write_text(own)
    body = json.loads(templates(tmp_path).render(facts_of(OPEN, "b")))
    assert body["text"] == f"Batch b of {1 << 30} KiB"
    done = json.loads(templates(tmp_path).render(facts_of(DONE, "b")))
    assert done["event"] == DONE, "the one that ships"


@pytest.mark.parametrize(
    "hostile",
    [
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ range(10) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ batch_tag | center(1000000000) }}",
        "{{ batch_tag | replace('a', 'aaaa') }}",
        "{{ batch_tag | indent(1000000000) }}",
        "{{ 1 | round(-1000000000) }}",
        "{{ [1] | tojson(indent=1000000000) }}",
        "{{ batch_tag" + " | tojson" * 50 + " }}",
        "{{ " + "[" * 40 + "batch_tag" + "] | string" * 40 + " }}",
        "{% set a = batch_tag %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ batch_tag.__class__ }}",
        "{{ batch_tag['__class__'] | tojson }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ batch_tag | attr('__class__') }}",
        "{{ lipsum(n=100000) }}",
        "{% include '/etc/hostname' %}",
        "{% import 'gate.done.json.j2' as other %}",
        "{% extends '../../../etc/passwd' %}",
        "{% filter upper %}x{% endfilter %}",
        "{% call x() %}{% endcall %}",
        "{% raw %}{% endraw %}{% block b %}{% endblock %}",
        "{{ namespace(a=1) }}",
        "{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}",
        "{{ " + "not " * 15_000 + "1 }}",
        "{{ 1" + " + 1" * 15_000 + " }}",
        "{{ 1" + " | abs" * 9_000 + " }}",
        "{{ " + "9" * 50_000 + " }}",
        "{% if pii %}" * 5_000 + "{% endif %}" * 5_000,
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_what_a_template_may_not_do(tmp_path: Path, hostile: str) -> None:
    refused(tmp_path, shipped() + hostile)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not give JSON"),
        ("{{ nobody_knows_it }}", "'nobody_knows_it' is undefined"),
        ("{{ batch_tag", "cannot be compiled"),
        (shipped().replace("{{ batch_tag | tojson }}", '"{{ batch_tag }}"'), "does not give JSON"),
        (shipped().replace("{{ batch_tag | tojson }}", '"always"'), "does not give the batch_tag"),
        (shipped().replace("{{ event | tojson }}", '"gate.done"'), "'status' is a required property"),
        (shipped().replace("{{ count | tojson }}", "1.5"), "count: 1.5 is not of type 'integer'"),
        (shipped().replace("{{ count | tojson }}", "NaN"), "does not give JSON"),
        (shipped().replace("{{ pii | tojson }}", '"no"'), "pii: 'no' is not of type 'boolean'"),
        (shipped().replace("{{ ts | tojson }}", '"today"'), "ts: 'today' does not match"),
        (shipped() + " {}", "does not give JSON"),
        ("[" * 60_000, "does not give JSON"),
        (shipped() + " " * MAX_TEMPLATE, "more than 65,536 bytes"),
        (shipped() + "{{ (spool ~ spool ~ spool) | tojson }}" * 1_000, "gives more than 65,536 bytes"),
    ],
)  # fmt: skip
def test_what_a_template_must_give(tmp_path: Path, text: str, why: str) -> None:
    assert why in refused(tmp_path, text)


def test_a_reason_must_be_one_of_the_five(tmp_path: Path) -> None:
    wrong = shipped(DONE_FILE).replace("{{ reason | tojson }}", '"because"')
    assert "reason: 'because' is not one of" in refused(tmp_path, wrong, DONE_FILE)


def test_what_is_no_template(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        templates(tmp_path / "nowhere")
    file = tmp_path / OPEN_FILE
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        templates(tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="it is no file"):
        templates(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="it is no file"):
        templates(tmp_path)
