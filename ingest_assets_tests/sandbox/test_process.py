"""A confined process reaches nothing, is bounded in everything, and its end is told from its work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingest_assets.model import (
    ConfigurationError,
    ContentError,
    DamagedError,
    IngestError,
    ItemError,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets.sandbox import ConfinedError, Grants, Limits, Sandbox
from ingest_assets.sandbox import process as confined
from ingest_assets.sandbox.child import Setup, _restrict_files
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sandbox.probe import out_of_reach
from ingest_assets_tests.sandbox.tasks import Burglar, Glutton
from ingest_assets_tests.support.forked import Start, start_anew

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means are Linux's")
SMALL = Limits(memory_bytes=64 * MIB, cpu_s=1.0, file_bytes=4 * MIB, answer_bytes=1 * MIB, open_files=40)


@pytest.fixture(autouse=True)
def forks(monkeypatch: pytest.MonkeyPatch) -> Start:
    """How all other tests start confined processes: here it is done as the product does it."""
    elsewhere = confined._started
    monkeypatch.setattr(confined, "_started", start_anew)
    return elsewhere


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("a secret of ours")
    return file


def _tried(box: Sandbox, method: str, *arguments: Any, grants: Grants | None = None) -> Any:
    with box.child(Burglar(), "the test", grants) as process:
        return json.loads(process.ask(method, *arguments))


@linux
def test_this_machine_has_what_confines(box: Sandbox) -> None:
    assert set(out_of_reach(box).values()) == {True}


@linux
def test_what_other_tests_use_is_confined_too(
    box: Sandbox, forks: Start, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "_started", forks)
    assert set(out_of_reach(box).values()) == {True}
    assert _tried(box, "read", str(secret)) == {"refused": "PermissionError"}
    with box.child(Glutton(), "the test", limits=SMALL) as process:
        assert type(process._process).__name__ == "Forked"
        with pytest.raises(ConfinedError, match=r"^The test needed more than 64 MiB"):
            process.ask("memory", 200)


@linux
@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/proc/self/maps"])
def test_it_opens_no_file_of_the_system(box: Sandbox, path: str) -> None:
    assert _tried(box, "read", path) == {"refused": "PermissionError"}


@linux
def test_it_opens_no_file_of_ours(box: Sandbox, secret: Path) -> None:
    parent = f"/proc/{os.getpid()}/environ"
    checkout = Path(__file__).parents[2]
    for path in (secret, parent, checkout / "pyproject.toml", checkout / ".env.example"):
        assert _tried(box, "read", str(path)) == {"refused": "PermissionError"}, path
    for folder in (secret.parent, checkout, Path.home()):
        assert _tried(box, "listed", str(folder)) == {"refused": "PermissionError"}, folder


@linux
def test_it_reads_what_it_is_granted_and_writes_none_of_it(box: Sandbox, secret: Path) -> None:
    granted = Grants(read=(secret, secret.parent / "not there"))
    assert _tried(box, "read", str(secret), grants=granted) == {"done": "a secret of ours"}
    for method, more in (("write", ()), ("remove", ()), ("rename", (f"{secret}.moved",))):
        assert _tried(box, method, str(secret), *more, grants=granted) == {"refused": "PermissionError"}
    assert secret.read_text() == "a secret of ours"


@linux
def test_a_link_leads_nowhere(box: Sandbox, secret: Path) -> None:
    assert _tried(box, "symlink_and_read", str(secret), "link") == {"refused": "PermissionError"}
    assert "refused" in _tried(box, "link", str(secret), "link")


@linux
def test_it_writes_in_its_own_folder_and_where_it_is_granted(box: Sandbox, tmp_path: Path) -> None:
    assert _tried(box, "write", "own") == {"done": 5}
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    granted = Grants(write=(open_folder,))
    assert _tried(box, "write", str(open_folder / "file"), grants=granted) == {"done": 5}
    assert _tried(box, "write", str(tmp_path / "file"), grants=granted) == {"refused": "PermissionError"}


@linux
def test_it_has_no_network(box: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _tried(box, "connect", port) == {"refused": "PermissionError"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        assert _tried(box, "send_datagram", server.getsockname()[1]) == {"refused": "PermissionError"}


@linux
def test_it_starts_no_program_and_signals_nobody(box: Sandbox) -> None:
    assert _tried(box, "execute") == {"refused": "PermissionError"}
    assert _tried(box, "kill", os.getpid()) == {"refused": "PermissionError"}


def test_its_environment_holds_nothing_of_ours(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "planted-secret")
    monkeypatch.setenv("SOMETHING", "planted-secret")
    with box.child(Burglar(), "the test") as process:
        environment = json.loads(process.ask("environment"))
    assert "planted-secret" not in environment.values()
    assert not set(environment) & {"PATH", "PYTHONPATH", "QDRANT_API_KEY", "USER", "SSH_AUTH_SOCK"}


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("memory", (200,), "needed more than 64 MiB of memory (INGEST_PARSER_MEMORY_MIB)"),
        ("cpu", (), "took more than 1 s of CPU time (INGEST_PARSER_CPU_S)"),
        ("answer", (3,), "sent more than 1 MiB"),
        ("crash", (), "crashed (SIGSEGV)"),
        ("abort", (), "crashed (SIGABRT)"),
        ("leave", (3,), "ended early (status 3)"),
        ("leave", (0,), "ended early (status 0)"),
    ],
)
def test_its_end_is_one_sentence(box: Sandbox, method: str, arguments: tuple[int, ...], said: str) -> None:
    with box.child(Glutton(), "the glutton", limits=SMALL) as process:
        assert process.ask("answer", 0) == b""
        with pytest.raises(ConfinedError, match=r"^The glutton [a-z].*\.$") as caught:
            process.ask(method, *arguments)
        assert said in str(caught.value)
        with pytest.raises(ConfinedError, match="has ended"):
            process.ask("answer", 0)


def test_it_writes_no_large_file_and_opens_few(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton", limits=SMALL) as process:
        assert process.ask("file", 2) == b"written"
        with pytest.raises(ConfinedError):  # Python ignores SIGXFSZ: the write fails instead
            process.ask("file", 8)
        assert process.ask("files", 10) == b"10"
        with pytest.raises(ConfinedError):
            process.ask("files", 100)


def test_memory_that_it_may_use_it_can_use(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton", limits=replace(SMALL, memory_bytes=256 * MIB)) as process:
        assert process.ask("memory", 180) == str(180 << 20).encode()


def test_a_thread_ends_it_where_pipes_cannot_be_waited_for(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "_CAN_WAIT", False)  # as on Windows
    late = pytest.raises(ConfinedError, match="took more than 1 s of CPU time")
    with box.child(Glutton(), "the glutton", limits=SMALL) as process, late:
        process.ask("cpu")


@linux
def test_a_process_ends_with_what_holds_it(box: Sandbox) -> None:
    held = box.start(Glutton(), "the glutton", limits=replace(SMALL, cpu_s=600.0))
    held.process.send("cpu")
    process = psutil.Process(held.process._process.pid)
    del held
    assert psutil.wait_procs([process], timeout=10)[1] == []


@linux
def test_a_process_whose_parent_is_gone_does_not_work_for_ever(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton", limits=replace(SMALL, cpu_s=1.0)) as process:
        assert process.ask("answer", 0) == b""
        process.send("cpu")  # nobody waits for the answer
        assert process._process.wait(timeout=30) == -signal.SIGXCPU


@linux
def test_a_system_that_refuses_landlock_has_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        raise PermissionError

    monkeypatch.setattr("landlockpy.supported", refuse)
    _restrict_files(Setup(SMALL, Grants(), (), Path.cwd()))
    assert list(Path.cwd().iterdir())  # in this very process


@linux
def test_a_system_that_refuses_filters_of_calls_has_parsers() -> None:
    """As an emulator of another processor does, or the filter of a container."""
    code = """
        import errno, pyseccomp, socket
        from ingest_assets.sandbox.child import _restrict_calls
        refusing = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        refusing.add_rule(pyseccomp.ERRNO(errno.EPERM), "seccomp")
        refusing.add_rule(pyseccomp.ERRNO(errno.EPERM), "prctl", pyseccomp.Arg(0, pyseccomp.EQ, 22))
        refusing.load()
        _restrict_calls()
        print(socket.socket().family.name)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "AF_INET", ended.stderr


def test_waiting_uses_no_cpu_time(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton", limits=replace(SMALL, cpu_s=0.5)) as process:
        assert process.ask("wait", 2.0) == b"waited"


def test_an_error_is_what_it_was_raised_as_and_a_fault_is_for_the_log(
    box: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with box.child(Glutton(), "the glutton") as process:
        with pytest.raises(ItemError, match=r"^it is odd$"):
            process.ask("refuse", "it is odd")
        with pytest.raises(ItemError) as caught:
            process.ask("refuse", "long " * 10_000)
        assert len(str(caught.value)) <= 2_000
        with pytest.raises(ConfinedError, match="There is a fault in the glutton; the log has the details"):
            process.ask("fault")
        assert "a fault with details" in caplog.text
        assert process.ask("answer", 1)  # and it goes on


@pytest.mark.parametrize(
    "kind",
    [ItemError, ConfigurationError, ContentError, DamagedError, SourceUnavailableError, UnavailableError],
)
def test_what_became_of_the_work_is_told_by_the_type(box: Sandbox, kind: type[IngestError]) -> None:
    with box.child(Glutton(), "the glutton") as process, pytest.raises(IngestError, match="why") as caught:
        process.ask("raised", kind("why"))
    assert type(caught.value) is kind


def test_what_libraries_print_does_not_get_between_the_answers(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton") as process:
        assert [process.ask("chatter") for _ in range(3)] == [b"answer"] * 3


def test_a_wait_ends_when_its_check_raises(box: Sandbox) -> None:
    class TimeIsUpError(Exception):
        pass

    def check() -> None:
        raise TimeIsUpError

    with box.child(Glutton(), "the glutton") as process, pytest.raises(TimeIsUpError):
        process.ask("wait", 60.0, check=check)


_KILLED = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from ingest_assets.sandbox import Sandbox
    from ingest_assets_tests.sandbox.tasks import Glutton

    box = Sandbox(Path(sys.argv[1]))
    held = box.start(Glutton(), "the glutton")
    held.process.ask("file", 1)
    print(held.process.ask("pid").decode(), flush=True)
    time.sleep(600)
""")


def test_it_ends_with_its_parent_and_what_it_wrote_is_removed_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "tmp"
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(home)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        (copy,) = home.glob("parser-*/large")
        in_use = Sandbox(home)
        with in_use.child(Glutton(), "the glutton"):
            assert copy.exists(), "a folder in use was removed"
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("it outlived its parent")
    with Sandbox(home).child(Glutton(), "the glutton") as process:
        assert process.ask("answer", 0) == b""
        assert not copy.exists()
    assert not list(home.iterdir())


def test_its_folder_is_ours_alone(box: Sandbox, tmp_path: Path) -> None:
    with box.child(Glutton(), "the glutton") as process:
        process.ask("file", 1)
        home = tmp_path / "tmp"
        for path in [home, *home.glob("parser-*")]:
            assert path.stat().st_mode & 0o077 == 0, path


@linux
def test_it_changes_no_file_by_its_path(box: Sandbox, secret: Path) -> None:
    secret.chmod(0o600)
    before = secret.stat()
    for method in ("change_mode", "change_time"):
        assert _tried(box, method, str(secret), grants=Grants(read=(secret,))) == {
            "refused": "PermissionError"
        }
    assert secret.stat() == before


@linux
def test_it_bounds_and_slows_no_other_process(box: Sandbox) -> None:
    for method in ("bound", "slow_down"):
        assert _tried(box, method, os.getpid()) == {"refused": "PermissionError"}


@linux
def test_it_takes_no_memory_that_is_not_counted(box: Sandbox) -> None:
    assert _tried(box, "memory_outside") == {"refused": "PermissionError"}


@linux
def test_it_starts_threads_and_no_processes(box: Sandbox) -> None:
    assert _tried(box, "thread") == [1]
    assert _tried(box, "fork") == {"refused": "PermissionError"}


@linux
def test_an_answer_that_drips_takes_no_more_time_than_another(box: Sandbox) -> None:
    with box.child(Glutton(), "the glutton", limits=SMALL) as process:
        began = time.monotonic()
        with pytest.raises(ConfinedError, match="took more than 1 s of CPU time"):
            process.ask("drip", 30.0)
        assert time.monotonic() - began < 20


def test_folders_that_are_nested_too_deep_are_removed(tmp_path: Path) -> None:
    home = tmp_path / "tmp"
    with Sandbox(home).child(Glutton(), "the glutton") as process:
        assert process.ask("nest", 1_500) == b"nested"
    assert not list(home.iterdir())
