"""A Redis at an IPv6 address behind TLS, with a user whose password needs quoting and who may not read the settings."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from kombu import Connection

from dev import redis_server
from dev.ports import free_port
from poolwise.lifecycle.submission import submit
from poolwise.models import JobState
from poolwise.support.redis import connect, eviction_fault
from poolwise.support.redis_urls import for_broker, for_redis
from tests.helpers.core import forget_connections, point_at
from tests.helpers.pace import eventually
from tests.helpers.platform import Platform
from tests.helpers.services import absent

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
PASSWORD = "p#a@s/s?w%2F;ö d"
#: What a managed Redis leaves to its customers: no CONFIG, no INFO, no KEYS.
RULES = ["on", f">{PASSWORD}", "~*", "&*", "+@all", "-@admin", "-@dangerous"]


def certify(folder: Path) -> None:
    openssl = shutil.which("openssl") or absent("openssl", "install the package openssl")
    command = [
        str(openssl),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"]
    command += ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:::1"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of such a server without a word on certificates."""
    certify(tmp_path)
    port, clear = free_port(), tmp_path / "clear.sock"
    command = [str(redis_server.find_binary()), "--port", "0", "--tls-port", str(port), "--bind", "::1"]
    command += ["--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem")]
    command += ["--tls-auth-clients", "no", "--unixsocket", str(clear), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            eventually(clear.exists)
            admin = redis.Redis(unix_socket_path=str(clear))
            admin.execute_command("ACL", "SETUSER", "ann", *RULES)
            yield f"rediss://ann:{quote(PASSWORD, safe='')}@[::1]:{port}/0"
        finally:
            server.terminate()


def test_a_job_runs_whatever_stands_in_the_address(
    address: str, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, suite_redis: None
) -> None:
    trusting = f"{address}?ssl_ca_certs={quote(str(tmp_path / 'cert.pem'), safe='')}"
    point_at(for_redis(trusting), settings, monkeypatch)
    try:
        with Platform(REDIS_URL=trusting) as platform:
            platform.ensure("coordinator", "threads")
            jobs = submit("io.wait", {"duration_s": 0.05}, pool="threads", copies=3)
            platform.wait_for(*jobs)
            assert {job.state for job in jobs} == {JobState.SUCCEEDED}
            assert eviction_fault(connect(timeout_s=2)) is None
            status = platform.manage("pool_status", "threads", REDIS_URL=trusting)
            assert status.returncode == 0, status.stdout + status.stderr
    finally:
        forget_connections()


def test_neither_library_takes_a_certificate_that_nobody_vouches_for(address: str) -> None:
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        redis.Redis.from_url(for_redis(address)).ping()
    with (
        Connection(for_broker(address)) as broker,
        pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        broker.default_channel.client.ping()


@pytest.mark.parametrize("asked", ["none", "CERT_NONE"])
def test_both_libraries_obey_the_wish_not_to_verify(address: str, asked: str) -> None:
    unverified = f"{address}?ssl_cert_reqs={asked}"
    assert redis.Redis.from_url(for_redis(unverified)).ping()
    with Connection(for_broker(unverified)) as broker:
        assert broker.default_channel.client.ping()
