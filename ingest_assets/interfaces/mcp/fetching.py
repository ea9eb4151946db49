"""What an agent may have fetched. An agent that follows instructions in a document must not send data out.

Whatever is asked of another server is a message to whoever reads its log: a path, a query, a user, a port, a
branch, even the name of a subdomain. So nothing is fetched for agents unless its host is listed
(INGEST_AGENT_REPOSITORY_HOSTS), and then an address consists of that host, an owner and a name, and no more.
People at the command line, and programs with a token over HTTP, are not bound by this.

What belongs here: the bounds for agents. What does not: what may be fetched at all, which the source checks.
"""

from __future__ import annotations

import re

from ingest_assets.model import RequestError
from ingest_assets.settings import Settings, listed

_OWNER, _NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})", r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
_ADDRESS = re.compile(rf"https://([A-Za-z0-9.-]+(?::[0-9]{{1,5}})?)/{_OWNER}/{_NAME}/?", re.ASCII)


def require_allowed(location: str, settings: Settings, *, here: bool = False) -> None:
    """Raises RequestError, which does not repeat the location, for what an agent may not have fetched.

    `here`: the agent's own machine is this one. It may name folders of it, which sends nothing to anybody.
    """
    if location.startswith("/") and not location.startswith("//"):
        if not here and not settings.ingest_agent_local_repositories:
            raise RequestError(
                "Agents may not have local repositories indexed here: the operator has not allowed it."
            )
        return
    hosts = {host.lower() for host in listed(settings.ingest_agent_repository_hosts)}
    if not hosts:
        raise RequestError(
            "Agents may not have repositories fetched here: the operator has listed no hosts for them."
        )
    found = _ADDRESS.fullmatch(location)
    if found is None:
        raise RequestError(
            "Agents give a repository as https://HOST/OWNER/NAME and nothing else: no user, query or "
            "fragment, no further path, and no unusual or very long names."
        )
    if found[1].lower() not in hosts:
        raise RequestError(
            f"Agents may not have repositories fetched from that host. Hosts: {', '.join(sorted(hosts))}."
        )
