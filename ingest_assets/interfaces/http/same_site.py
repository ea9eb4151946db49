"""Requests that another site's page makes a browser send are refused.

A browser sends such requests with the user's reach: to this machine's loopback address, or with a cookie.
It says so itself, in Sec-Fetch-Site and Origin. A server that only this machine can reach also requires a
Host header that names this machine: a site may let its own name point here (DNS rebinding), and is then
same-origin.

What belongs here: Host, Origin and Sec-Fetch-Site. What does not: tokens.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from ingest_assets.interfaces.http.problems import Problem

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def require_same_site(scope: Scope, *, local_only: bool, changes: bool = False, linked: bool = False) -> None:
    """Raises a Problem for a request of another site's page.

    `local_only`: there are no tokens. `changes`: the request changes something, whatever its method.
    `linked`: other sites may link to it, as the request has no effect and they cannot see the answer.
    """
    headers = Headers(scope=scope)
    host = headers.get("host", "").lower()
    if local_only and _hostname(host) not in LOOPBACK:
        message = "Without tokens this server only answers to localhost, not to the name in the Host header."
        raise Problem(421, "host_not_allowed", message)
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    foreign = Problem(403, "cross_origin", "This server does not answer other sites' pages.")
    if site is not None and site not in {"none", "same-origin"} and not linked:
        raise foreign
    # Behind a proxy for TLS only the scheme differs: it has to pass Host on.
    if origin is not None and origin.lower().partition("://")[2] != host:
        raise foreign
    silent = site is None and origin is None and headers.get("user-agent", "").startswith("Mozilla/")
    if local_only and changes and silent:
        # An image or a link of another site could be the reason, and this old browser would not say so.
        message = "Your browser does not say which site sent this request (Sec-Fetch-Site). Use a newer one."
        raise Problem(403, "cross_origin", message)


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
