"""Git over ssh, only to servers whose host key is known, and only with the key that was set for them.

No agent, configuration, key or known hosts of the account are used, and nobody is ever prompted.
The protocol is dulwich's, ssh is asyncssh's, the connections are ours (connection).

What belongs here: ssh. What does not: which hosts and keys there are (policy).
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories.connection import CONNECT_S, STALL_S, connect, one_line
from ingest_assets.sources.repositories.policy import SSH_PORT, Policy

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHKey, SSHReader
    from asyncssh.known_hosts import SSHKnownHosts
    from dulwich.client import TraditionalGitClient
    from dulwich.protocol import Protocol

Result = TypeVar("Result")

_PIECE = 1 << 16
_LEAVE_S = 0.5
_MAX_STDERR = 2_000  # bytes of a server's message about a failure


class Address(NamedTuple):
    """What an ssh URL names. `path` is as the server gets it: absolute, or relative to the user's home."""

    user: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Address:
        """The parts of a URL that `parse_origin` made."""
        parts = urlsplit(url)
        path = unquote(parts.path, errors="surrogateescape")
        at_home = path.startswith("/~")
        if at_home:
            path = path[1:].removeprefix("~/")
        if path.startswith("-"):
            path = f"./{path}"  # or it would be taken for an option
        return cls(parts.username or "", parts.hostname or "", parts.port or SSH_PORT, path)


def client(url: str, policy: Policy, budget: FetchBudget) -> TraditionalGitClient:
    """A git client for one conversation with the repository at `url`."""
    from dulwich.client import TraditionalGitClient
    from dulwich.protocol import Protocol

    address = Address.of(url)

    class SshGitClient(TraditionalGitClient):
        def _connect(
            self,
            cmd: bytes,
            path: str | bytes,  # noqa: ARG002 - the URL's is used
            protocol_version: int | None = None,  # noqa: ARG002 - the newest that both speak
        ) -> tuple[Protocol, Callable[[], bool], None]:
            session = _Session(address, policy, budget)
            session.start(f"git-{cmd.decode()}")
            # "Nothing to read yet": answers to what is held are only read after the last question. If dulwich
            # read them in between, it would misinterpret them while a shallow mirror is deepened.
            return Protocol(session.read, session.write), lambda: False, None

    return SshGitClient(thin_packs=True, quiet=True)


class _Loop:
    """An event loop in a thread of its own: the caller may already be in one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="speak ssh")
        self._thread.start()

    def wait(self, what: Coroutine[Any, Any, Result], at_most_s: float) -> Result:
        """Its result, or what it raises; TimeoutError when it takes longer."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, at_most_s), self._loop).result()

    def close(self) -> None:
        """Stop it, and what still runs in it."""
        asyncio.run_coroutine_threadsafe(self._cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_others(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Session:
    """One command on a server, read and written in the caller's thread, within a budget."""

    def __init__(self, address: Address, policy: Policy, budget: FetchBudget) -> None:
        self._address = address
        self._policy = policy
        self._budget = budget
        self._loop = _Loop()
        self._pending = bytearray()
        self._received = False
        budget.at_end(self._loop.close)

    def start(self, command: str) -> None:
        """Connect, and run a command on the repository's path."""
        address, policy = self._address, self._policy
        policy.require_protocol("ssh")
        assert policy.known_hosts is not None  # no policy allows ssh without them
        key = _key(policy.key_for(address.host, address.port, address.path))
        known_hosts = _known_hosts(policy.known_hosts)
        with _failures(address, self._budget):
            at_most_s = min(self._budget.left_s, CONNECT_S)
            sock = connect(address.host, address.port, policy, self._budget, at_most_s)
            connection = self._wait(self._connected(sock, key, known_hosts), CONNECT_S)
            self._budget.at_end(lambda: self._loop.wait(_end(connection), CONNECT_S))
            quoted = address.path.replace("'", "'\\''")
            opened = connection.open_session(
                f"{command} '{quoted}'",
                env=["GIT_PROTOCOL=version=2"],  # a server that does not accept it speaks version 0
                encoding=None,
                request_pty=False,
            )
            self._in, self._out, self._stderr = self._wait(opened, CONNECT_S)

    def read(self, size: int) -> bytes:
        """Exactly as many bytes as requested, or fewer at the end. Each piece is counted as it arrives."""
        while len(self._pending) < size:
            with _failures(self._address, self._budget):
                piece = self._wait(self._out.read(_PIECE), STALL_S)
            self._budget.count(len(piece))
            if not piece:
                self._require_git()
                break
            self._received = True
            self._pending.extend(piece)
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken

    def write(self, data: bytes) -> None:
        async def send() -> None:
            self._in.write(data)
            await self._in.drain()

        with _failures(self._address, self._budget):
            self._wait(send(), STALL_S)

    async def _connected(
        self, sock: socket.socket, key: SSHKey, known_hosts: SSHKnownHosts
    ) -> SSHClientConnection:
        import asyncssh

        address = self._address
        sock.settimeout(0)
        connection: SSHClientConnection = await asyncssh.connect(
            address.host, address.port, sock=sock, username=address.user, client_keys=[key],
            known_hosts=lambda host, _address, port: _keys_of(known_hosts, host, port),
            config=None, agent_path=None, preferred_auth=["publickey"], x509_trusted_certs=None,
            gss_kex=False, gss_auth=False, compression_algs=["none"], client_version="ingest-assets",
        )  # fmt: skip
        return connection

    def _require_git(self) -> None:
        """A server that ends without a word of git's protocol says why on stderr."""
        if self._received:
            return
        with _failures(self._address, self._budget):
            message = self._wait(_read_all(self._stderr), STALL_S).decode("utf-8", "replace")
        raise ConfigurationError(
            f"The server {self._address.host} has no such repository for the key that is set for it"
            + (f": {one_line(message)}." if message.strip() else ".")
        )

    def _wait(self, what: Coroutine[Any, Any, Result], at_most_s: float) -> Result:
        return self._loop.wait(what, min(self._budget.left_s, at_most_s))


def _keys_of(known_hosts: SSHKnownHosts, host: str, port: int | None) -> tuple[Any, ...]:
    """The keys that a host may have, preferring those for its port, and the revoked ones of both.

    Looked up by name only: the address that a name has today says nothing about who answers there.
    """
    names = [host] if port is None else [f"[{host}]:{port}", host]
    found = [known_hosts.match(name, "", None) for name in names]
    trusted, certified, _, *others = next((one for one in found if one[0] or one[1]), found[-1])
    return trusted, certified, [key for one in found for key in one[2]], *others


async def _end(connection: SSHClientConnection) -> None:
    """Close the connection, or abort it if the server does not answer to that."""
    connection.close()
    try:
        await asyncio.wait_for(connection.wait_closed(), _LEAVE_S)
    except TimeoutError:
        connection.abort()


async def _read_all(stderr: SSHReader[bytes]) -> bytes:
    found = b""
    while len(found) < _MAX_STDERR and (piece := await stderr.read(_MAX_STDERR)):
        found += piece
    return found


@contextmanager
def _failures(address: Address, budget: FetchBudget) -> Iterator[None]:
    """Turns whatever ssh can raise into an error of ours."""
    import asyncssh

    try:
        yield
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise ConfigurationError(
            f"The key of the server {address.host} is unknown, or not the known one: get the key from "
            "its operator, and add it to the file that INGEST_REPOSITORY_KNOWN_HOSTS names."
        ) from error
    except asyncssh.PermissionDenied as error:
        raise ConfigurationError(
            f"The server {address.host} does not accept the key that INGEST_REPOSITORY_SSH_KEYS names for "
            f"it, or knows no user {address.user}."
        ) from error
    except TimeoutError as error:
        budget.check()
        raise UnavailableError(f"The server {address.host} did not answer in time.") from error
    except asyncssh.Error as error:
        budget.check()
        raise UnavailableError(f"The server could not be reached: {one_line(error.reason)}.") from error


def _key(file: Path) -> SSHKey:
    import asyncssh

    try:
        return asyncssh.read_private_key(file)
    except OSError as error:
        raise ConfigurationError(f"The private key {file} cannot be read: {error.strerror}.") from error
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        raise ConfigurationError(
            f"The file {file} is not a private key, or has a passphrase: use one without, that only this "
            "service can read."
        ) from error


def _known_hosts(file: Path) -> SSHKnownHosts:
    import asyncssh

    try:
        return asyncssh.import_known_hosts(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"The known hosts file {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The known hosts file {file} is not in OpenSSH's format.") from error
