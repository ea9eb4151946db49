"""Settings that can be read, and yet are hardly meant as they are: each process names them when it starts.

They are misspelt, or mean nothing without another one, which was forgotten, or lost.

What belongs here: naming them, in one place for all who do. What does not: which settings need another one
(`NEEDS` of each class of settings), and combinations that nothing can work with, which are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from ingest_assets.model import ConfigurationError
from ingest_assets.settings import FromEnvironment, Settings, load_settings
from ingest_assets.sources.misspelt import misspelt_settings
from ingest_assets.sources.registry import Sources

# Of a property, the variable that people set.
_VARIABLES = {"embed_url": "SPARK_CONTROL_URL"}


def doubtful_settings(sources: Sources, settings: Settings | None = None) -> list[str]:
    """A sentence each. `settings` are by default as they are now, those of sources included.

    Settings that cannot be read are left to whoever uses them, and reports them.
    """
    return [*map(str, misspelt_settings(sources)), *_half_set(sources, settings)]


def _half_set(sources: Sources, settings: Settings | None) -> Iterator[str]:
    try:
        settings = settings or load_settings()
    except ConfigurationError:
        return
    yield from _without_effect(settings)
    for source in sources.values():
        if source.settings is not None:
            try:
                yield from _without_effect(settings.of(source.settings))
            except ConfigurationError:
                continue


def _without_effect(settings: FromEnvironment) -> Iterator[str]:
    for needed, names in settings.NEEDS.items():
        alone = [name.upper() for name in names if getattr(settings, name)]
        if alone and not getattr(settings, needed):
            without = _VARIABLES.get(needed, needed.upper())
            yield f"{without} is not set, and without it these have no effect: {', '.join(alone)}."
