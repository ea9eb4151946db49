"""Which sources join, and what becomes of one that cannot work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import load_settings
from ingest_assets.sources import chunks_stage, documents_stage, record_chunker
from ingest_assets.sources.definition import Partitioning, SourceDefinition, Triggers, Words
from ingest_assets.sources.registry import GROUP, Sources, join, load_sources
from ingest_assets.workbench import Workbench

Definition = Callable[..., SourceDefinition]


def definition(**changes: Any) -> SourceDefinition:
    made = SourceDefinition(
        name="mail",
        title="Mail",
        words=Words(about="messages"),
        open=lambda _bench, _part: pytest.fail("opened"),
        missing=lambda _bench: None,
        stages=(documents_stage("messages", "One row per message."), chunks_stage("messages")),
        chunker=record_chunker,
        attributes=("sender", "size"),
        fields=(
            FilterField(name="sender", description="Who wrote it."),
            FilterField(name="size", type="number", description="Bytes."),
        ),
    )
    return replace(made, **changes)


@pytest.fixture
def entry() -> Iterator[Callable[[Any], EntryPoint]]:
    """An entry point of a module that is made for the test."""
    made: list[str] = []

    def one(value: Any) -> EntryPoint:
        name = f"package_{len(made)}"
        module = ModuleType(name)
        module.SOURCE = value  # type: ignore[attr-defined]
        sys.modules[name] = module
        made.append(name)
        return EntryPoint("source", f"{name}:SOURCE", GROUP)

    yield one
    for name in made:
        del sys.modules[name]


def joined(*entries: EntryPoint) -> Sources:
    return join(load_sources().values(), entries)


def test_a_source_of_another_package_joins_after_those_that_ship(
    entry: Callable[[Any], EntryPoint],
) -> None:
    sources = joined(entry(definition()))
    assert list(sources) == [*load_sources(), "mail"]
    assert sources.left_out == []
    mail = sources["mail"]
    assert (mail.collection, mail.refresh_job, mail.build_job) == (
        "mail_chunks",
        "refresh_mail",
        "build_mail",
    )
    assert mail.stage_names == ("messages", "chunks", "dense_vectors", "sparse_vectors", "collection")


MESSAGES = documents_stage("messages", "One row per message.")
WRONG = [
    ({"interface": 99}, "was written for version 99 of the interface"),
    ({"name": "Mail box"}, "its name 'Mail box' is not made of up to 40 lower-case"),
    ({"collection": "../x"}, "its collection's name '../x'"),
    ({"stages": ()}, "lacks a stage that reads"),
    ({"stages": (MESSAGES,)}, "lacks a stage 'chunks'"),
    ({"stages": (chunks_stage("messages"),)}, "lacks a stage 'chunks' after"),
    ({"stages": (MESSAGES, MESSAGES, chunks_stage("messages"))}, "stage 'messages' has a name that is taken"),
    (
        {"stages": (replace(MESSAGES, name="collection"), chunks_stage("collection"))},
        "stage 'collection' has a name",
    ),
    ({"stages": (MESSAGES, chunks_stage("letters"))}, "depends on 'letters'"),
    ({"fields": (FilterField(name="Sender", description="x"),)}, "filter field 'Sender'"),
    ({"fields": (FilterField(name="kind", description="x"),)}, "'kind' is one that every source has"),
    ({"fields": (FilterField(name="query", description="x"),)}, "'query' has a name that requests use"),
    ({"fields": (FilterField(name="subject", description="x"),)}, "'subject' is not one of the attributes"),
    (
        {"fields": (FilterField(name="sender", type="colour", description="x"),)},  # type: ignore[arg-type]
        r"a type \('colour'\)",
    ),
    (
        {"fields": (FilterField(name="size", description="x"),) * 2},
        "filter field 'size' is there twice",
    ),
    ({"stages": (replace(MESSAGES, in_parts=True), chunks_stage("messages"))}, "'messages' is in parts, but"),
    ({"partitions": Partitioning(noun="sub folder", parts=lambda _bench: ())}, "called 'sub folder'"),
    ({"partitions": Partitioning(noun="source", parts=lambda _bench: ())}, "called 'source'"),
    ({"title": None}, "its title cannot be of the type NoneType"),
    ({"fields": ("sender",)}, "its fields are not a tuple of FilterField"),
    ({"missing": "nothing"}, "its missing cannot be of the type str"),
    ({"name": 7}, "its name cannot be of the type int"),
    ({"name": "crm"}, "its name 'crm' is that of another source"),
    ({"collection": "crm_chunks"}, "its collection 'crm_chunks' is that of another source"),
    ({"refresh_job": "index_repository"}, "'index_repository' is that of the source repositories"),
    (
        {
            "attributes": ("language",),
            "fields": (FilterField(name="language", type="number", description="x"),),
        },
        "'language' is a number, but a keyword in the source repositories",
    ),
]


@pytest.mark.parametrize(("changes", "why"), WRONG, ids=[why[:40] for _, why in WRONG])
def test_one_that_cannot_work_is_left_out_and_the_others_work(
    entry: Callable[[Any], EntryPoint], changes: dict[str, Any], why: str
) -> None:
    names = {"name": "mail", "collection": "", "refresh_job": "", "build_job": ""}
    other = entry(definition(name="fax", collection="", refresh_job="", build_job=""))
    sources = joined(entry(definition(**(names | changes))), other)
    assert list(sources) == [*load_sources(), "fax"]
    [left_out] = sources.left_out
    assert str(left_out).startswith("The source of the package package_")
    with pytest.raises(ConfigurationError, match=why):
        raise ConfigurationError(str(left_out))


def test_one_that_raises_while_it_is_loaded_is_left_out() -> None:
    broken = EntryPoint("source", "a_package_that_is_not_there:SOURCE", GROUP)
    sources = joined(broken)
    assert list(sources) == list(load_sources())
    assert "a_package_that_is_not_there" in str(sources.left_out[0])
    assert "cannot be loaded (ModuleNotFoundError" in str(sources.left_out[0])


def test_what_is_no_definition_is_left_out(entry: Callable[[Any], EntryPoint]) -> None:
    sources = joined(entry("a text"))
    assert "is not a SourceDefinition" in str(sources.left_out[0])


@pytest.mark.parametrize("of", ["schedule", "sensor"])
@pytest.mark.parametrize(
    "taken", ["audit_search_index", "indexing_jobs_sensor", "build_search_index", "crm_change_sensor"]
)
def test_names_that_dagster_has_already(entry: Callable[[Any], EntryPoint], of: str, taken: str) -> None:
    triggers = Triggers(schedule=taken) if of == "schedule" else Triggers(sensor=taken)
    [left_out] = joined(entry(definition(triggers=triggers))).left_out
    assert f"its job, schedule or sensor {taken!r} is" in str(left_out)


def broken(_settings: object) -> int:
    raise ZeroDivisionError("an interval of nothing")


def test_one_that_fails_when_it_is_used_is_left_out_from_then_on(
    entry: Callable[[Any], EntryPoint],
) -> None:
    fax = definition(name="fax", collection="", refresh_job="", build_job="")
    sources = joined(entry(definition(triggers=Triggers(interval_min=broken))), entry(fax))
    schedules = sources.derive(lambda source: source.triggers.interval_min(load_settings()))
    assert len(schedules) == len(load_sources()) + 1  # of fax
    assert list(sources) == [*load_sources(), "fax"]
    [left_out] = sources.left_out
    assert "it cannot be used (ZeroDivisionError: an interval of nothing)" in str(left_out)


def no_fields(_settings: object) -> tuple[FilterField, ...]:
    raise LookupError("no fields")


@pytest.mark.parametrize(
    ("more_fields", "why"),
    [
        (no_fields, r"LookupError: no fields"),
        (lambda _: (FilterField(name="Not a name", description="x"),), "'Not a name' has a name or a type"),
        (
            lambda _: (FilterField(name="language", type="flag", description="x"),),
            "is a flag, but a keyword in the source repositories",
        ),
    ],
    ids=["raise", "name", "clash"],
)
def test_fields_that_depend_on_settings_and_cannot_be_used(
    entry: Callable[[Any], EntryPoint], more_fields: Any, why: str
) -> None:
    sources = joined(entry(definition(more_fields=more_fields)))
    with pytest.warns(UserWarning, match=why):
        sources.check_fields(load_settings())
    assert list(sources) == list(load_sources())


def test_a_source_that_cannot_say_what_it_lacks(entry: Callable[[Any], EntryPoint]) -> None:
    sources = joined(entry(definition(missing=broken)))
    with Workbench(load_settings(), sources) as bench:
        assert "ZeroDivisionError" in str(bench.missing("mail"))
        assert bench.missing("crm") is not None  # is not configured here


def test_a_fault_of_a_source_that_ships_is_not_hidden() -> None:
    sources = Sources([definition(triggers=Triggers(interval_min=broken))])
    with pytest.raises(ZeroDivisionError):
        sources.derive(lambda source: source.triggers.interval_min(load_settings()))


def test_two_of_one_name_leave_the_first(entry: Callable[[Any], EntryPoint]) -> None:
    sources = joined(entry(definition(title="First")), entry(definition(title="Second")))
    assert sources["mail"].title == "First"
    assert len(sources.left_out) == 1


def test_a_source_that_there_is_not() -> None:
    known = ", ".join(load_sources())
    with pytest.raises(ConfigurationError, match=rf"There is no source 'fax'\. Sources: {known}"):
        load_sources()["fax"]
