"""The alert rules and the dashboard in deploy/monitoring ask for metrics that there are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import httpx
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client.parser import text_string_to_metric_families

from ingest_assets.interfaces.daemon_metrics import DaemonMetrics
from ingest_assets.orchestration.supervision import Watched
from ingest_assets_tests.support.built_index import ROOT, Home

FOLDER = ROOT / "deploy" / "monitoring"
OURS = re.compile(r"\b(?:ingest|process)_\w+")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _expressions() -> Iterator[str]:
    for rule in _rules():
        yield rule["expr"]
    for panel in json.loads((FOLDER / "grafana.json").read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.fixture(scope="module")
def scraped(open_server: Any, built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the server and the daemon say, one after the other."""
    with open_server.client() as client:
        client.get("/health")  # counted
        served: str = client.get("/metrics").text
    folder = str(tmp_path_factory.mktemp("dagster"))
    with dg.DagsterInstance.local_temp(folder) as instance, built_once.bench() as bench:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "1", []))
        return served + DaemonMetrics(Watched(instance, bench, time.time() - 60)).text().decode()


@pytest.fixture(scope="module")
def names(scraped: str) -> set[str]:
    """What a scrape of either has, as expressions name it."""
    families = text_string_to_metric_families(scraped)
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_each_expression_asks_for_metrics_that_there_are(expression: str, names: set[str]) -> None:
    asked = set(OURS.findall(re.sub(r'"[^"]*"', "", expression)))
    assert asked <= names
    assert asked or expression.startswith("up{")
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_what_is_asked_for_by_label_has_that_label(api: httpx.Client) -> None:
    api.get("/search", params={"query": "contract"})
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for expression in _expressions():
        for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+)\s*=", selector))
            if name in labels:  # jobs have none before one has ended
                assert asked <= labels[name], expression


def test_every_rule_says_what_is_wrong() -> None:
    assert len({rule["alert"] for rule in _rules()}) == len(_rules()) > 5
    for rule in _rules():
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
