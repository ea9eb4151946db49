"""What each run or command of a test makes anew, made once per test process where it is the same each time.

The product makes these parts once per process, and a test process runs hundreds of commands and runs. Tests
of the parts themselves make their own: models in other folders, processes that load models ahead,
certificates of their own.

What belongs here: keeping what is the same each time. What does not: replacing any of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest


def keep_parts(patch: pytest.MonkeyPatch) -> None:
    """For the duration of the patch."""
    _keep_models(patch)
    _keep_commands(patch)
    _keep_certificates(patch)


def _keep_models(patch: pytest.MonkeyPatch) -> None:
    """The models of the package. A process that loads them ahead saves time only where this one has none."""
    from ingest_assets.embedding import bm25, bundled, preload

    load = cache(bundled.BundledModel.__dict__["_model"].func)
    ours = bundled.BundledModel()

    def model(self: bundled.BundledModel) -> Any:
        return load(ours if self._folder == bundled.FOLDER else self)

    patch.setattr(bundled.BundledModel, "_model", property(model))
    patch.setattr(bm25, "TermWeights", cache(bm25.TermWeights))
    patch.setattr(preload, "available_cores", lambda: 1)


def _keep_commands(patch: pytest.MonkeyPatch) -> None:
    """The tree of commands, which takes longer to make than most of them to run."""
    import typer.main

    patch.setattr(typer.main, "get_command", cache(typer.main.get_command))


def _keep_certificates(patch: pytest.MonkeyPatch) -> None:
    """The certificates that HTTP clients trust by default: reading them takes longer than many requests."""
    from httpx._transports import default

    create: Callable[..., Any] = vars(default)["create_ssl_context"]
    kept: dict[tuple[str | None, ...], Any] = {}

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
        if verify is not True or cert is not None:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        named = ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env else ()
        key = tuple(os.environ.get(name) for name in named)
        if key not in kept:
            kept[key] = create(verify=verify, cert=cert, trust_env=trust_env)
        return kept[key]

    patch.setattr(default, "create_ssl_context", context)
