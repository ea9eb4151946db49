"""Passes 2 and 3: the bundles of all papers to entities that are merged, and to the graph's files."""
