"""A confined process from the inside: it gives up its rights, then answers what its parent asks.

Each bound is applied with what the system has: resource limits everywhere but on Windows, Landlock for files
and TCP, and seccomp for sockets and programs, where Linux offers them. `probe` finds out which of them work.

What belongs here: giving up rights, and the loop. What does not: what is asked.
"""

from __future__ import annotations

import ctypes.util
import errno
import os
import pickle
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ingest_assets.sandbox.limits import Grants, Limits

ANSWER, ITEM, CONFIGURATION, CONTENT, DAMAGED = b"A", b"I", b"C", b"R", b"D"
SOURCE, UNAVAILABLE = b"S", b"U"
MEMORY, FAULT = b"M", b"F"
FRAME = struct.Struct("!cQ")  # what kind of answer, and its length in bytes
# System calls that would reach other processes, the network, or the kernel's less tried parts; that change
# files which may not even be opened (Landlock lets a mode, an owner or a time be set by path); that take
# memory outside the address space, which is what is bounded; and that start processes.
_FORBIDDEN = (
    "accept", "accept4", "acct", "add_key", "adjtimex", "bind", "bpf", "chmod", "chown", "chroot",
    "clock_adjtime", "clock_settime", "connect", "delete_module", "execve", "execveat", "fanotify_init",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "finit_module", "fork", "fremovexattr",
    "fsconfig", "fsetxattr", "fsmount", "fsopen", "futimesat", "init_module", "io_uring_setup", "ioprio_set",
    "kcmp", "kexec_file_load", "kexec_load", "keyctl", "kill", "lchown", "listen", "lremovexattr",
    "lsetxattr", "memfd_create", "memfd_secret", "migrate_pages", "mount", "mount_setattr", "move_mount",
    "move_pages", "mq_open", "msgget", "name_to_handle_at", "open_by_handle_at", "open_tree",
    "perf_event_open", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "pivot_root", "process_madvise",
    "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd",
    "reboot", "removexattr", "removexattrat", "request_key", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "semget", "setdomainname",
    "sethostname", "setns", "setpriority", "settimeofday", "setxattr", "setxattrat", "shmget", "socket",
    "socketpair", "swapoff", "swapon", "syslog", "tkill", "umount2", "unshare", "userfaultfd", "utime",
    "utimensat", "utimes", "vfork",
)  # fmt: skip
_CLONE_THREAD = 0x10000
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime",
           "/etc/ld.so.cache", "/dev/null", "/dev/urandom")  # fmt: skip


class Setup(NamedTuple):
    """The first thing that a child is told, before it imports any parser."""

    limits: Limits
    grants: Grants
    code: tuple[Path, ...]  # folders of Python modules
    scratch: Path


def main() -> None:
    """Read the setup and a task from standard input, give up all other rights, and answer questions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a library prints goes to standard error, so that it cannot get between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    setup: Setup = pickle.load(source)  # noqa: S301 - our own parent's
    task = pickle.load(source)  # noqa: S301 - as above; imports the parser's code
    if hasattr(task, "before_confinement"):  # as a source that is on a server, which connects to it now
        task.before_confinement()
    confine(setup)
    while True:
        try:
            method, arguments = pickle.load(source)  # noqa: S301 - as above
        except EOFError:
            return
        _limit_cpu(setup.limits.cpu_s)
        kind, answer = _answered(getattr(task, method), arguments)
        sink.write(FRAME.pack(kind, len(answer)))
        sink.write(answer)
        sink.flush()


def _answered(method: Callable[..., bytes], arguments: Sequence[Any]) -> tuple[bytes, bytes]:
    from ingest_assets.model import (
        ConfigurationError,
        ContentError,
        DamagedError,
        ItemError,
        SourceUnavailableError,
        UnavailableError,
    )

    try:
        return ANSWER, method(*arguments)
    except ItemError as error:
        kind, said = ITEM, str(error)
    except ContentError as error:
        kind, said = CONTENT, str(error)
    except ConfigurationError as error:
        kind, said = CONFIGURATION, str(error)
    except DamagedError as error:
        kind, said = DAMAGED, str(error)
    except SourceUnavailableError as error:
        kind, said = SOURCE, str(error)
    except UnavailableError as error:
        kind, said = UNAVAILABLE, str(error)
    except MemoryError:
        kind, said = MEMORY, ""
    except Exception:  # noqa: BLE001 - a fault in a parser goes to the parent's log, and refuses the item
        kind, said = FAULT, traceback.format_exc()
    return kind, said.encode("utf-8", "backslashreplace")


def confine(setup: Setup) -> None:
    """Give up every right that `setup` does not give. What the system cannot take away stays."""
    _limit_resources(setup.limits)
    if sys.platform == "linux":
        _restrict_calls()
        _restrict_files(setup)


def _limit_resources(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = _address_space() + limits.memory_bytes
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(what)
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(what, (bound, bound))
        except (ValueError, OSError):  # macOS knows RLIMIT_AS and does not accept every value
            continue


def _limit_cpu(seconds: float) -> None:
    """For the case that the parent, which ends an answer that takes too long, was killed."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    bound = int(time.process_time() + 2 * seconds) + 1
    if most == resource.RLIM_INFINITY or bound < most:
        resource.setrlimit(resource.RLIMIT_CPU, (bound, most))


def _address_space() -> int:
    """Bytes that are mapped already: the interpreter, its libraries and their arenas."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 1 << 30  # no /proc: more than any interpreter maps
    return pages * os.sysconf("SC_PAGE_SIZE")


def _restrict_files(setup: Setup) -> None:
    from landlockpy import AccessFS, Ruleset, Scope, supported

    try:
        if not supported():
            return
    except OSError:  # a container whose filter of system calls refuses it: `ingest doctor` says so
        return
    read = AccessFS.READ_FILE | AccessFS.READ_DIR
    write_file = AccessFS.READ_FILE | AccessFS.WRITE_FILE | AccessFS.TRUNCATE
    write = (
        read | write_file | AccessFS.MAKE_REG | AccessFS.MAKE_DIR
        | AccessFS.REMOVE_FILE | AccessFS.REMOVE_DIR | AccessFS.REFER
    )  # fmt: skip
    with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
        for path in (*map(Path, _SYSTEM), *setup.code, *setup.grants.read):
            if path.exists():
                rules.allow_path(path, read if path.is_dir() else AccessFS.READ_FILE)
        for path in (setup.scratch, *setup.grants.write):
            if path.exists():
                rules.allow_path(path, write if path.is_dir() else write_file)
        rules.restrict()


def _found(name: str) -> str | None:  # noqa: ARG001 - what pyseccomp asks for
    return "libseccomp.so.2"


def _restrict_calls() -> None:
    find = ctypes.util.find_library
    # It runs programs to find the library, which takes longer than everything else here.
    ctypes.util.find_library = _found
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError):  # a system without libseccomp
        return
    finally:
        ctypes.util.find_library = find
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in _FORBIDDEN:
        try:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
        except (OSError, ValueError):  # a call that this architecture, or this libseccomp, does not have
            continue
    # How a process ends itself when a library gives up; no other process.
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "tgkill", pyseccomp.Arg(0, pyseccomp.NE, os.getpid()))
    # Its own limits, which it cannot raise; not those of its parent.
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "prlimit64", pyseccomp.Arg(0, pyseccomp.NE, 0))
    # Threads, but no processes: those would outlive it, each with memory and CPU time of its own. What clone3
    # is asked for cannot be seen here; without it, libraries use clone.
    flags = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, 0)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", flags)
    with suppress(OSError, ValueError):
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    try:
        rules.load()
    except OSError as error:
        if error.errno != errno.ECANCELED:  # the kernel, or an emulator of one, takes none: `doctor` says so
            raise
