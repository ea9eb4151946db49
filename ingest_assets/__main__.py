"""`python -m ingest_assets`: the command line, where its script is not on the path."""

from ingest_assets.interfaces.cli import main

main()
