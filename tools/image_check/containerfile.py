"""Reads deploy/image/Containerfile: the subset of the format that the project's own uses.

What belongs here: what the file says. What does not: carrying it out (`rootfs`).
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from ingest_assets.model import IngestError

# They change what is started, not what is in the image.
_OF_THE_START = ("USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "LABEL", "CMD", "ENTRYPOINT")


@dataclass(frozen=True, slots=True)
class Copy:
    """Files of the checkout, or of an earlier stage, and where they go."""

    stage: str  # "" for the checkout
    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and what follows it, in order."""

    name: str
    base: str  # an earlier stage, or an image
    steps: list[Copy | str] = field(default_factory=list)  # a str: a shell command
    environment: dict[str, str] = field(default_factory=dict)
    start: dict[str, list[str]] = field(default_factory=dict)  # the arguments of each other instruction


def stages(text: str) -> list[Stage]:
    """The stages, the image's own last. Raises IngestError for an instruction that is not known here."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE))
    for line in filter(None, (each.strip() for each in joined.splitlines())):
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            for name, value in arguments.items():
                rest = rest.replace(f"${{{name}}}", value)
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name, base))
        else:
            _add(found[-1], word, rest)
    return found


def _add(stage: Stage, word: str, rest: str) -> None:
    if word == "COPY":
        *options, last = shlex.split(rest)
        source = "".join(each.removeprefix("--from=") for each in options if each.startswith("--from="))
        stage.steps.append(Copy(source, tuple(each for each in options if each[:2] != "--"), last))
    elif word == "RUN":
        stage.steps.append(rest)
    elif word == "ENV":
        name, _, value = rest.partition("=")
        stage.environment[name] = value
    elif word in _OF_THE_START:
        stage.start.setdefault(word, []).append(rest)
    else:
        raise IngestError(f"Containerfile: tools/image_check does not know {word}.")


def words(stage: Stage, instruction: str) -> list[str]:
    """The arguments of ENTRYPOINT or CMD, which are a JSON list."""
    return [str(each) for each in json.loads(stage.start[instruction][-1])]
