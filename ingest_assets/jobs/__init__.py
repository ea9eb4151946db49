"""Background indexing jobs: clients start, watch and cancel them; each is run by one worker.

The table is the source of truth: a job is one row, which goes from pending to running to completed, failed or
cancelled, and never back. Every step is one conditional update, so many processes may try it at once.

- `queue`: what clients do: start, look up, list, cancel
- `workers`: what workers do: launch, take, end, find orphans, delete old jobs
- `progress`: how far a running job has come, and whether it must stop
- `events`, `event_log`: what happened within a job, in order, to be read again
- `streaming`: the same events where no ledger keeps them
- `definition`, `work`: what a source says of its jobs, and what a run does for one

What belongs here: rows and events. What does not: Dagster, HTTP, settings; and the indexing itself (stages).
"""
