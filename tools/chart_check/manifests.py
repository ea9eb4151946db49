"""What is wrong with manifests that are applied together: their form, the names they use, who may reach whom.

What belongs here: functions of manifests. What does not: where they come from, and Dagster's settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import yaml

Manifest = dict[str, Any]
Labels = dict[str, str]
# Pods that are in every cluster and in no manifest here.
OF_THE_CLUSTER: Labels = {"k8s-app": "kube-dns"}
# Of each server, its port and the pods that must reach it.
NEEDS = {
    "postgres": (5432, ("ingest-serve", "ingest-web", "ingest-embed", "daemon", "code server", "run")),
    "qdrant": (6333, ("ingest-serve", "ingest-embed", "daemon", "code server", "run")),
    "code server": (4000, ("daemon", "ingest-web")),
}


def documents(text: str) -> list[Manifest]:
    """The manifests of a file with several."""
    return [each for each in yaml.safe_load_all(text) if each]


def name_of(manifest: Manifest) -> str:
    """For people: Deployment/daemon."""
    metadata = manifest["metadata"]
    return f"{manifest['kind']}/{metadata.get('name') or metadata['generateName']}"


def invalid(manifests: list[Manifest], version: str) -> Iterator[str]:
    """A line for each that this release of Kubernetes refuses by its schema."""
    for each in manifests:
        try:
            kubernetes_validate.validate(_without_empty(each), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name_of(each)}: Kubernetes {version} refuses it: {error.message[:300]}"


def _without_empty(value: Any) -> Any:
    """Without keys that have no value, which templates leave behind and a cluster drops."""
    if isinstance(value, dict):
        return {key: _without_empty(each) for key, each in value.items() if each is not None}
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


def missing(manifests: list[Manifest], manual: str) -> Iterator[str]:
    """A line for each ConfigMap, Secret or ServiceAccount that a pod needs and nothing has.

    Secrets, and their keys, are those that the manual has people create.
    """
    there = {(each["kind"], each["metadata"].get("name")) for each in manifests}
    created = re.findall(r"create secret generic (\S+) ((?:--from-literal=\S+(?: \\\s+)?\s*)+)", manual)
    keys = {name: set(re.findall(r"--from-literal=(\w[\w-]*)=", literals)) for name, literals in created}
    there |= {("Secret", name) for name in keys}
    for each in manifests:
        for kind, name, key in _needed(each):
            if (kind, name) not in there:
                yield f"{name_of(each)}: there is no {kind} {name}"
            elif key and kind == "Secret" and key not in keys[name]:
                yield f"{name_of(each)}: the Secret {name} has no {key}"


def _needed(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    pod = pod_of(manifest)
    for container in [*pod.get("initContainers", ()), *pod.get("containers", ())]:
        for source in container.get("envFrom", ()):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source and not source[key].get("optional"):
                    yield kind, source[key]["name"], ""
        for variable in container.get("env", ()):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield "Secret", reference["name"], reference["key"]
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], ""
    if account := pod.get("serviceAccountName"):
        yield "ServiceAccount", account, ""


def pod_of(manifest: Manifest) -> dict[str, Any]:
    """The pod that a workload makes; nothing for other kinds, and for a workload without replicas."""
    spec = manifest.get("spec") or {}
    if spec.get("replicas") == 0:
        return {}
    pod: dict[str, Any] = (spec.get("template") or {}).get("spec") or {}
    return pod


def labels_of(manifests: list[Manifest], run: Labels) -> dict[str, Labels]:
    """The labels of each pod that there will be, by a name; `run`: those of a run's."""
    found = {"run": run}
    for each in (each for each in manifests if pod_of(each)):
        labels = each["spec"]["template"]["metadata"]["labels"]
        component = {"dagster-daemon": "daemon", "user-deployments": "code server"}
        name = component.get(labels.get("component", "")) or name_of(each).partition("/")[2].rstrip("-")
        found[name] = labels
    return found


def unselected(manifests: list[Manifest], run: Labels) -> Iterator[str]:
    """A line for each selector of a policy, a service or a budget that selects no pod."""
    pods = [*labels_of(manifests, run).values(), OF_THE_CLUSTER]
    off = [each["spec"]["template"]["metadata"]["labels"] for each in manifests if _is_off(each)]
    for each in manifests:
        for selector in _selectors(each):
            if not any(selector.items() <= labels.items() for labels in [*pods, *off]):
                yield f"{name_of(each)}: no pod has {selector}"


def _is_off(manifest: Manifest) -> bool:
    return (manifest.get("spec") or {}).get("replicas") == 0


def _selectors(manifest: Manifest) -> Iterator[Labels]:
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "Service":
        yield spec["selector"]
    elif manifest["kind"] == "PodDisruptionBudget":
        yield spec["selector"]["matchLabels"]
    elif manifest["kind"] == "NetworkPolicy":
        yield spec["podSelector"].get("matchLabels", {})
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                yield peer["podSelector"].get("matchLabels", {})


def unreachable(manifests: list[Manifest], run: Labels) -> Iterator[str]:
    """A line for each pod that the policies keep from a server that it needs."""
    pods = labels_of(manifests, run)
    for server, (port, clients) in NEEDS.items():
        for client in clients:
            if not {server, client} <= pods.keys():
                yield f"there is no pod {server if server not in pods else client}"
            elif not _lets_in(manifests, pods[server], pods[client], port):
                yield f"no policy lets {client} reach {server} at {port}"


def _lets_in(manifests: list[Manifest], server: Labels, client: Labels, port: int) -> bool:
    for policy in (each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"):
        if policy["podSelector"].get("matchLabels", {}).items() <= server.items():
            for rule in policy.get("ingress", ()):
                peers = [peer["podSelector"].get("matchLabels", {}) for peer in rule.get("from", ())]
                ports = [each["port"] for each in rule["ports"]]
                if port in ports and (not peers or any(peer.items() <= client.items() for peer in peers)):
                    return True
    return False
