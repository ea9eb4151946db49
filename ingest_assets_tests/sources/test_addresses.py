"""What is public, and what a rule about hosts allows, whoever asks."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.internet import is_on_the_internet, is_public
from ingest_assets.sources.addresses import HostRules, NotAllowedError, checked_host

LOCAL_4 = [
    "127.0.0.1", "127.255.255.254", "10.0.0.8", "172.31.255.1", "192.168.0.1", "0.0.0.0", "0.1.2.3",
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "100.64.0.1", "168.63.129.16", "192.0.0.192",
    "192.0.0.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "224.0.0.1", "255.255.255.255", "240.0.0.1",
]  # fmt: skip
LOCAL_6 = [
    "::1", "::", "fe80::1", "fe80::a9fe:a9fe", "fec0::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "ff02::1", "2001:db8::1", "2001::1", "2001:10::1", "2001:20::1", "100::1", "3fff::1", "3ffe::1",
    "5f00::1", "64:ff9b:1::808:808", "::808:808", "::ffff:0:808:808",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "140.82.121.3",
    "100.128.0.1",
    "192.0.1.1",
    "168.63.129.17",
    "2606:4700::1111",
]


@given(st.ip_addresses(v=4))
def test_whatever_embeds_an_address_is_as_public_as_that(address: ipaddress.IPv4Address) -> None:
    value = int(address)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | value)) == is_public(
            address
        )
    assert is_public(ipaddress.IPv6Address((0x2002 << 112) | (value << 80) | 1)) == is_public(address)
    if not is_public(address):
        assert not is_public(ipaddress.IPv6Address(f"2606:4700::5efe:{value >> 16:x}:{value & 0xFFFF:x}"))


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_public_that_python_knows_to_be_reserved(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Python's own list, which depends on its version, is never stricter."""
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if is_public(address) and inner is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize("address", [*LOCAL_4, *LOCAL_6])
def test_local_addresses(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    HostRules().require_host(address)


def test_a_message_says_what_may_not_be_fetched() -> None:
    class Letters(HostRules):
        what = "Letters"

    rules = Letters(hosts=frozenset({"*.example.org", "localhost"}))
    rules.require_host("post.example.org")
    with pytest.raises(NotAllowedError, match=r"Letters may not be fetched from example\.org: it is not an"):
        rules.require_host("example.org")
    with pytest.raises(NotAllowedError, match="Letters may not be fetched from localhost: it is a private"):
        rules.require_host("localhost")
    with pytest.raises(NotAllowedError, match="The letter's URL has no host"):
        checked_host("", "the letter's URL")


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("127.0.0.1", False), ("10.1.2.3", False), ("192.168.1.1", False), ("::1", False), ("fe80::1", False),
        ("100.64.0.1", False), ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("no such host", False),
        ("b\u00fccher." * 30, False),
    ],
)  # fmt: skip
def test_which_hosts_are_on_the_internet(host: str, public: bool) -> None:
    assert is_on_the_internet(host, 80) == public
