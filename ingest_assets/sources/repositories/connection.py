"""Connections to remotes, whose addresses, bytes and time are under our own rules.

A name is resolved once, all its addresses are checked, and the connection goes to one of these, so a later
DNS answer cannot lead elsewhere. No proxy or configuration of the machine is used.

What belongs here: what every protocol shares. What does not: a protocol (over_http, over_ssh), which refs are
wanted (fetch), and what becomes of a pack (mirror).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from ingest_assets.certificates import has_run_out
from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.redaction import redact
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories.policy import Policy

CONNECT_S = 10.0
STALL_S = 30.0  # between two bytes
MAX_REFS_BYTES = 16 << 20  # of a list of refs: about 200,000 of them, which take ten times the memory
REFS = "its list of refs"  # what a conversation begins with, as messages call it


@contextmanager
def conversation(budget: FetchBudget) -> Iterator[None]:
    """Turns whatever a network, a server or its bytes can raise into an error of ours."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
    from urllib3.exceptions import HTTPError

    try:
        yield
    except IngestError:
        raise
    except (NotGitRepository, HTTPUnauthorized) as error:
        raise ConfigurationError(
            "The server has no such repository, or it is private: check the URL, or set a token for the host."
        ) from error
    except HangupException as error:
        budget.check()
        raise UnavailableError("The server hung up in the middle.") from error
    except GitProtocolError as error:
        budget.check()
        raise UnavailableError(f"The server refused: {one_line(error)}.") from error
    except (HTTPError, OSError) as error:
        budget.check()
        raise UnavailableError(f"The server could not be reached: {_reason(error)}.") from error
    except (AssertionError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        # Inside dulwich, bytes that are not git's protocol can raise any of these.
        budget.check()
        raise UnavailableError("The server does not speak git's protocol.") from error


def connect(host: str, port: int, policy: Policy, budget: FetchBudget, seconds: float) -> socket.socket:
    """A connection to a host that the policy allows, watched by the budget.

    Raises ConfigurationError when the host or its address is not allowed, UnavailableError when the name is
    not known or the time is up, and OSError when nobody answers in `seconds`.
    """
    addresses = policy.resolve(host, port, min(seconds, CONNECT_S))
    for address in addresses[:-1]:
        try:
            return _connected(address, port, budget, seconds)
        except OSError:
            budget.check()
    return _connected(addresses[-1], port, budget, seconds)


def _connected(address: str, port: int, budget: FetchBudget, seconds: float) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind, protocol)
    budget.watch(connection)  # first, so that connecting can be ended too
    connection.settimeout(seconds)
    try:
        connection.connect(place)
    except OSError:
        connection.close()
        raise
    return connection


def _reason(error: Exception) -> str:
    text = str(error)
    if has_run_out(error) or "certificate has expired" in text:
        return "its certificate has run out"
    if "CERTIFICATE_VERIFY_FAILED" in text or isinstance(error, ssl.SSLError):
        return "its certificate is not trusted"
    inner = getattr(error, "reason", None)
    return one_line(inner if isinstance(inner, Exception) else error)


def one_line(words: object) -> str:
    """A server's message, shortened, and without what could garble a log."""
    # Redacted before it is shortened: a part of a secret could not be recognised.
    text = "".join(c if c.isprintable() else " " for c in redact(str(words)))
    return " ".join(text.split())[:200].rstrip(".") or type(words).__name__
