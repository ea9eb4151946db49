"""Time zones by their names in the IANA database.

What belongs here: a name to a zone. What does not: whose zone it is (`queries.asked`).
"""

from __future__ import annotations

from zoneinfo import ZoneInfo


def zone_named(name: str) -> ZoneInfo:
    """The zone with a name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # unknown, a folder of zones, or no name
        raise ValueError(
            f"there is no time zone {name!r}; zones are named as Europe/Berlin is, or UTC"
        ) from None


def known_zone(name: str) -> str:
    """The name. Raises ValueError."""
    zone_named(name)
    return name
