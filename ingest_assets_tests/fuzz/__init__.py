"""Fuzzing: parsers of bytes that others made are given damaged ones, and may refuse them, and nothing else.

    python -m ingest_assets_tests.fuzz [TARGET ...] [--seconds N] [--seed N]

A finding is an exception that is not one of ours, a hang, too much memory, or a broken promise of the parser.

- `target`: what a target is.
- `targets`: the targets, by the part of the product that they are about.
- `mutation`: damaged inputs, made from valid ones.
- `running`: giving them to a target, within bounds, and keeping what is found.

Hypothesis does not drive this: its `fuzz_one_input` reads the given bytes as its own choices, so saved inputs
in a parser's own format would mean nothing to it. Where a parser takes values, tests use Hypothesis.
"""
