"""The command line, `ingest`.

What belongs here: arguments, output and exit statuses. What does not: the work itself. Every command imports
what it needs when it runs, so that `ingest --help` and a search are fast.

Exit statuses: 0 done; 1 a run failed, or an audit or `doctor` found something wrong; 2 wrong usage or
settings, or a system that does not respond; 3 done, but items are parked.
"""

from ingest_assets.interfaces.cli.app import main

__all__ = ["main"]
