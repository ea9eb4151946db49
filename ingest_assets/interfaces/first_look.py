"""What a server says in its log when it starts: what keeps everything that it does from working.

What belongs here: saying it once. What does not: what is looked at (`queries.status.require_usable`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ingest_assets.model import IngestError
from ingest_assets.queries.status import require_usable
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

log = logging.getLogger(__name__)


def say_what_is_wrong(settings: Settings, more: Callable[[Workbench], None] = lambda _: None) -> None:
    """Look at the ledger and the store, then at `more`. It takes as long as they take to answer."""
    try:
        with Workbench(settings) as bench:
            require_usable(bench)
            more(bench)
    except IngestError as error:
        log.warning("%s", error)
