"""Addresses that are local under other names: refused in every spelling, after redirects, and from DNS."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.repositories.mirror import remote_heads
from ingest_assets.sources.repositories.origin import Origin, parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets_tests.sources.repositories.git_server import GitServer, redirect
from ingest_assets_tests.sources.test_addresses import LOCAL_4, LOCAL_6, PUBLIC


def _spellings(address: str) -> list[str]:
    """Of an IPv4 address: as numbers, in other bases, with fewer parts, embedded in IPv6, in other digits."""
    value, parts = int(ipaddress.IPv4Address(address)), [int(part) for part in address.split(".")]
    last, low = address, f"{value >> 16:x}:{value & 0xFFFF:x}"
    embedded = [
        f"::ffff:{last}", f"::ffff:{low}", f"0:0:0:0:0:ffff:{low}", f"::{low}" if value > 1 else "::1",
        f"::ffff:0:{low}", f"64:ff9b::{low}", f"64:ff9b::{last}", f"64:ff9b:1::{low}", f"2002:{low}::1",
        f"2001:0:{low}::1", f"2606:4700::5efe:{low}", f"2606:4700::200:5efe:{low}",
    ]  # fmt: skip
    wide = str.maketrans({digit: chr(ord(digit) + 0xFEE0) for digit in "0123456789"} | {".": "\u3002"})
    dotted = [
        str(value), hex(value), f"0{value:o}", hex(value).upper(),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(map(hex, parts)), f"{parts[0]}.{value & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{value & 0xFFFF}",
        f"{address}.", f"{address}..", ".".join(f"{part:03}" for part in parts), address.translate(wide),
        f"{address.translate(wide)}\u3002", address.replace(".", "\uff0e"),
    ]  # fmt: skip
    return [address, *dotted, *(f"[{one}]" for one in embedded), *(f"[{one}%25eth0]" for one in embedded)]


@pytest.mark.parametrize("address", LOCAL_4)
def test_every_spelling_of_a_local_address_is_refused(address: str) -> None:
    for host in _spellings(address):
        for url in (f"https://{host}/a", f"https://{host}:443/a"):
            with pytest.raises(ConfigurationError):
                parse_origin(url, Policy())


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    shown = f"[{address}]" if ":" in address else address
    assert parse_origin(f"https://{shown}/a", Policy()).url


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "localhost..", "x.\uff4cocalhost", "a.internal.", "b\u3002local\u3002"],
)
def test_local_names_in_other_spellings(host: str) -> None:
    with pytest.raises(ConfigurationError, match="private name"):
        parse_origin(f"https://{host}/a", Policy())


@pytest.mark.parametrize("answer", [*LOCAL_4, *LOCAL_6, "fe80::1%eth0", "2606:4700::1111%eth0"])
def test_local_addresses_from_dns_are_refused(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Also if they are only the second of the addresses of a name."""
    asked = []

    def look(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", ("8.8.8.8", port)), (0, 0, 0, "", (answer, port, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    origin = Origin(id="x", name="x", url="https://git.example.org/x", web="https://git.example.org/x")
    with pytest.raises(ConfigurationError, match=r"private or reserved|local network"):
        remote_heads(origin, Policy(), 5)
    assert asked == ["git.example.org"]  # nothing was connected to


@pytest.mark.parametrize("address", LOCAL_4[::3])
def test_every_spelling_is_refused_after_a_redirect(server: GitServer, address: str) -> None:
    class OnlyTheFirst(Policy):
        """The first host is allowed for this test; what it redirects to is checked like any other."""

        def require_address(self, host: str, address: Any) -> None:
            if server.requests:
                super().require_address(host, address)

    policy = OnlyTheFirst(protocols=frozenset({"http"}))
    origin = Origin(id="x", name="x", url=server.url(), web=server.url())
    for host in _spellings(address):
        if not host.isascii():
            continue  # not in a header
        server.requests.clear()
        server.misbehave = redirect(f"http://{host}:{server.port}/repo/info/refs?service=git-upload-pack")
        with pytest.raises(ConfigurationError):
            remote_heads(origin, policy, 5)
        assert len(server.requests) == 1


def test_an_allowed_address_is_the_same_in_every_spelling() -> None:
    policy = Policy(hosts=frozenset({"[2606:4700:0:0::1111]", "8.8.8.8"}))
    parse_origin("https://[2606:4700::1111]/a", policy)
    parse_origin("https://[2606:4700:0::0:1111]/a", policy)
    with pytest.raises(ConfigurationError, match="not an allowed host"):
        parse_origin("https://[2606:4700::1112]/a", policy)
