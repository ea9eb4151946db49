"""The thin Dagster adapters: assets, checks, jobs, schedules, sensors and resources of every source.

What belongs here: everything that imports dagster. What does not: any work; an adapter calls the library and
reports the outcome. (Modules that define assets, checks, schedules or sensors do not postpone annotations:
Dagster reads them when it sees the function.)
"""
