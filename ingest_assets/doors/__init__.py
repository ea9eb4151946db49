"""The ways in for programs and people on other machines.

What belongs here: who may come in (`tokens`), how often (`limits`), and what the doors need of background
jobs (`jobs_port`), which all doors share; and a room for each door. What does not: what is done behind them.
"""
