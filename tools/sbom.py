"""A bill of materials from lock files: CycloneDX 1.6 as JSON, the same bytes for the same lock files.

    python -m tools.sbom requirements.lock deploy/image/extras.lock > sbom.cdx.json

Packages whose markers say that they are not for this system and Python are left out: they are not installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from ingest_assets import __version__
from ingest_assets.terminal import complain, say

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_FORMAT = "1.6"
# What a document is named after, so that it has the same name wherever it is made.
_NAMESPACE = uuid.UUID("0d7a2f0e-6c52-5f5b-9d0e-6a1c3b0f8f7b")


def bill(locks: list[str]) -> dict[str, Any]:
    """The document for the texts of lock files. Raises ValueError for a line that is no pinned package."""
    components = sorted((each for lock in locks for each in _components(lock)), key=lambda c: str(c["name"]))
    product = {
        "type": "application",
        "bom-ref": f"pkg:pypi/ingest-assets@{__version__}",
        "name": "ingest-assets",
        "version": __version__,
        "purl": f"pkg:pypi/ingest-assets@{__version__}",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    content = hashlib.sha256("".join(locks).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": _FORMAT,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}",
        "version": 1,
        "metadata": {"component": product},
        "components": components,
        "dependencies": [{"ref": product["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _components(lock: str) -> Iterator[dict[str, Any]]:
    for line in lock.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement = Requirement(line.split("--hash")[0].strip())
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        pins = list(requirement.specifier)
        hashes = _HASH.findall(line)
        if len(pins) != 1 or pins[0].operator != "==" or not hashes:
            raise ValueError(f"{requirement.name} is not pinned to a version with hashes.")
        reference = f"pkg:pypi/{requirement.name.lower()}@{pins[0].version}"
        yield {
            "type": "library",
            "bom-ref": reference,
            "name": requirement.name,
            "version": pins[0].version,
            "purl": reference,
            # One of each file that may be installed: a wheel for each platform.
            "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(hashes)],
        }


def main(paths: list[str]) -> int:
    """Print the document; return the exit status."""
    if not paths:
        complain("Name the lock files: python -m tools.sbom requirements.lock")
        return 2
    say(json.dumps(bill([Path(path).read_text(encoding="utf-8") for path in paths]), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
