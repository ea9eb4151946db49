"""Fetching over ssh from a real server: only from a known one, with the key that was set for it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.mirror import Mirror, remote_heads
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies
from ingest_assets_tests.sources.repositories.ssh_server import Process, SshServer, new_key

ONE = {"a.py": b"a = 1\n", "src/b.py": b"b = 2\n"}
TWO = {"a.py": b"a = 1\n", "src/c.py": b"c = 3\n"}


def _mirror(server: SshServer, over_ssh: Policy, tmp_path: Path, *, shallow: bool = True) -> Mirror:
    return Mirror(parse_origin(server.url(), over_ssh), tmp_path / "workspace", over_ssh, shallow=shallow)


def _refused(server: SshServer, over_ssh: Policy) -> str:
    with pytest.raises(ConfigurationError) as caught:
        remote_heads(parse_origin(server.url(), over_ssh), over_ssh)
    return str(caught.value)


@pytest.mark.parametrize("takes_variables", [True, False], ids=["version 2", "version 0"])
def test_with_a_long_history_a_fetch_costs_no_more_than_the_change(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path, takes_variables: bool
) -> None:
    ssh_server.takes_variables = takes_variables
    files = {f"src/f{i}.py": f"value = {i}\n".encode() * 50 for i in range(100)}
    for i in range(400):  # more than are announced as held
        repo.commit(files | {"counter.py": f"at = {i}\n".encode()})
    one = _mirror(ssh_server, over_ssh, tmp_path, shallow=False)
    one.fetch()
    packs = one.folder / "objects" / "pack"
    before = {path.name: path.stat().st_size for path in packs.glob("*.pack")}
    repo.commit(files | {"counter.py": b"at = 400\n"})
    one.fetch()
    new = [path.stat().st_size for path in packs.glob("*.pack") if path.name not in before]
    assert len(new) == 1
    assert new[0] < sum(before.values()) / 20


def test_users_and_commands(repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path) -> None:
    repo.commit(ONE)
    at_home = tmp_path / "served" / "home" / "team" / "own"
    with TestRepo(at_home) as own:
        commit = own.commit(TWO)
    origin = parse_origin(f"ssh://alice@127.0.0.1:{ssh_server.port}/~/team/own", over_ssh)
    assert remote_heads(origin, over_ssh).commit(None) == commit
    remote_heads(parse_origin(ssh_server.url("/repo"), over_ssh), over_ssh)
    assert ssh_server.logins == ["alice", "git"]
    assert [command for command, _ in ssh_server.commands] == [
        "git-upload-pack 'team/own'",
        "git-upload-pack '/repo'",
    ]


def test_an_unknown_server_is_not_offered_a_key(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path
) -> None:
    repo.commit(ONE)
    known = tmp_path / "known_hosts"
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    of_another_kind = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    right = known.read_text()
    for wrong in (
        "",
        "# nothing\n",
        f"[127.0.0.1]:{ssh_server.port} {other}",
        right.replace("127.0.0.1", "git.example.org"),
        f"{right}@revoked {right}",
        # Revoked for this port, and known without a port.
        f"@revoked {right}{right.replace(f'[127.0.0.1]:{ssh_server.port}', '127.0.0.1')}",
    ):
        known.write_text(wrong)
        assert "The key of the server 127.0.0.1 is unknown, or not the known one" in _refused(
            ssh_server, over_ssh
        )
    known.write_text(f"[127.0.0.1]:{ssh_server.port} {of_another_kind}")
    # Server and client both find that they have no kind of key in common: the error depends on who hangs up
    # first.
    with pytest.raises((ConfigurationError, UnavailableError)):
        remote_heads(parse_origin(ssh_server.url(), over_ssh), over_ssh)
    assert ssh_server.logins == []
    anywhere = right.replace(f"[127.0.0.1]:{ssh_server.port}", "127.0.0.1")
    for enough in (f"127.0.0.1 {other}{right}", f"\ufeff{right}", anywhere, _hashed(right)):
        known.write_text(enough)
        remote_heads(parse_origin(ssh_server.url(), over_ssh), over_ssh)
    assert ssh_server.logins == ["git"] * 4


def _hashed(line: str) -> str:
    """In the format of ssh-keyscan -H."""
    host, _, key = line.partition(" ")
    salt = b"\1" * 20
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()} {key}"


def test_fetching_inside_an_event_loop(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path
) -> None:
    commit = repo.commit(ONE)
    one = _mirror(ssh_server, over_ssh, tmp_path)

    async def fetch() -> str | None:
        return one.fetch().commit

    assert asyncio.run(fetch()) == commit
    assert not [thread for thread in threading.enumerate() if thread.name in ("speak ssh", "watch a fetch")]


def test_only_the_key_that_was_set_is_used(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the account's keys nor its configuration are used."""
    repo.commit(ONE)
    account = tmp_path / "account" / ".ssh"
    account.mkdir(parents=True)
    accepted = new_key(account / "id_ed25519")
    (account / "config").write_text(f"Host *\n  ProxyCommand touch {tmp_path / 'ran'}\n  User alice\n")
    (account / "known_hosts").write_text(ssh_server.known_hosts())
    monkeypatch.setenv("HOME", str(account.parent))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no agent"))
    ssh_server.accepted = {accepted.get_fingerprint()}
    set_key = asyncssh.read_private_key(tmp_path / "key").get_fingerprint()
    assert "does not accept the key" in _refused(ssh_server, over_ssh)
    assert set(ssh_server.offered) == {set_key}
    assert set(ssh_server.logins) == {"git"}
    assert not (tmp_path / "ran").exists()


def test_keys_that_cannot_be_used(ssh_server: SshServer, over_ssh: Policy, tmp_path: Path) -> None:
    new_key(tmp_path / "locked", passphrase="secret")
    (tmp_path / "no key").write_text("hello")

    def refused(keys: dict[str, Path]) -> str:
        return _refused(ssh_server, replace(over_ssh, ssh_keys=keys))

    host = f"127.0.0.1:{ssh_server.port}"
    assert f"add {host}=FILE to INGEST_REPOSITORY_SSH_KEYS" in refused({})
    assert f"add {host}=FILE" in refused({"127.0.0.1": tmp_path / "key"})  # that is the key for another port
    assert "has a passphrase" in refused({host: tmp_path / "locked"})
    assert "is not a private key" in refused({host: tmp_path / "no key"})
    assert "cannot be read" in refused({host: tmp_path / "nowhere"})
    assert "cannot be read" in _refused(ssh_server, replace(over_ssh, known_hosts=tmp_path / "nowhere"))
    assert ssh_server.logins == []


def test_a_missing_repository(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path
) -> None:
    repo.commit(ONE)
    one = _mirror(ssh_server, over_ssh, tmp_path)
    one.fetch()
    repo.path.rename(tmp_path / "gone")
    assert "does not appear to be a git repository" in _refused(ssh_server, over_ssh)
    with pytest.raises(ConfigurationError, match="has no such repository for the key"):
        one.fetch()
    assert bodies(RepositorySource("repositories", one)) == ONE


async def _silent(_: Process) -> None:
    await asyncio.sleep(5)


async def _dripping(process: Process) -> None:
    process.stdout.write(b"fff0")  # announces a line that never ends
    while True:
        process.stdout.write(b"a")
        await asyncio.sleep(0.05)


async def _scolding(process: Process) -> None:
    process.stderr.write(b"no\x1b[31m " * 5_000)
    process.exit(1)


async def _raving(process: Process) -> None:
    while True:
        process.stderr.write(b"no " * 5_000)
        await process.stderr.drain()


async def _senseless(process: Process) -> None:
    process.stdout.write(b"welcome to the machine\n" * 10)
    process.exit(0)


async def _leaving(process: Process) -> None:
    process.channel.get_connection().abort()


@pytest.mark.parametrize(
    ("misbehave", "error", "words"),
    [
        (_silent, UnavailableError, r"longer than 0\.7 s"),
        (_dripping, UnavailableError, r"longer than 0\.7 s"),
        (_scolding, ConfigurationError, "has no such repository for the key"),
        (_raving, UnavailableError, r"longer than 0\.7 s"),
        (_senseless, UnavailableError, "The server refused: Invalid pkt-line"),
        (_leaving, UnavailableError, "could not be reached|hung up"),
    ],
)
def test_servers_that_misbehave(
    repo: TestRepo,
    ssh_server: SshServer,
    over_ssh: Policy,
    tmp_path: Path,
    misbehave: Callable[[Process], Awaitable[None]],
    error: type[Exception],
    words: str,
) -> None:
    repo.commit(ONE)
    one = _mirror(ssh_server, over_ssh, tmp_path)
    one.fetch()
    repo.commit(TWO)
    one.limits = FetchLimits(seconds=0.7)
    ssh_server.misbehave = misbehave
    began = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        one.fetch()
    assert time.monotonic() - began < 3
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    assert bodies(RepositorySource("repositories", one)) == ONE
    assert not list((one.folder / "objects" / "pack").glob("tmp*"))


def test_more_than_the_limit_is_stopped_during_the_transfer(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path
) -> None:
    repo.commit({f"f{i}.bin": os.urandom(1 << 20) for i in range(6)})
    one = _mirror(ssh_server, over_ssh, tmp_path)
    one.limits = FetchLimits(repository_bytes=1 << 20)
    with pytest.raises(ConfigurationError, match="limit for a repository"):
        one.fetch()


async def _flooding(process: Process) -> None:
    line = b"003d" + b"a" * 40 + b" refs/heads/" + b"x" * 4 + b"\n"  # a ref, repeated endlessly
    lines = line * 500  # a line at a time, sending takes half a minute
    for _ in range(4_000):
        process.stdout.write(lines)
        await process.stdout.drain()


def test_endless_refs_are_stopped_during_the_transfer(
    repo: TestRepo, ssh_server: SshServer, over_ssh: Policy, tmp_path: Path
) -> None:
    repo.commit(ONE)
    ssh_server.misbehave = _flooding
    one = _mirror(ssh_server, over_ssh, tmp_path)
    with pytest.raises(ConfigurationError, match="limit for its list of refs"):
        one.fetch()


def test_ssh_is_also_limited_to_public_addresses(ssh_server: SshServer, over_ssh: Policy) -> None:
    closed = replace(over_ssh, allow_private_addresses=False)
    with pytest.raises(ConfigurationError, match="private or reserved"):
        parse_origin(ssh_server.url(), closed)
    with pytest.raises(ConfigurationError, match="private or reserved"):
        remote_heads(parse_origin(ssh_server.url(), over_ssh), closed)
    assert ssh_server.logins == []


def test_the_key_for_the_longest_matching_part_of_an_address() -> None:
    policy = Policy(
        protocols=frozenset({"ssh"}),
        known_hosts=Path("/known"),
        ssh_keys={
            "github.com": Path("/all"),
            "github.com/acme": Path("/acme"),
            "github.com/acme/crm": Path("/crm"),
            "git.example.org:2222": Path("/other"),
            "GitHub.com/Acme/Shop.git": Path("/shop"),
            "git.example.org/~/team/app": Path("/app"),
            "[2606:4700:4700::1111]:2222": Path("/six"),
        },
    )
    assert policy.key_for("github.com", 22, "/acme/crm.git") == Path("/crm")
    assert policy.key_for("github.com", 22, "acme/crm2") == Path("/acme")
    assert policy.key_for("github.com", 22, "/acmeist/crm") == Path("/all")
    assert policy.key_for("git.example.org", 2222, "/x") == Path("/other")
    assert policy.key_for("github.com", 22, "acme/shop") == Path("/shop")
    assert policy.key_for("git.example.org", 22, "team/app.git") == Path("/app")
    assert policy.key_for("2606:4700:4700::1111", 2222, "/x") == Path("/six")
    for host, port in (("git.example.org", 22), ("github.com", 2222), ("gitlab.com", 22)):
        with pytest.raises(ConfigurationError, match="No key for"):
            policy.key_for(host, port, "/acme/crm")
