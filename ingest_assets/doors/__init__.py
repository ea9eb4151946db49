"""The doors: ways in which people and agents use the index."""
