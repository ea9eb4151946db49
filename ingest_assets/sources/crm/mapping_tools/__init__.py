"""`ingest mapping`: drafting a mapping file, checking it, and showing what its documents will be.

- `schema`, `sample`, `facts`: what a database consists of.
- `words`, `roles`, `links`, `stores`, `kind`, `draft`: what it means. `written`: the first mapping file.
- `positions`, `partial`, `fit`, `check`: every fault of a file, with its line.
- `preview`: documents as they will read, and what becomes of values.
- `confined`: all of them read the database in a confined process, as a refresh does.

What belongs here: what a person needs before the first run. None of it needs a ledger, an index or Dagster.
"""
