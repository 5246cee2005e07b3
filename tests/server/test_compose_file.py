"""docker-compose.yml is valid, complete, and holds no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.server import compose

REPOSITORY = compose.FILE.parent
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
SECRETS = {"SECRET_KEY": "s3cret-key", "POSTGRES_PASSWORD": "s3cret-password", "ALLOWED_HOSTS": "lab.example"}
OURS = ("web", "gpu-worker", "cpu-worker", "reaper", "migrate")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return compose.services(SECRETS)


def test_the_file_is_valid_by_the_compose_specification() -> None:
    jsonschema.validate(compose.load(), SCHEMA)
    jsonschema.validate({**compose.load(), "services": compose.services(SECRETS)}, SCHEMA)


def test_the_schema_would_notice_a_mistake() -> None:
    document = compose.load()
    document["services"]["web"]["comand"] = ["sleep"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_every_service_of_the_server_mode_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {*OURS, "postgres", "redis"}


def test_every_lasting_service_has_a_healthcheck_and_restarts(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name != "migrate":
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_the_gpu_worker_reserves_a_gpu_by_capability(services: dict[str, dict[str, Any]]) -> None:
    [device] = services["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "deploy" not in services["cpu-worker"]


def test_our_services_wait_for_migration_database_and_broker(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS[:-1]:
        needs = {other: need["condition"] for other, need in services[name]["depends_on"].items()}
        assert needs == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }


def test_only_the_web_service_is_reached_from_outside(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if service.get("ports")] == ["web"]
    assert compose.load()["networks"]["inside"] == {"internal": True}
    for name, service in services.items():
        assert service["networks"] == (["inside", "outside"] if name in ("web", "reaper") else ["inside"]), (
            name
        )


def test_data_outlive_containers_in_named_volumes(services: dict[str, dict[str, Any]]) -> None:
    named = set(compose.load()["volumes"])
    used = {
        volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])
    }
    assert used == named == {"data", "postgres"}


def test_our_services_have_no_privilege_and_a_read_only_system(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
        assert services[name]["read_only"] is True


def test_no_secret_is_in_the_file_and_a_missing_one_is_an_error() -> None:
    for name in SECRETS:
        with pytest.raises(KeyError, match=name):
            compose.services({key: value for key, value in SECRETS.items() if key != name})


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")


def test_what_the_image_copies_is_not_ignored_and_exists() -> None:
    kept = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = set()
    for line in (REPOSITORY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            copied |= set(line.split()[1:-1])
    assert copied == kept
    assert all((REPOSITORY / name).exists() for name in copied)


def test_every_setting_of_the_env_file_reaches_our_services(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        assert services[name]["env_file"] == [{"path": ".env", "required": False}]


def test_every_variable_of_the_file_is_explained() -> None:
    named = {found["name"] for found in compose.VARIABLE.finditer(compose.FILE.read_text())}
    explained = set(re.findall(r"^#?([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE))
    assert named <= explained
