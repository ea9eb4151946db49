"""One short file in each language, written for these tests, with the symbols that a reader sees in it."""

from __future__ import annotations

from ingest_assets_tests.chunking.code.samples import data, managed, scripts, systems

# language: (file, (kind, qualified name) of each symbol)
SAMPLES = scripts.SAMPLES | systems.SAMPLES | managed.SAMPLES | data.SAMPLES
