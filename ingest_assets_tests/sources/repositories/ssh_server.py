"""A git server over ssh on loopback, in a thread of this process, that can be made to misbehave.

It runs the real `git upload-pack`, which anyone who cloned this project has.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from ingest_assets.sources.repositories.policy import Policy

Process = asyncssh.SSHServerProcess[bytes]
USERS = frozenset({"git", "alice"})


def new_key(path: Path, passphrase: str | None = None) -> asyncssh.SSHKey:
    """Write a new private key to a file, and return it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(key.export_private_key("pkcs8-pem", passphrase=passphrase))
    return key


class _Login(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        self._server.logins.append(username)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._server.offered.append(key.get_fingerprint())
        return username in USERS and key.get_fingerprint() in self._server.accepted


@dataclass
class SshServer:
    """`misbehave`, when set, handles a session instead of git.

    `accepted` and `offered` are fingerprints of keys, `logins` the users who tried, `commands` the requested
    commands with their environment variables.
    """

    root: Path
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    takes_variables: bool = True
    accepted: set[str] = field(default_factory=set)
    offered: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    commands: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    misbehave: Callable[[Process], Awaitable[None]] | None = None
    port: int = 0

    def known_hosts(self) -> str:
        public = self.host_key.export_public_key().decode().strip()
        return f"[127.0.0.1]:{self.port} {public}\n"

    def url(self, path: str = "/repo") -> str:
        return f"ssh://git@127.0.0.1:{self.port}{path}"

    def policy(self, key: Path, known_hosts: Path) -> Policy:
        return Policy(
            protocols=frozenset({"ssh"}),
            allow_private_addresses=True,
            ssh_keys={f"127.0.0.1:{self.port}": key},
            known_hosts=known_hosts,
        )

    @contextmanager
    def running(self) -> Iterator[SshServer]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)
        self.port = listening.get_port()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(listening), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[self.host_key], server_factory=lambda: _Login(self),
            process_factory=self._serve, encoding=None,
        )  # fmt: skip

    async def _close(self, listening: asyncssh.SSHAcceptor) -> None:
        listening.close()
        await listening.wait_closed()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, process: Process) -> None:
        self.commands.append((process.command or "", dict(process.env)))
        try:
            await (self.misbehave or self.git)(process)
        finally:
            process.close()
            await process.wait_closed()

    async def git(self, process: Process) -> None:
        program, path = shlex.split(process.command or "")
        # An absolute path is taken below the root, a relative one below the user's home.
        folder = self.root / path.lstrip("/") if path.startswith("/") else self.root / "home" / path
        version = process.env.get("GIT_PROTOCOL", "") if self.takes_variables else ""
        with subprocess.Popen(  # noqa: ASYNC220 - asyncssh redirects a plain process's files
            ["git", program.removeprefix("git-"), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "GIT_PROTOCOL": version, "LC_ALL": "C"},
        ) as git:  # fmt: skip
            # Whichever stream ends first must not end the session for the other.
            await process.redirect(git.stdin, git.stdout, git.stderr, send_eof=False)
            code = await asyncio.get_running_loop().run_in_executor(None, git.wait)
            await process.stdout.drain()
            await process.stderr.drain()
            process.exit(code)
