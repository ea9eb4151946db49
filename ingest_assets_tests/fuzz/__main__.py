"""The command: run targets until the time is up, or one input again.

What belongs here: arguments and what is printed.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from random import Random

from ingest_assets_tests.fuzz.running import Outcome, run, try_all
from ingest_assets_tests.fuzz.target import Place, Target
from ingest_assets_tests.fuzz.targets import TARGETS
from ingest_assets_tests.support.built_index import Home, new_home

_SECONDS = 4.0


def main() -> int:
    """Returns the exit status: 1 if anything was found."""
    chosen = _arguments()
    faulthandler.enable()
    logging.disable()  # every refused request would be a line
    print(f"Seed {chosen.seed}; inputs that find something are saved in {chosen.findings}.")
    found = 0
    with tempfile.TemporaryDirectory(prefix="fuzz") as scratch:
        for name in chosen.targets or TARGETS:
            if chosen.coverage:
                _covered(TARGETS[name], _place(Path(scratch), name), chosen.seconds)
            outcome = _run(TARGETS[name], _place(Path(scratch), name), chosen)
            for finding in outcome.findings:
                print(finding)
            found += len(outcome.findings)
            said = f"{outcome.tried:>7,} inputs, {outcome.taken:>7,} taken, {len(outcome.findings)} findings"
            print(f"{name:<24}{said}", flush=True)
    return 1 if found else 0


def _run(target: Target, place: Place, chosen: argparse.Namespace) -> Outcome:
    if chosen.input:
        return try_all(target, place, chosen.findings, iter([chosen.input.read_bytes()]))
    return run(target, place, chosen.findings, chosen.seed, _for(chosen.seconds))


def _for(seconds: float) -> Callable[[int], bool]:
    """From the first question on: opening a target may take longer than trying it."""
    ends: list[float] = []

    def go_on(_number: int) -> bool:
        ends[:] = ends or [time.monotonic() + seconds]
        return time.monotonic() < ends[0]

    return go_on


def _covered(target: Target, place: Place, seconds: float) -> None:
    """As libFuzzer does it, through atheris, which is not a dependency; does not return.

    Its own messages say what it found, and where it saved the input.
    """
    import atheris

    stack = ExitStack()
    corpus = place.folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.inputs()):
        (corpus / str(number)).write_bytes(data)
    parse = stack.enter_context(target.open(place))

    def one(data: bytes) -> None:
        try:
            parse(data)
        except target.allowed:
            return

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], str(corpus), f"-max_total_time={seconds:.0f}"], one)
    atheris.Fuzz()


def _place(scratch: Path, name: str) -> Place:
    folder = scratch / name
    folder.mkdir()
    return Place(folder, lambda: _home(scratch))


@cache
def _home(scratch: Path) -> Home:
    home = new_home(scratch / "home", documents=10)
    assert home.build().success
    return home


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ingest_assets_tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default all: {', '.join(TARGETS)}")
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="for each target (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=Random().randrange(1 << 32), help="repeats a run")
    parser.add_argument("--input", type=Path, help="try this file only, with one target")
    parser.add_argument("--findings", type=Path, default=Path(".fuzz"), help="a folder (default %(default)s)")
    parser.add_argument(
        "--coverage", action="store_true", help="guided by coverage: one target; needs atheris"
    )
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.targets if name not in TARGETS]:
        parser.error(f"no target {unknown[0]}. Targets: {', '.join(TARGETS)}")
    if (chosen.input or chosen.coverage) and len(chosen.targets) != 1:
        parser.error("--input and --coverage need one target")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
