"""Every setting there is, of the product and of the sources that it ships."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from ingest_assets.settings import FromEnvironment, Settings
from ingest_assets.sources.registry import load_sources


def kinds() -> list[type[FromEnvironment]]:
    """The classes of settings."""
    return [Settings, *(source.settings for source in load_sources().values() if source.settings)]


def fields() -> dict[str, FieldInfo]:
    """The settings by field name, which is the variable in lower case."""
    return {name: field for kind in kinds() for name, field in kind.model_fields.items()}


def load_all(settings: Settings) -> dict[str, object]:
    """The values of all settings, by field name. Raises ConfigurationError when one is wrong."""
    values = dict(settings)
    for source in load_sources().values():
        if source.settings:
            values |= dict(settings.of(source.settings))
    return values
