"""Check deploy/kubernetes/values.yaml against Dagster's Helm chart: its own values with ours, by its schema.

    helm pull dagster/dagster --untar      # or a checkout of dagster-io/dagster
    python -m tools.check_helm_values dagster

With `helm` installed the templates are rendered too. Exit status 1 if something is wrong.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ingest_assets.terminal import complain, say

OURS = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes" / "values.yaml"
_ELSEWHERE = ("http://", "https://")


def merged(base: Any, change: Any) -> Any:
    """As Helm merges values: mappings key by key, everything else is replaced."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base[key], value) if key in base else value for key, value in change.items()}


def faults(values: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """A line for each value that the schema refuses, and for each of ours that it has no place for."""
    from jsonschema import Draft7Validator

    errors = Draft7Validator(_local(schema)).iter_errors(values)
    return [f"{'.'.join(map(str, each.absolute_path)) or 'values'}: {each.message[:300]}" for each in errors]


def _local(schema: Any) -> Any:
    """Without references to schemas on other hosts, which only a network has."""
    if isinstance(schema, dict):
        return {
            key: _local(value)
            for key, value in schema.items()
            if not (key == "$ref" and isinstance(value, str) and value.startswith(_ELSEWHERE))
        }
    return [_local(each) for each in schema] if isinstance(schema, list) else schema


def unknown(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Names at the top that the chart does not have: Helm ignores them silently."""
    return [
        f"{name}: the chart has no such value" for name in ours if name not in theirs.get("properties", {})
    ]


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if len(arguments) != 1:
        complain("Name the chart's folder: python -m tools.check_helm_values FOLDER")
        return 2
    chart = Path(arguments[0])
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    ours = yaml.safe_load(OURS.read_text(encoding="utf-8"))
    theirs = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    found = [*faults(merged(theirs, ours), schema), *unknown(ours, schema)]
    if (helm := shutil.which("helm")) is not None:
        command = [helm, "template", "dagster", str(chart), "-f", str(OURS)]
        rendered = subprocess.run(command, check=False, capture_output=True, text=True)
        found += [rendered.stderr.strip()] if rendered.returncode else []
    for line in found:
        say(line)
    say(f"{len(found)} faults." if found else "The values are right.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
