"""E-mails, minutes, call logs and notes made of sentences, so that they read naturally and differ.

What belongs here: the grammar of a text, from `random.Random` alone. What does not: rows and records.
"""

# ruff: noqa: PLR2004 - the odds of made-up data need no names

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from ingest_assets.sources.crm.sample_words import Topic, vocabulary

T = TypeVar("T")

_GREETINGS = ("Dear {person},", "Hello {person},", "Hi {person},", "Good morning {person},")
_OPENINGS = (
    "Thank you for your time on the phone.", "I hope you are well.", "As discussed, here is where we stand.",
    "A short update from our side.", "Following up on our last conversation.", "Thanks for the quick reply.",
)  # fmt: skip
_CLOSINGS = ("Best regards,", "Kind regards,", "Many thanks,", "With best wishes,")
_CALL_OUTCOMES = (
    "Left a voicemail at first, then reached {person}.", "{person} called back.", "Short call with {person}.",
    "Spoke with {person} and {colleague} on the speaker.",
)  # fmt: skip
_LINKS = ("", "", "", "", "Also: ", "One more thing: ", "On another note: ")
_LONG_SHARE = 0.03
_LONG_CHARS = (3_000, 8_000)


class TextWriter:
    """Writes texts. The same random numbers give the same texts."""

    def __init__(self, rng: Random) -> None:
        self._random = rng.random
        self._words = vocabulary()

    def pick(self, options: Sequence[T]) -> T:
        # Three times as fast as Random.choice, and the same in every release of Python.
        return options[int(self._random() * len(options))]

    def number(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def interaction(self, kind: str, org: str, first_names: Sequence[str], sender: str) -> tuple[str, str]:
        """Subject and body of an e-mail, meeting, call or note with people of a company."""
        topic = self.pick(self._words.topics)
        slots = self.slots(org, first_names)
        subject = self.pick(topic.subjects).format_map(slots)
        write: Callable[[Topic, dict[str, str], str], str] = {
            "email": self._email,
            "meeting": self._meeting,
            "call": self._call,
            "note": self._note,
        }[kind]
        return subject[0].upper() + subject[1:], write(topic, slots, sender)

    def about_deal(self, org: str, first_names: Sequence[str]) -> str:
        """A note on an opportunity."""
        return self._paragraph(self.pick(self._words.topics), self.slots(org, first_names), self.number(2, 4))

    def slots(self, org: str, first_names: Sequence[str]) -> dict[str, str]:
        return {
            "org": org,
            "person": first_names[0],
            "colleague": first_names[-1],
            "product": self.pick(self._words.products),
            "site": self.pick(self._words.sites),
            "month": self.pick(self._words.months),
            "day": str(self.number(4, 20)),
            "n": str(self.number(6, 96)),
            "percent": str(self.number(2, 45)),
            "money": f"{self.number(2, 400) * 500:,} euros",
            "ref": f"{self.pick('ABCDEFGHKLMNPRST')}-{self.number(10_000, 99_999)}",
        }

    def _email(self, topic: Topic, slots: dict[str, str], sender: str) -> str:
        sentences = [self.pick(_OPENINGS)] if self._random() < 0.5 else []
        sentences.append(self._paragraph(topic, slots, self.number(2, 4)))
        sentences.append(self.pick(topic.asks).format_map(slots))
        greeting = self.pick(_GREETINGS).format_map(slots)
        return f"{greeting}\n\n{' '.join(sentences)}\n\n{self.pick(_CLOSINGS)}\n{sender}"

    def _meeting(self, topic: Topic, slots: dict[str, str], sender: str) -> str:
        paragraphs = [f"Meeting with {slots['org']} at {slots['site']}, minutes by {sender}."]
        paragraphs += [self._paragraph(topic, slots, self.number(2, 4))]
        for _ in range(self.number(0, 2)):
            other = self.pick(self._words.topics)
            paragraphs.append(self._paragraph(other, self._other(slots), self.number(2, 4)))
        paragraphs.append(f"Next step: {self.pick(topic.asks).format_map(slots)}")
        return "\n\n".join(paragraphs)

    def _call(self, topic: Topic, slots: dict[str, str], _sender: str) -> str:
        outcome = self.pick(_CALL_OUTCOMES).format_map(slots)
        return f"{outcome} {self._paragraph(topic, slots, self.number(1, 3))}"

    def _note(self, topic: Topic, slots: dict[str, str], sender: str) -> str:
        if self._random() >= _LONG_SHARE * 5:  # one interaction in five is a note
            return self._paragraph(topic, slots, self.number(2, 5))
        wanted = self.number(*_LONG_CHARS) - 400  # a section has about 400 characters
        sections = [f"Account review of {slots['org']}, written by {sender}."]
        length = len(sections[0])
        while length < wanted:
            about = self.pick(self._words.topics)
            text = self._paragraph(about, self._other(slots), self.number(4, 6))
            sections.append(f"{about.name.capitalize()}\n{text}")
            length += len(sections[-1]) + 2
        return "\n\n".join(sections)

    def _other(self, slots: dict[str, str]) -> dict[str, str]:
        return self.slots(slots["org"], (slots["colleague"], slots["person"]))

    def _paragraph(self, topic: Topic, slots: dict[str, str], sentences: int) -> str:
        """Distinct facts, in an order that varies from text to text."""
        facts = topic.facts
        start, step = int(self._random() * len(facts)), 1 + 4 * int(self._random() * 2)  # 5 is -1 modulo 6
        texts = [facts[(start + i * step) % len(facts)].format_map(slots) for i in range(sentences)]
        links = ["", *(self.pick(_LINKS) for _ in texts[1:])]
        return " ".join(f"{link}{text[0].upper()}{text[1:]}" for link, text in zip(links, texts, strict=True))
