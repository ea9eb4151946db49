"""The URL of a CRM's server: which forms are understood, and what of it people may see.

What belongs here: CRM_DB_URL as text. What does not: connecting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

POSTGRES, MYSQL, MARIADB = "postgresql", "mysql", "mariadb"
_DRIVERS = {POSTGRES: "postgresql+psycopg2", MYSQL: "mysql+pymysql", MARIADB: "mariadb+pymysql"}
_PORTS = {POSTGRES: 5432, MYSQL: 3306, MARIADB: 3306}
_FORM = "must be postgresql://, mysql:// or mariadb:// with USER:PASSWORD@HOST:PORT/DATABASE"
# What else may be in a URL. Others would read files, run commands or undo what reading depends on.
_PARAMETERS = {
    POSTGRES: {
        "application_name", "channel_binding", "gssencmode", "host", "options", "port", "require_auth",
        "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation", "sslrootcert",
        "target_session_attrs",
    },
    MYSQL: {"ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key", "unix_socket"},
}  # fmt: skip
_PLACE = ("host", "port", "options", "unix_socket")  # those that say which database it is


def parsed(text: str) -> sa.URL:
    """The URL with its driver. Raises ValueError, with a clause that shows nothing of it."""
    import sqlalchemy as sa

    try:
        url = sa.make_url(text)
        port = url.port
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(f"{_FORM}; in a name or password, @ : / ? # and % are percent-encoded") from None
    system = {"postgres": POSTGRES}.get(url.get_backend_name(), url.get_backend_name())
    if system not in _DRIVERS or url.drivername not in {system, _DRIVERS[system], "postgres"}:
        raise ValueError(_FORM)
    if not url.database:
        raise ValueError(f"{_FORM}: it names no database")
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError("must have a port from 1 to 65535 if any")
    known = _PARAMETERS[POSTGRES if system == POSTGRES else MYSQL]
    if unknown := sorted(set(url.query) - known):
        raise ValueError(f"has a parameter {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    return url.set(drivername=_DRIVERS[system])


def shown(url: sa.URL) -> str:
    """Which database it is: without the user, the password, and how it is reached."""
    system = url.get_backend_name()
    place = ", ".join(f"{name} {url.query[name]}" for name in _PLACE if name in url.query)
    host = (url.host or "localhost").lower()
    host = f"[{host}]" if ":" in host else host
    is_socket = "unix_socket" in url.query or ("host" in url.query and not url.host)
    at = "" if is_socket else f"{host}:{url.port or _PORTS[system]}"
    return f"{system}://{at}/{url.database}" + (f" ({place})" if place else "")
