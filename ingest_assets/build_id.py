"""Which build of the code this is, because two builds may have one version.

What belongs here: telling builds apart. What does not: who may not work beside whom (`orchestration.hosts`).
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_HERE = Path(__file__).parent
_DIGITS = 8


@cache
def build_id() -> str:
    """Eight hexadecimal digits: the same wherever the same code is installed, however that was done."""
    listed = _as_installed() or _as_it_lies_here()
    return blake2b("\n".join(listed).encode(), digest_size=_DIGITS // 2).hexdigest()


def _as_installed() -> list[str]:
    """The modules and their digests in what a wheel's installation recorded; nothing of a checkout."""
    try:
        found = distribution("ingest-assets")
    except PackageNotFoundError:
        return []
    if Path(str(found.locate_file(f"{_HERE.name}/{Path(__file__).name}"))) != Path(__file__):
        return []
    record = (found.read_text("RECORD") or "").splitlines()
    rows = [row.rpartition(",")[0] for row in record if row.startswith(f"{_HERE.name}/")]
    return sorted(row for row in rows if ".py,sha256=" in row)


def _as_it_lies_here() -> list[str]:
    modules = sorted(_HERE.rglob("*.py"))
    return [f"{each.relative_to(_HERE)},{blake2b(each.read_bytes()).hexdigest()}" for each in modules]
