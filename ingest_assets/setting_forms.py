"""The forms that values of settings have, where a type and bounds do not say it.

What belongs here: reading a value's text, and the sentence that says what it must be. What does not: the
settings themselves (`settings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr

# Who may do what over HTTP: NAME:TOKEN:SCOPE, several scopes joined by +; for a token that is bound also
# :PROJECTS and :SOURCES. A token consists of characters that HTTP allows in one, and is too long to guess.
UI_TOKEN = re.compile(r"[\w.-]{1,64}:[A-Za-z0-9._~/=-]{20,256}")
_SCOPE = "(read|ingest|write|gate)"
# What a token is bound to: projects, then sources, each joined by +. In names, what has a meaning in the
# setting is percent-encoded.
_NAME = r"(?:%[0-9A-Fa-f]{2}|[^\s:,+%])+"
_NAMES = rf"{_NAME}(\+{_NAME})*"
_BOUND = rf":{_NAMES}(:{_NAMES})?|::{_NAMES}"
API_TOKEN = re.compile(rf"[\w.-]{{1,64}}:[A-Za-z0-9._~/=-]{{20,256}}:{_SCOPE}(\+{_SCOPE})*({_BOUND})?")

_OFF = "off"
_LIMIT = re.compile(rf"(?P<share>[01]|[01]?\.\d{{1,9}}):(?P<count>\d{{1,9}})|{_OFF}")


@dataclass(frozen=True, slots=True)
class RemovalLimit:
    """How much may leave with one run: a share of the documents, and a number of them."""

    share: float
    count: int

    def exceeded(self, gone: int, of: int) -> bool:
        """Whether a loss is above both."""
        return gone > self.count and gone > self.share * of


# No loss is more than everything.
UNLIMITED = RemovalLimit(1.0, 0)


def callers(value: SecretStr | None, entry_form: re.Pattern[str], form: str) -> SecretStr | None:
    """Who may call, one entry each, with no name and no token twice."""
    # No empty entry is overlooked: one may be missing there.
    entries = [part.strip() for part in value.get_secret_value().split(",")] if value else []
    if not all(entry_form.fullmatch(entry) for entry in entries):
        raise ValueError(f"must be {form}")
    for part, what in enumerate(("name", "token")):
        if len({entry.split(":")[part] for entry in entries}) < len(entries):
            raise ValueError(f"must not give a {what} twice")
    return value


def removal_limits(entries: Iterable[str]) -> dict[tuple[str, str], RemovalLimit]:
    """Limits by source and kind; the kind "" stands for the source. Raises ValueError."""
    limits: dict[tuple[str, str], RemovalLimit] = {}
    for entry in entries:
        name, equals, text = entry.rpartition("=")
        found = _LIMIT.fullmatch(text.strip())
        source, _, kind = name.strip().partition("/")
        if not equals or not source or found is None:
            raise ValueError(
                "must be entries of the form SOURCE=SHARE:COUNT, SOURCE/KIND=SHARE:COUNT or SOURCE=off, "
                "separated by commas, with a share from 0 to 1: for example mail/letter=0.5:100, mail=off"
            )
        own = UNLIMITED if text.strip() == _OFF else RemovalLimit(float(found["share"]), int(found["count"]))
        limits[source, kind] = own
    return limits
