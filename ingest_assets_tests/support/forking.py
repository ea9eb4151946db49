"""The process that forks itself into confined ones, from the inside. See `forked`.

What belongs here: forking, and saying how forks ended. What does not: what they do.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

REQUEST = 64 << 10  # bytes of a request, at most
NUMBER = struct.Struct("=i")  # a process id, and later the status of its end
# What the tasks of confined processes are made of; what is missing here, each process imports. None may
# import sqlite3: its library reads where temporary files go when it is loaded; each has its own place.
PARTS = (
    "ingest_assets.chunking.code",
    "ingest_assets.sandbox.child",
    "ingest_assets.sandbox.chunking",
    "ingest_assets.sandbox.reader",
    "ingest_assets.sources.crm.extract",
    "ingest_assets.sources.papers.formats.jats",
    "ingest_assets.sources.papers.formats.parsing",
    "ingest_assets.sources.repositories.fetch",
    "ingest_assets.sources.spool.intake.parsing",
    "landlockpy",
    "lxml.etree",
    "msgpack",
    "numpy",
    "pyseccomp",
    "resource",
)


def serve(door: int, parts: Sequence[str] = PARTS) -> None:
    """Fork for each request that comes through a socket, and end with it. Returns in the forks alone."""
    for part in parts:
        importlib.import_module(part)
    gc.collect()
    gc.freeze()  # a fork shares the memory of what it does not change, and a collection changes it all
    requests = socket.socket(fileno=door)
    reports: dict[int, int] = {}  # by process: where the status of its end is told

    def report(*_: object) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with suppress(BrokenPipeError):
                    os.write(reports[ended[0]], NUMBER.pack(os.waitstatus_to_exitcode(ended[1])))
                os.close(reports.pop(ended[0]))

    signal.signal(signal.SIGCHLD, report)
    while True:
        message, files, _, _ = socket.recv_fds(requests, REQUEST, 4)
        if not message:
            os._exit(0)
        # So that nothing ends before it is known where that is told.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        if not (process := os.fork()):
            break
        reports[process] = files.pop()
        os.write(reports[process], NUMBER.pack(process))
        for file in files:
            os.close(file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    requests.close()
    for standard, file in enumerate(files[:3]):
        os.dup2(file, standard)
    for file in (*files, *reports.values()):
        os.close(file)
    folder, environment = pickle.loads(message)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
