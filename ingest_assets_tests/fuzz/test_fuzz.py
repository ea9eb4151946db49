"""Every target copes with a few damaged inputs, always the same ones; and the fuzzer finds what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from ingest_assets.model import ItemError
from ingest_assets_tests.fuzz import running
from ingest_assets_tests.fuzz.mutation import mutated
from ingest_assets_tests.fuzz.running import Outcome, run, try_all
from ingest_assets_tests.fuzz.target import SEEDS, Parse, Place, Target, plain
from ingest_assets_tests.fuzz.targets import TARGETS
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import built_once

__all__ = ["built_once"]
SEED = 1


@pytest.mark.parametrize("name", TARGETS)
def test_only_refusals(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    def home() -> Home:
        return request.getfixturevalue("built_once")  # type: ignore[no-any-return]

    target = TARGETS[name]
    (tmp_path / "work").mkdir()
    place = Place(tmp_path / "work", home)
    outcome = run(target, place, tmp_path / "findings", SEED, lambda number: number < target.brief)
    assert not outcome.findings, "\n".join(map(str, outcome.findings))
    assert outcome.tried == target.brief + len(target.inputs())
    assert outcome.taken, "no input is valid: nothing beyond the first check was tried"


def test_saved_inputs_are_those_of_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} <= set(TARGETS)


# --- The fuzzer itself --------------------------------------------------------------------------------------


def _tried(tmp_path: Path, parse: Callable[[bytes], object], *inputs: bytes) -> Outcome:
    target = Target(name="mine", open=plain(parse), seeds=lambda: inputs)
    return try_all(target, Place(tmp_path, Home), tmp_path / "findings", iter(inputs))  # type: ignore[arg-type]


def test_an_exception_that_is_not_ours_is_a_finding_once(tmp_path: Path) -> None:
    def parse(data: bytes) -> None:
        if data.startswith(b"item"):
            raise ItemError("refused")
        data.decode("ascii")

    outcome = _tried(tmp_path, parse, b"fine", b"item", b"\xff first", b"\xff second")
    assert (outcome.tried, outcome.taken) == (4, 1)
    (finding,) = outcome.findings
    assert "UnicodeDecodeError" in finding.error
    assert finding.file.read_bytes() == b"\xff first"
    assert f"fuzz mine --input {finding.file}" in str(finding)
    assert sorted(tmp_path.joinpath("findings").iterdir()) == [finding.file]


def test_a_hang_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(data: bytes) -> None:
        while data:
            try:
                sum(range(1_000))
            except Exception:  # noqa: BLE001 - as a parser may do that hides its errors
                continue

    monkeypatch.setattr(running, "CPU_S", 0.2)
    outcome = _tried(tmp_path, parse, b"", b"endless")
    assert [finding.file.read_bytes() for finding in outcome.findings] == [b"endless"]
    assert "HangError" in outcome.findings[0].error


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the bound of memory is Linux's")
def test_too_much_memory_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MEMORY", 64 << 20)
    outcome = _tried(tmp_path, lambda data: len(bytearray(int(data) << 20)), b"1", b"4000")
    assert [finding.file.read_bytes() for finding in outcome.findings] == [b"4000"]
    assert len(bytearray(80 << 20)) == 80 << 20  # afterwards there is no bound


def test_what_kills_the_process_is_left_behind(tmp_path: Path) -> None:
    class KilledError(BaseException):
        pass

    def parse(_data: bytes) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        _tried(tmp_path, parse, b"deadly")
    assert (tmp_path / "findings" / "mine.running").read_bytes() == b"deadly"


def test_a_seed_repeats_a_run(tmp_path: Path) -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []

        @contextmanager
        def opened(_place: Place) -> Iterator[Parse]:
            yield seen.append

        target = Target(name="mine", open=opened, seeds=lambda: [b"one 12", b"two 34"], tokens=(b"<>",))
        run(target, Place(tmp_path, Home), tmp_path / "findings", seed, lambda n: n < 200)  # type: ignore[arg-type]
        return seen

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
    assert len(set(inputs(1))) > 150


def test_mutations_reach_every_byte_and_stay_within_the_limit() -> None:
    original = bytes(range(65, 75))
    made = [mutated([original], [b"<token>"], Random(number), 200) for number in range(3_000)]
    assert max(map(len, made)) <= 200
    assert any(b"<token>" in each for each in made)
    same_size = [each for each in made if len(each) == len(original)]
    assert {i for each in same_size for i in range(len(original)) if each[i] != original[i]} == set(range(10))
    assert {len(each) for each in made} >= set(range(len(original)))
