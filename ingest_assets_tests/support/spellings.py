"""How programs spell a text when they repeat it: what to search for to know that a secret is nowhere."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from functools import cache
from urllib.parse import quote, quote_plus


@cache
def spellings_of(secret: str) -> dict[str, str]:
    """Ways of spelling it, by what they are called."""
    raw = secret.encode()
    percent = quote(secret, safe="")
    found = {
        "as it is": secret,
        "percent-encoded": percent,
        "in lower case": re.sub("%..", lambda each: each[0].lower(), percent),
        "with slashes": quote(secret),
        "as in a form": quote_plus(secret),
        "twice": quote(percent),
        "every byte": "".join(f"%{byte:02X}" for byte in raw),
        "JSON": json.dumps(secret)[1:-1],
        "JSON in UTF-8": json.dumps(secret, ensure_ascii=False)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3],
        "JSON of PHP": json.dumps(secret)[1:-1].replace("/", "\\/"),
        "Python": repr(secret)[1:-1],
        "Python in Python": repr(repr(secret))[2:-2],
        "bytes": repr(raw)[2:-1],
        "HTML": html.escape(secret),
        "HTML in HTML": html.escape(html.escape(secret)),
        "hexadecimal": raw.hex(),
        "HEXADECIMAL": raw.hex().upper(),
    }
    for what, text in (("alone", secret), ("with a user", f"ada:{secret}"), ("without a user", f":{secret}")):
        found[f"base64 {what}"] = b64encode(text.encode()).decode().rstrip("=")
        found[f"base64url {what}"] = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return found


def spelt_in(secret: str, text: str) -> list[str]:
    """In which ways a text spells a secret."""
    return [way for way, spelt in spellings_of(secret).items() if spelt in text]
