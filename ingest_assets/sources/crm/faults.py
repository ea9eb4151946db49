"""What is wrong with a mapping file: each fault with its place in the file.

What belongs here: faults, and pydantic's errors in our words. What does not: finding faults (`mapping`,
`extract`), and lines (`mapping_tools`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError

Where = tuple[int | str, ...]  # from the top of the file: ("documents", 0, "header", "Place")

_KEY = "[key]"  # pydantic's mark of an error in a key, not in its value
_QUERY, _LISTED = "ValuesQuery", "function-before["  # of the two forms that a value may have
_MESSAGES = {
    "extra_forbidden": "there is no such key",
    "tuple_type": "must be a text or a list of texts",
    "string_type": "must be a text",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
}


class Fault(NamedTuple):
    where: Where
    message: str


class FaultsError(ValueError):
    """Parts of a mapping that are right by themselves, and wrong together."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


def require(faults: Iterable[Fault]) -> None:
    """Raises FaultsError unless there are none."""
    if found := list(faults):
        raise FaultsError(found)


def faults_of(error: ValidationError, data: dict[str, Any]) -> list[Fault]:
    """All that pydantic found, in the order of the file's structure."""
    return [fault for detail in error.errors() for fault in _faults_of(detail, data)]


def _faults_of(detail: Any, data: dict[str, Any]) -> Iterator[Fault]:
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, FaultsError):
        yield from raised.faults
        return
    if detail["type"] == "too_short" and detail["loc"] == ("documents",) and data.get("documents"):
        return  # those there are have faults of their own
    forms = [part for part in detail["loc"] if _is_form(part)]
    where = tuple(part for part in detail["loc"] if part != _KEY and not _is_form(part))
    # Of two forms, the faults of the one that the file has.
    if forms and (forms[0] == _QUERY) != isinstance(
        value_at(data, where[: detail["loc"].index(forms[0])]), dict
    ):
        return
    message = str(detail["msg"]).removeprefix("Value error, ")
    yield Fault(where, _MESSAGES.get(detail["type"], message))


def _is_form(part: int | str) -> bool:
    return isinstance(part, str) and (part == _QUERY or part.startswith(_LISTED))


def value_at(data: Any, where: Where) -> Any:
    """The value at a place; None if there is none."""
    for part in where:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def place_of(where: Where, data: dict[str, Any]) -> str:
    """A place in words: '[[documents]] number 2 "people", key title'."""
    match where:
        case ["documents", int(index), *rest]:
            entry = value_at(data, ("documents", index))
            name = entry.get("name") if isinstance(entry, dict) else None
            place = f"[[documents]] number {index + 1}" + (f' "{name}"' if name else "")
            key = ".".join(str(part) for part in rest)
            return f"{place}, key {key}" if key else place
        case _:
            return ".".join(str(part) for part in where) or "the file"
