"""Has Helm check our values against a chart's schemas, and render its templates with them.

What belongs here: the chart and Helm. What does not: what the manifests say (`manifests`).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import yaml

from ingest_assets.model import IngestError

VALUES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "values.yaml"
RELEASE, NAMESPACE = "dagster", "ingest"
# Where the chart's schemas look up Kubernetes' own types; kubernetes-validate has them, too.
_ELSEWHERE = re.compile(r"https?://[^\"#]*_definitions\.json#/definitions/")
_DEFINITIONS = (
    Path(kubernetes_validate.__file__).parent
    / "kubernetes-json-schema"
    / "v1.31.0-local"
    / "_definitions.json"
)


def rendered(chart: Path, scratch: Path) -> str:
    """What Helm makes of the chart in this folder. Raises IngestError with what it has against our values."""
    copy = scratch / chart.name
    shutil.copytree(chart, copy)
    for schema in copy.rglob("values.schema.json"):
        text = schema.read_text(encoding="utf-8")
        schema.write_text(_ELSEWHERE.sub(f"{_DEFINITIONS.as_uri()}#/$defs/", text), encoding="utf-8")
    values = ["--values", str(VALUES)]
    _helm("lint", str(copy), *values)
    return _helm("template", RELEASE, str(copy), "--namespace", NAMESPACE, *values)


def _helm(*arguments: str) -> str:
    ended = subprocess.run(["helm", *arguments], check=False, capture_output=True, text=True)
    if ended.returncode:
        raise IngestError(f"helm {arguments[0]} says:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def unknown(chart: Path) -> list[str]:
    """Names at the top of our values that the chart does not have: Helm ignores them silently."""
    ours = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    theirs = schema.get("properties", {})
    return [f"{name}: the chart has no such value" for name in ours if name not in theirs]
