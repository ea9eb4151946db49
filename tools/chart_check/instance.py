"""What Dagster makes of the dagster.yaml that the chart renders.

What belongs here: the instance's settings and the launcher's. What does not: Kubernetes' manifests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tools.chart_check.manifests import Labels, Manifest

# In a process of its own, because only adapters import dagster. The coordinator's class, and the limits.
_READ = """
import json, sys
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
dagster_instance_config(sys.argv[1])
ref = InstanceRef.from_dir(sys.argv[1])
print(json.dumps([ref.run_coordinator_data.class_name, ref.settings.get("concurrency")]))
"""
_LAUNCHER = """
import json, sys
from dagster._config import process_config
from dagster_k8s import K8sRunLauncher
made = process_config(K8sRunLauncher.config_type(), json.loads(sys.argv[1]))
print(json.dumps([error.message for error in made.errors or ()]))
"""
# What dagster-k8s gives to the pod of a run, besides what the launcher is told.
_OF_A_RUN = {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/part-of": "dagster"}


def instance_of(manifests: list[Manifest]) -> str:
    """The dagster.yaml among the chart's manifests."""
    [found] = [each for each in manifests if each["metadata"]["name"] == "dagster-instance"]
    text: str = found["data"]["dagster.yaml"]
    return text


def run_labels(manifests: list[Manifest]) -> Labels:
    """The labels of the pod of a run."""
    config = yaml.safe_load(instance_of(manifests))["run_launcher"]["config"]
    told: Labels = config["run_k8s_config"]["pod_template_spec_metadata"]["labels"]
    return _OF_A_RUN | told


def instance_faults(manifests: list[Manifest]) -> list[str]:
    """A line for what Dagster refuses, or would do otherwise than on one box."""
    text = instance_of(manifests)
    with tempfile.TemporaryDirectory(prefix="instance-") as home:
        Path(home, "dagster.yaml").write_text(text, encoding="utf-8")
        said = _python(_READ, home)
    if isinstance(said, str):
        return [f"Dagster refuses the chart's dagster.yaml: {said}"]
    coordinator, limits = said
    box = Path(__file__).resolve().parents[2] / "dagster.yaml"
    wanted = yaml.safe_load(box.read_text(encoding="utf-8"))["concurrency"]
    found = []
    if coordinator != "QueuedRunCoordinator":
        found.append(f"runs are started by {coordinator}, which has no queue: no limit of concurrency holds")
    if limits != wanted:
        found.append(f"the limits of concurrency are {limits}, and {wanted} on one box")
    return found + _launcher_faults(yaml.safe_load(text)["run_launcher"]["config"])


def _launcher_faults(config: dict[str, Any]) -> list[str]:
    if importlib.util.find_spec("dagster_k8s") is None:
        # It is in the image alone: pip install --no-deps --target FOLDER -r deploy/image/extras.lock
        return ["dagster-k8s is not installed here, so what the run launcher is told is not checked"]
    said = _python(_LAUNCHER, json.dumps(config))
    return [said] if isinstance(said, str) else [f"K8sRunLauncher: {line}" for line in said]


def _python(code: str, argument: str) -> Any:
    """What a program prints as JSON; the end of what it says where it fails, as a str."""
    secrets = {"DAGSTER_PG_PASSWORD": "only-read"}
    ended = subprocess.run(
        [sys.executable, "-c", code, argument],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | secrets,
    )
    return json.loads(ended.stdout) if ended.returncode == 0 else ended.stderr[-1_000:]
