"""Whether the Redis that the settings name answers us, takes what we keep, and is closed to strangers."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import NamedTuple

from ingest_assets.cache.connection import connect
from ingest_assets.cache.redis_cache import ANSWERS
from ingest_assets.certificates import is_refused, shown_by
from ingest_assets.internet import is_on_the_internet
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings

# A probe may wait longer than a search.
PROBE_S = 2.0


class Probed(NamedTuple):
    """What a probe found. `message` says it in one sentence, and what to do where it is not well."""

    well: bool
    message: str


def probe(settings: Settings) -> Probed:
    """Try it as a search would, and as a stranger would. Raises nothing, and shows no secret."""
    where = f"Redis at {settings.redis_host}:{settings.redis_port}"
    if wrong := _refusal(settings):
        return Probed(well=False, message=f"{where} {redact(wrong)}")
    public, lets_in_all = is_on_the_internet(settings.redis_host, settings.redis_port), _lets_in_all(settings)
    if public and lets_in_all:
        said = (
            "has a public address and asks for no password: whoever reaches it can read what is kept there. "
            "Set one (requirepass, or an ACL), and REDIS_PASSWORD."
        )
    elif public and not settings.redis_ssl:
        said = (
            "has a public address, and the connection is not encrypted: set REDIS_SSL=true, or use a private "
            "address."
        )
    else:
        asks = "no password" if lets_in_all else "a password"
        return Probed(well=True, message=f"{where} answers, and keeps what it is given. It asks for {asks}.")
    return Probed(well=False, message=f"{where} {said}")


def _refusal(settings: Settings) -> str:
    """What keeps us from using it, as the rest of a sentence; "" if nothing does."""
    from redis.exceptions import AuthenticationError, ResponseError

    key = f"{ANSWERS}probe:{secrets.token_hex(8)}"
    with closing(connect(settings, max(PROBE_S, settings.redis_timeout_s))) as client:
        try:
            client.set(key, "1", ex=1)
            client.unlink(key)
        except AuthenticationError as error:
            return f"does not let us in ({error}): {_mend_login(settings, str(error))}."
        except ResponseError as error:
            return f"answers, but does not keep values ({error}): see its limits (maxmemory) and its ACL."
        except Exception as error:  # noqa: BLE001 - whatever answers there, it is not as it should be
            if is_refused(error) and (days := shown_by(settings.redis_host, settings.redis_port)):
                return f"cannot be used: {days}."
            what = f"{type(error).__name__}: {error}"
            return f"does not answer as Redis does ({what}): check REDIS_HOST, REDIS_PORT and REDIS_SSL."
    return ""


def _mend_login(settings: Settings, said: str) -> str:
    if settings.redis_password is None:
        return "set REDIS_PASSWORD"
    if "without any password" in said or "no password is set" in said:
        return "it has no password; set one there (requirepass), or unset REDIS_PASSWORD"
    return "check REDIS_PASSWORD and REDIS_USERNAME"


def _lets_in_all(settings: Settings) -> bool:
    timeout_s = max(PROBE_S, settings.redis_timeout_s)
    with closing(connect(settings, timeout_s, with_password=False)) as client:
        try:
            return bool(client.ping())
        except Exception:  # noqa: BLE001 - a refusal, in whatever form, is what is hoped for
            return False
