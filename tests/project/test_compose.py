"""compose.yaml and the Dockerfile, checked by their text; `docker compose up` proves the rest."""

import re

import pytest
import yaml
from django.conf import settings

from poolwise.pools import all_pools
from poolwise.worker.shutdown import _COLD_SHUTDOWN_S
from tests import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = sorted(SERVICES.keys() - {"redis", "postgres"})


def test_every_pool_has_a_worker_service():
    workers = {name.removeprefix("worker-") for name in SERVICES if name.startswith("worker-")}
    assert workers == set(all_pools())


@pytest.mark.parametrize("pool", list(all_pools()))
def test_workers_can_be_scaled(pool):
    worker = SERVICES[f"worker-{pool}"]
    assert worker["command"][-3:] == ["pool", pool, "--restart"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_one_service_builds_the_image_that_the_others_run():
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["web"]
    assert {SERVICES[name]["image"] for name in OURS} == {SERVICES["web"]["image"]}
    assert (SERVICES["redis"]["image"], SERVICES["postgres"]["image"]) == ("redis:8", "postgres:17")


_DOCS = (ROOT / "docs/settings.md").read_text()
TABLES, _, _CONTAINERS = _DOCS.partition("## Commands")[0].partition("## In containers")


def names_in(text):
    """Return the settings that the first columns of tables name."""
    return set(re.findall(r"`([A-Z_]+)`", " ".join(re.findall(r"^\| (`[^|]+)\|", text, re.M))))


@pytest.mark.parametrize("name", sorted(names_in(TABLES) - names_in(_CONTAINERS)))
def test_every_documented_setting_reaches_web_coordinator_and_workers(name):
    handed_on = (f"${{{name}:-", f"${{{name}:?", f"localhost,127.0.0.1,${{{name}:-")
    for service in OURS:
        assert name in SERVICES[service]["environment"], f"{service} does not get {name} of .env"
        value = SERVICES[service]["environment"][name]
        assert value is None or value.startswith(handed_on), f"{service} has its own {name}: {value}"


def test_what_compose_sets_by_itself_is_documented():
    fixed = {
        name
        for name, value in SERVICES["web"]["environment"].items()
        if value is not None and not re.search(rf"\$\{{{name}\b", value)
    }
    assert fixed == {"DEBUG", "DATABASE_URL", "REDIS_URL", "JOB_HEARTBEAT_FILE"}
    assert names_in(_CONTAINERS) == fixed | {"STATIC_ROOT", "HOST", "PORT"}
    assert len(names_in(TABLES)) > 40


def test_a_broker_elsewhere_can_be_reached_by_all_that_use_it():
    users = [name for name in OURS if name not in ("migrate", "demo")]
    assert all(SERVICES[name]["networks"] == ["internal", "outside"] for name in users)


def test_no_secret_has_a_default():
    text = (ROOT / "compose.yaml").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert f"${{{name}:?" in text
        assert not re.search(rf"\$\{{{name}:?-", text)
        assert re.search(rf"^{name}=$", (ROOT / ".env.example").read_text(), re.M)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_few_rights_and_no_debug(name):
    service = SERVICES[name]
    assert service["environment"]["DEBUG"] == "false"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_container_can_gain_rights_write_its_image_or_take_the_whole_machine(name):
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["pids_limit"] <= 1000
    assert service["mem_limit"]
    assert not service.get("privileged")
    assert not {"pid", "ipc", "devices", "network_mode"} & service.keys()
    assert "docker.sock" not in str(service.get("volumes"))


def test_only_the_start_script_of_postgres_gets_rights_back():
    # PostgreSQL's start script takes its folder over and switches to its user; nothing else needs any.
    assert [name for name in SERVICES if "cap_add" in SERVICES[name]] == ["postgres"]
    assert {name: SERVICES[name].get("user") for name in ("redis", "postgres")} == {
        "redis": "redis",
        "postgres": None,
    }
    assert all("user" not in SERVICES[name] for name in OURS), "the image sets the user"


def test_redis_refuses_before_its_memory_limit_ends_it():
    assert "--maxmemory ${REDIS_MAXMEMORY:-768mb}" in SERVICES["redis"]["command"]
    assert SERVICES["redis"]["mem_limit"] == "${REDIS_MEMORY:-1g}"


def test_redis_and_postgres_want_a_password():
    assert "--requirepass ${REDIS_PASSWORD}" in SERVICES["redis"]["command"]
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD}"
    assert "POSTGRES_HOST_AUTH_METHOD" not in SERVICES["postgres"]["environment"]


def test_every_lasting_service_restarts_and_every_server_is_checked():
    assert [name for name in SERVICES if SERVICES[name]["restart"] != "unless-stopped"] == ["migrate"]
    assert {name for name in SERVICES if "healthcheck" not in SERVICES[name]} == {"migrate"}


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_a_service_that_starts_slowly_is_not_called_unhealthy(name):
    check = SERVICES[name]["healthcheck"]
    assert check["start_period"] == "300s"
    assert "start_interval" not in check  # Docker Engine before 25 refuses the file


def test_nothing_starts_before_the_database_is_ready():
    for name in OURS:
        if name not in ("migrate", "demo"):
            waits = SERVICES[name]["depends_on"]
            assert waits["migrate"]["condition"] == "service_completed_successfully"
            assert waits["redis"]["condition"] == "service_healthy"


@pytest.mark.parametrize("pool", list(all_pools()))
def test_a_worker_has_the_time_for_its_shutdown_and_can_be_ended_by_its_watchdog(pool):
    worker = SERVICES[f"worker-{pool}"]
    assert worker["init"] is True
    grace_s = float(
        re.fullmatch(r"\$\{SHUTDOWN_GRACE_S:-(\d+)\}", worker["environment"]["SHUTDOWN_GRACE_S"])[1]
    )
    stop_s = float(re.fullmatch(r"\$\{WORKER_STOP_GRACE:-(\d+)s\}", worker["stop_grace_period"])[1])
    assert grace_s == settings.SHUTDOWN_GRACE_S
    assert stop_s >= grace_s + _COLD_SHUTDOWN_S + 10


def test_data_outlives_the_containers():
    assert "redis:/data" in SERVICES["redis"]["volumes"]
    assert "postgres:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]
    assert "--appendonly yes" in SERVICES["redis"]["command"]
    assert "--maxmemory-policy noeviction" in SERVICES["redis"]["command"]


def test_redis_and_postgres_are_reached_from_inside_alone():
    for name in ("redis", "postgres"):
        assert "ports" not in SERVICES[name]
        assert SERVICES[name]["networks"] == ["internal"]
    assert COMPOSE["networks"]["internal"]["internal"] is True
    assert SERVICES["web"]["ports"] == ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]


def test_the_image_is_slim_and_does_not_run_as_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "FROM python:3.13-slim" in lines
    assert "USER poolwise" in lines
    assert lines.index("USER poolwise") < next(i for i, line in enumerate(lines) if line.startswith("CMD"))
