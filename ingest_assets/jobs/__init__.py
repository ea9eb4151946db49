"""Background indexing jobs: started by anybody, worked off by one worker each, watched and cancelled.

The table is the truth: a job is one row, which goes from pending to running to completed, failed or cancelled
and never back. Every step is one conditional update, so any number of processes may try it at once.

- `queue`: what clients do: start, look, list, cancel
- `workers`: what those do who run jobs: launch, take, settle, find orphans, forget
- `progress`: how far a running job is, and whether it is to stop
- `events`, `event_log`: what happened within a job, in order, to be read again
- `ingest`: a repository as a stream of these events

What belongs here: rows and events. What does not: Dagster, HTTP, settings; and the indexing itself (stages).
"""
