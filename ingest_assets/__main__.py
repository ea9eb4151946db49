"""`python -m ingest_assets`: the command line, where its script is not on the path."""

from ingest_assets.cli import main

main()
