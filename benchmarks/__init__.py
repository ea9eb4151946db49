"""What it costs: whole processes on the sample CRM, as a user runs them.

What belongs here: measuring and printing. Nothing here is a test; figures go into docs/performance.md
with the command that gave them.
"""
