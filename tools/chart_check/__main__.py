"""Check deploy/kubernetes with Dagster's Helm chart: its schemas, and what its templates make of our values.

    helm pull dagster/dagster --untar      # or a checkout of dagster-io/dagster
    python -m tools.chart_check dagster

Needs `helm`. Exit status 1 if something is wrong: a value that a schema refuses or the chart does not know, a
manifest that Kubernetes refuses, a name that nothing has, a policy that selects no pod, a pod that is shut
out of what it needs, or settings of an instance that Dagster refuses.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.terminal import complain, say
from tools.chart_check.chart import VALUES, rendered, unknown
from tools.chart_check.instance import instance_faults, run_labels
from tools.chart_check.manifests import documents, invalid, missing, unreachable, unselected

KUBERNETES = ("1.31", "1.34")  # the oldest and a new release that the manifests are for
FOLDER = VALUES.parent
MANUAL = FOLDER.parents[1] / "docs" / "deploying.md"


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if len(arguments) != 1:
        complain("Name the chart's folder: python -m tools.chart_check FOLDER")
        return 2
    if shutil.which("helm") is None:
        complain("chart_check: helm not found: https://helm.sh/docs/intro/install/")
        return 2
    chart = Path(arguments[0])
    with tempfile.TemporaryDirectory(prefix="chart-") as scratch:
        try:
            theirs = documents(rendered(chart, Path(scratch)))
        except IngestError as error:
            complain(f"chart_check: {error}")
            return 1
    paths = sorted(path for path in FOLDER.glob("*.yaml") if path != VALUES)
    ours = [each for path in paths for each in documents(path.read_text(encoding="utf-8"))]
    say(f"{len(theirs)} manifests of the chart, {len(ours)} of ours")
    everything = [*theirs, *ours]
    pods = run_labels(theirs)
    found = [
        *unknown(chart),
        *(line for version in KUBERNETES for line in invalid(theirs, version)),
        *missing(everything, MANUAL.read_text(encoding="utf-8")),
        *unselected(everything, pods),
        *unreachable(everything, pods),
        *instance_faults(theirs),
    ]
    for line in found:
        say(line)
    say(f"{len(found)} faults." if found else "The values and the manifests are right.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
