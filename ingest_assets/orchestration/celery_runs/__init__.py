"""Runs on workers of Celery: the launcher that sends them, and the workers that take them."""
