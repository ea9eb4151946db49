"""When to look: jobs, the schedule and the sensors.

What belongs here: when, and why not now. What is done then is the stages' business.
"""
