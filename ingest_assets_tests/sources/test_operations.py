"""Which operations of sources are served, and what becomes of one that cannot work."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.operations import Arguments, Id, SourceStream
from ingest_assets.sources.registry import GROUP, Sources, join, load_sources
from ingest_assets_tests.support.letters import Letters, One, definition, operation


class Lenient(BaseModel):
    letter_id: Id


class Given(Arguments):
    letter_id: Id = "a"


class Endless(Arguments):
    text: str | None = None


class Many(Arguments):
    letters: list[Id]


class Wide(Arguments):
    endless: list[Endless] = Field(max_length=2)


class Number(Arguments):
    letter_id: int


class Nested(Arguments):
    inner: list[Number] = Field(max_length=2)


class Table(Arguments):
    by_name: dict[str, int] = Field(default_factory=dict)


class Simple(Arguments):
    letter_id: Id
    kinds: list[Literal["a", "b"]] | None = Field(None, max_length=2)
    sizes: list[int] = Field(default_factory=list, max_length=2)
    at: date | None = None
    on: Literal["vellum"] = "vellum"
    urgent: bool | None = None


@pytest.fixture
def entry() -> Iterator[Callable[[Any], EntryPoint]]:
    """An entry point of a module that is made for the test."""
    made: list[str] = []

    def one(value: Any) -> EntryPoint:
        name = f"package_of_operations_{len(made)}"
        module = ModuleType(name)
        module.SOURCE = value  # type: ignore[attr-defined]
        sys.modules[name] = module
        made.append(name)
        return EntryPoint("source", f"{name}:SOURCE", GROUP)

    yield one
    for name in made:
        del sys.modules[name]


def run(*_given: object) -> Any:
    pytest.fail("called")


RIGHT = operation(run, "letters_of_all", "/letters/all")
WRONG: list[tuple[Any, str]] = [
    ("show_letter", "an operation cannot be of the type str"),
    (operation(run, "Show letter", "/letters"), "'Show letter' has a name that is not made of"),
    (operation(run, "a" * 65, "/letters"), "has a name that is not made of"),
    (operation(run, "search", "/letters"), "'search' has the name of a tool that there is"),
    (operation(run, "letters_of_all", "/letters"), "has the name of one of the source letters"),
    (operation(run, "show", "letters"), "has a path 'letters' that is not made of parts"),
    (operation(run, "show", "/"), "has a path '/'"),
    (operation(run, "show", "/letters/"), "has a path '/letters/'"),
    (operation(run, "show", "/Letters"), "has a path '/Letters'"),
    (operation(run, "show", "/letters/{id:path}"), "has a path '/letters/{id:path}'"),
    (operation(run, "show", "/{letter_id}", takes=One), "has a path '/{letter_id}'"),
    (operation(run, "show", "/letters/../jobs"), "has a path '/letters/../jobs'"),
    (operation(run, "show", "/letters\n"), "has a path"),
    (operation(run, "show", "/jobs/all"), "has a path below /jobs, where the server has paths"),
    (operation(run, "show", "/mcp"), "has a path below /mcp"),
    (operation(run, "show", "/letters/all"), "has the path of 'letters_of_all', with the same method"),
    (operation(run, "show", "/letters", method="PATCH"), r"a method \('PATCH'\)"),
    (operation(run, "show", "/letters", scope="all"), r"a scope \('all'\)"),
    (operation(run, "show", "/letters", status=204), r"a status \(204\)"),
    (operation(run, "show", "/letters", method="DELETE"), "only reads by its scope"),
    (operation(run, "show", "/letters", destructive=True), "only reads by its scope"),
    (operation(run, "show", "/letters", scope="write"), "which a GET must not"),
    (
        operation(run, "show", "/letters", scope="gate", method="POST"),
        "is for agents, which may not open gates",
    ),
    (operation(run, "show", "/letters/{letter_id}"), "'letter_id' in its path, which is not an argument"),
    (operation(run, "show", "/letters/{letter_id}", takes=Given), "'letter_id' in its path"),
    (operation(run, "show", "/letters/{letter_id}", takes=Number), "'letter_id' in its path"),
    (operation(run, "show", "/letters/{letter_id}/{letter_id}", takes=One), "a name in its path twice"),
    (operation(run, "show", "/letters", takes=Lenient), "ignores unknown arguments"),
    (operation(run, "show", "/letters", takes=Endless), "takes 'text' without a bound"),
    (operation(run, "show", "/letters", takes=Many), "takes 'letters' without a bound"),
    (
        operation(run, "show", "/letters", takes=Wide, method="POST", scope="write"),
        "takes 'text' without a bound",
    ),
    (operation(run, "show", "/letters", takes=Nested), "takes inner, which cannot be in a query"),
    (operation(run, "show", "/letters", takes=Table), "takes by_name, which cannot be in a query"),
    (operation(run, "show", "/letters", takes=str), "has takes that are not a model"),
    (operation(run, "show", "/letters", answers="text"), "has answers that are not a model"),
    (operation("run", "show", "/letters"), "has a run of the type str"),
    (operation(run, "show", "/letters", title=" "), "lacks a title"),
    (operation(run, "show", "/letters", description=None), "lacks a description"),
    (replace(RIGHT, name=None), "None lacks a name"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("wrong", "why"), WRONG, ids=[f"{i}-{why[:40]}" for i, (_, why) in enumerate(WRONG)])
def test_one_that_cannot_work_is_left_out_and_the_others_work(
    entry: Callable[[Any], EntryPoint], wrong: Any, why: str
) -> None:
    last = operation(run, "last_letter", "/letters/last")
    sources = joined(entry(definition(operations=lambda: (RIGHT, wrong, last))))
    with pytest.warns(UserWarning, match=f"operation of the package package_of_operations_0 is left.*{why}"):
        found = sources.operations()
    assert found[-2:] == [RIGHT, last]
    assert "letters" in sources  # the source itself works


@pytest.mark.parametrize(("wrong", "why"), WRONG[:3])
def test_one_of_a_source_that_ships_is_not_hidden(wrong: Any, why: str) -> None:
    sources = Sources([definition(operations=lambda: (RIGHT, wrong))])
    with pytest.raises(ConfigurationError, match=f"The source letters cannot be used: .*{why}"):
        sources.operations()


def raising() -> Any:
    raise LookupError("no operations")


@pytest.mark.parametrize("operations", [raising, lambda: 7], ids=["raises", "no sequence"])
def test_a_source_that_cannot_say_which_it_has(entry: Callable[[Any], EntryPoint], operations: Any) -> None:
    sources = joined(entry(definition(operations=operations)))
    with pytest.warns(UserWarning, match="is left out: it cannot be used"):
        assert sources.operations() == load_sources().operations()


def test_two_sources_share_no_name_and_no_place(entry: Callable[[Any], EntryPoint]) -> None:
    def faxes() -> Any:
        return (
            operation(run, "letters_of_all", "/faxes/all"),
            operation(run, "show_fax", "/letters/faxes"),
            operation(run, "list_faxes", "/faxes"),
        )

    letters = entry(definition(operations=lambda: (RIGHT,)))
    names = {"name": "faxes", "collection": "", "refresh_job": "", "build_job": ""}
    with pytest.warns(UserWarning, match="left out") as said:
        found = joined(letters, entry(definition(**names, operations=faxes))).operations()
    assert [each.name for each in found[-2:]] == ["letters_of_all", "list_faxes"]
    assert "'letters_of_all' has the name of one of the source letters" in str(said[0].message)
    assert "'show_fax' has a path below /letters, which the source letters has" in str(said[1].message)


def test_other_names_in_the_same_path(entry: Callable[[Any], EntryPoint]) -> None:
    class Other(Arguments):
        id: Id

    two = (
        operation(run, "show_letter", "/letters/{letter_id}", takes=One),
        operation(run, "shred", "/letters/{id}", takes=Other, method="DELETE", scope="write"),
    )
    with pytest.warns(UserWarning, match="the path of 'show_letter', with the same method or"):
        joined(entry(definition(operations=lambda: two))).operations()


def test_those_that_can_work(entry: Callable[[Any], EntryPoint]) -> None:
    simple = operation(run, "simple", "/letters/{letter_id}/simple", takes=Simple)
    made = (*Letters().operations(), simple)
    sources = joined(entry(definition(operations=lambda: made)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sources.operations()[-len(made) :] == list(made)
    assert (simple.in_path, simple.place, simple.shape) == (
        ("letter_id",),
        "letters",
        "/letters/{}/simple",
    )


def stream(**changes: Any) -> SourceStream:
    made: dict[str, Any] = {
        "name": "letter_events",
        "title": "Follow letters",
        "description": "Each letter as it comes.",
        "scope": "read",
        "path": "/letters/events",
        "after": run,
        "newest": run,
    }
    return SourceStream(**made | changes)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("letter_events", "a stream cannot be of the type str"),
        (stream(name="Letter events"), "'Letter events' has a name that is not made of"),
        (stream(name="letters_of_all"), "has the name of one of the source letters"),
        (stream(title=""), "lacks a title"),
        (stream(path="letters"), "has a path 'letters' that is not made of"),
        (stream(path="/letters/{letter_id}/events"), "with names in it"),
        (stream(path="/letters/all"), "has the path of 'letters_of_all', with the same method"),
        (stream(path="/jobs/all"), "has a path below /jobs"),
        (stream(path="/papers/events"), "has a path below /papers, which the source papers has"),
        (stream(scope="all"), r"a scope \('all'\)"),
        (stream(after=None), "has after of the type NoneType"),
        (stream(newest=1), "has newest of the type int"),
    ],
)
def test_a_stream_that_cannot_work_is_left_out_and_the_others_work(
    entry: Callable[[Any], EntryPoint], wrong: Any, why: str
) -> None:
    last = stream(name="last_events", path="/letters/last")
    sources = joined(entry(definition(operations=lambda: [RIGHT], streams=lambda: [wrong, last])))
    with pytest.warns(UserWarning, match=f"A stream of the package package_of_operations_0 is left.*{why}"):
        found = sources.streams()
    assert found[-1] == last
    with pytest.warns(UserWarning, match="A stream"):
        assert sources.operations()[-1] == RIGHT
    built_in = Sources([definition(operations=lambda: [RIGHT], streams=lambda: [wrong])])
    if "papers" not in why:
        with pytest.raises(ConfigurationError, match=f"The source letters cannot be used: .*{why}"):
            built_in.streams()


def joined(*entries: EntryPoint) -> Sources:
    return join(load_sources().values(), entries)


def test_those_of_the_sources_that_ship() -> None:
    """An agent chooses by them; none may be called by accident."""
    for each in load_sources().operations():
        assert len(each.description) > 80, each.name
        assert not each.for_agents or "Example: {" in each.description, each.name
        assert each.answers.model_json_schema(mode="serialization")["type"] == "object"
