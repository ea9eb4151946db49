"""deploy/compose: its roles and settings are those that there are, and services have few rights."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from ingest_assets_tests.support.built_index import ROOT

FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
ENTRYPOINT = (ROOT / "deploy" / "image" / "ingest-entrypoint").read_text("utf-8")
HEALTH = (ROOT / "deploy" / "image" / "ingest-health").read_text("utf-8")
DOCUMENTED = set(
    re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
)


def test_one_box_has_its_daemons_and_the_servers_are_optional() -> None:
    assert {name for name, each in SERVICES.items() if "profiles" not in each} == {"daemon", "web", "serve"}
    assert {name for name in ("qdrant", "postgres", "job") if SERVICES[name]["profiles"] == [name]} == {
        "qdrant",
        "postgres",
        "job",
    }


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_a_role_and_says_how_it_is(name: str) -> None:
    role = (OURS[name].get("command") or OURS[name]["entrypoint"][-1:])[0]
    assert re.search(rf"^    {role}\) exec ", ENTRYPOINT, re.MULTILINE)
    if name != "job":
        assert OURS[name]["healthcheck"]["test"] == ["CMD", "ingest-health", role]
        assert f'"{role}": (' in HEALTH
        assert OURS[name]["restart"] == "on-failure"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    # What others reach goes through a proxy with TLS.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_keeps_is_declared(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source = volume.replace("${CRM_FOLDER:-./crm}", "./crm").split(":")[0]
        assert source in COMPOSE["volumes"] or (source == "./crm" and volume.endswith(":ro"))
    assert set(SERVICES[name].get("secrets", ())) <= set(COMPOSE["secrets"])


def test_the_environment_file_names_settings_that_there_are() -> None:
    text = (FOLDER / "ingest.env.example").read_text("utf-8")
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    assert named
    assert named <= DOCUMENTED
