"""The command line.

What belongs here: arguments, what is printed, and exit statuses. Every command imports what it needs when
it runs, so that `ingest --help` and a search are quick.

Exit statuses: 0 done; 1 the run failed or the audit disagrees; 2 wrong usage, settings or something that
does not answer; 3 done, but items are parked.
"""

from ingest_assets.cli.app import main

__all__ = ["main"]
