"""Normalises identifiers so that they can be compared."""

from __future__ import annotations

import re
from functools import lru_cache

from ingest_assets.entities.text import fold
from ingest_assets.entities.wordlists import words

# Mail domains that say nothing about an organisation.
FREE_MAIL = frozenset(
    {
        "gmail.com",
        "googlemail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "yahoo.com",
        "yahoo.co.uk",
        "ymail.com",
        "icloud.com",
        "me.com",
        "mac.com",
        "aol.com",
        "gmx.com",
        "gmx.net",
        "gmx.de",
        "web.de",
        "t-online.de",
        "mail.com",
        "mail.ru",
        "yandex.ru",
        "proton.me",
        "protonmail.com",
        "fastmail.com",
        "zoho.com",
        "qq.com",
        "163.com",
        "126.com",
        "orange.fr",
        "free.fr",
        "laposte.net",
        "wanadoo.fr",
        "libero.it",
    }
)
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+")
MIN_PHONE_DIGITS = 7
KEYBOARD = "12345678901234567890 09876543210987654321"  # nobody's number
# Hosts of one provider, where a mailbox has the same name at each of them.
_ONE_PROVIDER = {
    "googlemail.com": "gmail.com", "ya.ru": "yandex.ru", "yandex.com": "yandex.ru",
    "protonmail.com": "proton.me",
    "pm.me": "proton.me", "me.com": "icloud.com", "mac.com": "icloud.com",
}  # fmt: skip
# Mailboxes that nobody reads: a record with one of these counts as having no address.
NO_REPLY = frozenset(["noreply", "no-reply", "donotreply", "do-not-reply", "no.reply"])


def email(value: str) -> str | None:
    """The mailbox behind an address, in one spelling; None if it is invalid or a placeholder.

    Without a display name, in lower case; without a tag (`ada+news@`), and for Gmail without full stops.
    """
    found = _EMAIL.search(value.strip().lower())
    if not found:
        return None
    address = found.group().removeprefix("mailto:").strip(".()[]'\"")
    local, _, host = address.partition("@")
    site = host.split(".")[0]
    # Somebody who types asdf@asdf.com has no address to give.
    if (
        not fold(local)
        or local in NO_REPLY
        or local == site
        or site in {"test", "example", "none", "invalid"}
    ):
        return None
    return _one_spelling(local, host)


def _one_spelling(local: str, host: str) -> str:
    host = _ONE_PROVIDER.get(host, host)
    local = local.partition("+")[0] or local
    return f"{local.replace('.', '') or local if host == 'gmail.com' else local}@{host}"


def is_role(address: str) -> bool:
    """Whether a role reads the mailbox, such as sales@, and not a person."""
    local = re.sub(r"[-_.]", "", address.partition("@")[0])
    return local in words("roles") or local.rstrip("0123456789") in words("roles")


@lru_cache(maxsize=100_000)
def phone(value: str) -> str | None:
    """E.164 if the number is written internationally, else its digits; None if too short or a filler."""
    import phonenumbers

    digits = re.sub(r"\D", "", re.split(r"(?i)\s*(?:x|ext\.?)\s*\d+$", value.strip())[0])
    if len(digits) < MIN_PHONE_DIGITS or len(set(digits)) == 1 or digits in KEYBOARD:
        return None
    written = re.sub(r"^[^\d+]+", "", value)
    if written.startswith("00"):
        written = "+" + written[2:]
    if written.startswith("+"):
        try:
            number = phonenumbers.parse(written)
        except phonenumbers.NumberParseException:
            return digits
        if _is_filler(str(number.national_number).rstrip("0")):
            return None
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return digits


def _is_filler(digits: str) -> bool:
    """Whether a national number without trailing zeros is too short, one digit repeated or a keyboard row."""
    return len(digits) < MIN_PHONE_DIGITS - 2 or len(set(digits)) == 1 or digits in KEYBOARD


def id_number(value: str) -> str | None:
    """An identification number in lower case, without spaces and punctuation; None if it is a filler."""
    found = fold(value).replace(" ", "")
    return None if not found or (len(found) > 1 and found in KEYBOARD) else found


def domain(value: str) -> str | None:
    """The host of a web site or mail address, without www; None for free-mail providers."""
    host = value.strip().lower()
    host = re.sub(r"^[a-z][a-z0-9+.-]*://", "", host)
    host = re.split(r"[/?#]", host)[0].rpartition("@")[2].partition(":")[0].strip(".")
    host = host.removeprefix("www.")
    if "." not in host or host in FREE_MAIL or host.split(".")[0] in {"test", "example", "none"}:
        return None
    return host
