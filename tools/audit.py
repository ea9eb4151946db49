"""Audit what is pinned: known advisories where a source of them is reachable, and each pin's age and licence.

Advisories come from pip-audit, which `uv` fetches. Without them, the age of a pin is the best hint: an old
one has had time to get some. Exit status 1 if an advisory is known.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ingest_assets.terminal import say, table

LOCK = Path("requirements.lock")
AUDIT = (
    "-m uv tool run --from pip-audit>=2.9,<3 pip-audit --no-deps --disable-pip --progress-spinner off -f json"
)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", re.MULTILINE)
_SIMPLE_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
_AT_ONCE = 8  # requests to the registry


def main() -> int:
    """Print what is known of each pin; return the exit status."""
    pins = dict(_PIN.findall(LOCK.read_text("utf-8")))
    advisories = _advisories()
    if advisories is None:
        say("No source of advisories is reachable from here. What follows are ages and licences only.\n")
    uploaded = _uploaded(pins)
    rows = [
        [name, version, _age(uploaded.get(name)), _licence(name), ", ".join((advisories or {}).get(name, ()))]
        for name, version in sorted(pins.items())
    ]
    table(("package", "version", "uploaded", "licence", "advisories"), rows, right=False)
    found = sum(map(len, (advisories or {}).values()))
    if advisories is not None:
        say(f"\n{found} known advisories for {len(pins)} packages.")
    return 1 if found else 0


def _advisories() -> dict[str, list[str]] | None:
    """Ids of known advisories, by package; None when they cannot be looked up."""
    command = [sys.executable, *AUDIT.split(), "-r", str(LOCK)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        found: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    if all("skip_reason" in each for each in found):
        return None
    return {each["name"]: [one["id"] for one in each.get("vulns", ())] for each in found}


def _uploaded(pins: dict[str, str]) -> dict[str, str]:
    """The date of each pinned version, as far as the registry that pip is set up for says it."""
    import httpx

    index = _index()
    with httpx.Client(headers=_SIMPLE_JSON, follow_redirects=True, timeout=30) as client:

        def date(pin: tuple[str, str]) -> str | None:
            name, version = pin
            try:
                files = client.get(f"{index}/{name}/").raise_for_status().json()["files"]
            except (httpx.HTTPError, ValueError, KeyError):
                return None
            mine = re.compile(rf"[^-]*-{re.escape(version)}(-|\.tar\.gz$|\.zip$)")
            dates = [each.get("upload-time") for each in files if mine.match(each["filename"])]
            return min(filter(None, dates), default=None)

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return {
                name: found
                for name, found in zip(pins, threads.map(date, pins.items()), strict=True)
                if found is not None
            }


def _index() -> str:
    """The registry that pip is set up for: its address is not ours to write down."""
    from pip._internal.models.index import PyPI

    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return (result.stdout.strip() or PyPI.simple_url).rstrip("/")


def _age(uploaded: str | None) -> str:
    if uploaded is None:
        return "unknown"
    days = (datetime.now(UTC) - datetime.fromisoformat(uploaded)).days
    return f"{uploaded[:10]} ({days:,} days)"


def _licence(name: str) -> str:
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    classifiers = [each for each in found.get_all("Classifier", ()) if each.startswith("License ::")]
    named = [*found.get_all("License-Expression", ()), *classifiers, *found.get_all("License", ()), "unknown"]
    return str(named[0]).rpartition(" :: ")[2].partition("\n")[0][:40]


if __name__ == "__main__":
    sys.exit(main())
