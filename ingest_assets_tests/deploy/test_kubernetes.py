"""deploy/kubernetes: the manifests against Kubernetes' own schemas, and that what they name is there."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_assets_tests.support.built_index import ROOT
from tools.chart_check import manifests
from tools.chart_check.instance import instance_faults

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "values.yaml")
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text("utf-8"))
KUBERNETES = ("1.31", "1.34")  # the oldest and a new release that the manifests are for
DOCUMENTED = set(
    re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
)


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


RESOURCES = [each for path in FILES for each in documents(path)]
WORKLOADS = [each for each in RESOURCES if each["kind"] in ("Deployment", "StatefulSet", "Job")]


def name_of(resource: dict[str, Any]) -> str:
    metadata = resource["metadata"]
    return f"{resource['kind']}/{metadata.get('name') or metadata['generateName']}"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_are_valid(path: Path, version: str) -> None:
    import kubernetes_validate

    for resource in documents(path):
        kubernetes_validate.validate(resource, version, strict=True)


def test_an_invalid_manifest_is_found() -> None:
    import kubernetes_validate

    [job] = documents(FOLDER / "embed-job.yaml")
    job["spec"]["complections"] = job["spec"].pop("completions")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_no_pod_has_more_rights_than_it_needs(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    # Only what starts runs may speak to the cluster.
    assert pod.get("automountServiceAccountToken") is False or name_of(workload) == "Deployment/ingest-web"
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if workload["kind"] != "Job":
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_what_a_pod_mounts_and_reads_is_there(workload: dict[str, Any]) -> None:
    spec = workload["spec"]
    pod = spec["template"]["spec"]
    volumes = {each["name"] for each in pod["volumes"]}
    volumes |= {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", ())}
    maps = {each["metadata"]["name"] for each in RESOURCES if each["kind"] == "ConfigMap"}
    maps |= {"dagster-instance", "dagster-workspace-yaml"}  # the chart's
    for container in pod["containers"]:
        assert {each["name"] for each in container["volumeMounts"]} <= volumes
        for source in container.get("envFrom", ()):
            assert source.get("configMapRef", {}).get("name", "ingest-settings") in maps
    assert {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each} <= maps


def test_settings_are_ones_that_there_are_and_secrets_are_by_reference() -> None:
    [settings] = [each["data"] for each in RESOURCES if each["metadata"].get("name") == "ingest-settings"]
    assert settings.keys() <= DOCUMENTED
    assert not [each for each in RESOURCES if each["kind"] == "Secret"]
    for workload in WORKLOADS:
        for container in workload["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env", ()):
                if re.search("PASSWORD|KEY|TOKEN", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], variable


def test_the_nodes_of_qdrant_are_those_that_the_settings_name() -> None:
    [settings] = [each["data"] for each in RESOURCES if each["metadata"].get("name") == "ingest-settings"]
    [cluster] = [each for each in RESOURCES if name_of(each) == "StatefulSet/qdrant"]
    nodes = [f"http://qdrant-{n}.qdrant:6333" for n in range(cluster["spec"]["replicas"])]
    assert settings["QDRANT_URL"].split(",") == nodes
    assert int(settings["QDRANT_REPLICAS"]) <= len(nodes)


def test_every_workload_that_serves_has_a_disruption_budget_or_is_one_of_a_kind() -> None:
    budgets = [each["spec"] for each in RESOURCES if each["kind"] == "PodDisruptionBudget"]
    selected = {budget["selector"]["matchLabels"]["app.kubernetes.io/name"] for budget in budgets}
    assert selected == {"ingest-serve", "qdrant", "postgres"}


def test_policies_select_pods_that_there_are() -> None:
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS]
    ours = {(key, value) for each in labels for key, value in each.items()}
    of_the_chart = {
        ("app.kubernetes.io/name", "dagster"),
        ("component", "user-deployments"),
        ("k8s-app", "kube-dns"),
    }
    named = set()
    for policy in (each for each in RESOURCES if each["kind"] == "NetworkPolicy"):
        rules = [policy["spec"].get("ingress", []), policy["spec"].get("egress", [])]
        peers = [peer for each in rules for rule in each for peer in rule.get("from", rule.get("to", []))]
        selectors = [policy["spec"]["podSelector"], *(peer["podSelector"] for peer in peers)]
        named |= {pair for each in selectors for pair in each.get("matchLabels", {}).items()}
    assert named - of_the_chart <= ours


# Labels that the chart gives to pods, and dagster-k8s to those of runs. The code server has its own chart.
OF_THE_CHART = {
    "the daemon": {"app.kubernetes.io/name": "dagster", "component": "dagster-daemon"},
    "the code server": {
        "app.kubernetes.io/name": "dagster-user-deployments",
        "component": "user-deployments",
    },
    "a run": {"app.kubernetes.io/name": "dagster", "app.kubernetes.io/part-of": "dagster"},
}


@pytest.mark.parametrize("pod", OF_THE_CHART)
@pytest.mark.parametrize("server", ["postgres", "qdrant"])
def test_all_that_open_the_ledger_and_the_index_reach_them(server: str, pod: str) -> None:
    [policy] = [each for each in RESOURCES if name_of(each) == f"NetworkPolicy/{server}"]
    peers = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
    wanted = [peer["podSelector"]["matchLabels"].items() for peer in peers]
    assert any(labels <= OF_THE_CHART[pod].items() for labels in wanted)


def test_a_run_has_the_resources_of_the_launcher_and_not_those_of_the_code_server() -> None:
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    assert code["includeConfigInLaunchedRuns"] == {"enabled": False}
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert launcher["envConfigMaps"] == code["envConfigMaps"]
    assert launcher["envSecrets"] == code["envSecrets"]


def test_the_shards_of_the_job_are_all_there() -> None:
    [job] = documents(FOLDER / "embed-job.yaml")
    [container] = job["spec"]["template"]["spec"]["containers"]
    [shards] = [int(each["value"]) for each in container["env"] if each["name"] == "SHARDS"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == shards
    assert 'job embed --shard "$((JOB_COMPLETION_INDEX + 1))/$SHARDS"' in container["args"][0]


def in_snake(values: dict[str, Any]) -> dict[str, Any]:
    """As dagster.yaml spells what the chart has in camel case."""
    return {re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", key): value for key, value in values.items()}


def test_the_chart_runs_what_one_box_runs() -> None:
    box = yaml.safe_load((ROOT / "dagster.yaml").read_text("utf-8"))
    enabled, *limits = VALUES["concurrency"].items()
    assert enabled == ("enabled", True)
    assert {name: in_snake(value) for name, value in limits} == box["concurrency"]
    # Without the queue no limit holds: the chart would start every run at once.
    assert VALUES["dagsterDaemon"]["runCoordinator"] == {"enabled": True, "type": "QueuedRunCoordinator"}
    assert VALUES["additionalInstanceConfig"]["freshness"] == box["freshness"]
    assert in_snake(VALUES["dagsterDaemon"]["runMonitoring"]) == box["run_monitoring"]
    assert VALUES["runLauncher"]["type"] == "K8sRunLauncher"
    # Its server trusts every request.
    assert VALUES["dagsterWebserver"]["replicaCount"] == 0
    assert VALUES["telemetry"]["enabled"] is False


def test_the_values_are_for_the_dagster_that_is_locked() -> None:
    [locked] = re.findall(r"^dagster==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    assert f"--version {locked} " in (FOLDER / "values.yaml").read_text("utf-8")


def test_runs_get_the_pod_that_the_launcher_is_told() -> None:
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    mounted = {each["name"] for each in launcher["volumeMounts"]}
    assert mounted == {each["name"] for each in launcher["volumes"]}
    assert launcher["securityContext"]["readOnlyRootFilesystem"] is True
    assert launcher["resources"]["limits"].keys() == {"memory"}


# As dagster-k8s makes them; `python -m tools.chart_check` renders the chart itself where it is at hand.
RUN = {
    "app.kubernetes.io/name": "dagster",
    "app.kubernetes.io/part-of": "dagster",
    "ingest/reads-index": "true",
}
AT_ONCE = ("dagster._core.run_coordinator.sync_in_memory_run_coordinator", "SyncInMemoryRunCoordinator")
MANUAL = (ROOT / "docs" / "deploying.md").read_text("utf-8")


def rendered() -> list[dict[str, Any]]:
    """Ours, with the pods of the chart and what it makes for ours."""
    made: list[dict[str, Any]] = [
        {"kind": "ConfigMap", "metadata": {"name": name}}
        for name in ("dagster-instance", "dagster-workspace-yaml")
    ]
    made.append({"kind": "ServiceAccount", "metadata": {"name": "dagster"}})
    for name in ("the daemon", "the code server"):
        template = {"metadata": {"labels": OF_THE_CHART[name]}, "spec": {"containers": [{}]}}
        made.append({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": template}})
    return [*copy.deepcopy(RESOURCES), *made]


def test_all_names_are_there_and_all_that_need_a_server_reach_it() -> None:
    everything = rendered()
    assert list(manifests.missing(everything, MANUAL)) == []
    assert list(manifests.unselected(everything, RUN)) == []
    assert list(manifests.unreachable(everything, RUN)) == []


def test_a_name_that_nothing_has_is_found() -> None:
    everything = rendered()
    [serve] = [each for each in everything if name_of(each) == "Deployment/ingest-serve"]
    [container] = serve["spec"]["template"]["spec"]["containers"]
    container["envFrom"][1]["secretRef"]["name"] = "ingest-secret"
    container["env"][1]["valueFrom"]["secretKeyRef"]["key"] = "postgres-password"
    assert list(manifests.missing(everything, MANUAL)) == [
        "Deployment/ingest-serve: there is no Secret ingest-secret",
        "Deployment/ingest-serve: the Secret dagster-postgresql-secret has no postgres-password",
    ]


def test_a_pod_that_is_shut_out_is_found() -> None:
    everything = rendered()
    assert list(manifests.unreachable(everything, RUN | {"app.kubernetes.io/name": "other"})) == [
        "no policy lets run reach postgres at 5432"
    ]
    [policy] = [each for each in everything if name_of(each) == "NetworkPolicy/code-server"]
    policy["spec"]["podSelector"]["matchLabels"]["component"] = "user-deployment"
    assert list(manifests.unselected(everything, RUN)) == [
        "NetworkPolicy/code-server: no pod has {'component': 'user-deployment'}"
    ]
    assert list(manifests.unreachable(everything, RUN)) == [
        "no policy lets daemon reach code server at 4000",
        "no policy lets ingest-web reach code server at 4000",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("", None),
        (f"run_coordinator: {{module: {AT_ONCE[0]}, class: {AT_ONCE[1]}}}", "has no queue"),
        ("freshnes: {enabled: true}", "Dagster refuses"),
    ],
)
def test_settings_of_an_instance_that_dagster_refuses_are_found(change: str, fault: str | None) -> None:
    box = (ROOT / "dagster.yaml").read_text("utf-8")
    launcher = "run_launcher: {module: dagster._core.launcher, class: DefaultRunLauncher, config: {}}"
    text = f"{box}\n{launcher}\n{change}\n"
    found = instance_faults([{"metadata": {"name": "dagster-instance"}, "data": {"dagster.yaml": text}}])
    assert [line for line in found if "dagster-k8s" not in line] == [] if fault is None else fault in found[0]
