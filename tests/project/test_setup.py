"""Set-up on a machine as it is: Python, Redis, ports, secrets, the development administrator."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from django.contrib.auth import get_user_model

from dev import administrator, env, install, redis_server, secret_scan, up
from dev.ports import free_port, is_free
from tests import ROOT


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def fake_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_newest_python_is_chosen():
    chosen = run("dev/python", PYTHON=sys.executable).stdout.strip()
    assert run(chosen, "-c", "import sys; print(sys.version_info >= (3, 12))").stdout == "True\n"


def test_an_old_python_is_refused_in_one_line_with_the_remedy(tmp_path):
    fake_program(tmp_path, "python3", 'case "$1" in --version) echo Python 3.11.2;; *) exit 1;; esac')
    answer = run("/bin/sh", "dev/python", PATH=str(tmp_path), PYTHON="")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "3.12 or newer, and found Python 3.11.2. Install one" in answer.stderr


def test_a_python_without_venv_is_refused_with_the_package_to_install(tmp_path):
    fake_program(
        tmp_path, "python3", 'case "$2" in *ensurepip*) exit 1;; *print*) echo python3.12-venv;; esac'
    )
    answer = run("/bin/sh", "dev/python", PATH=str(tmp_path), PYTHON="")
    assert answer.returncode == 1
    assert (
        answer.stderr
        == "poolwise: python3 has no venv module. Install it: sudo apt install python3.12-venv\n"
    )


def test_without_redis_and_compiler_one_line_names_the_remedies(monkeypatch, capsys):
    monkeypatch.setattr(install, "_is_current", lambda sets: True)
    monkeypatch.setattr(install, "_needs_redis", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["install"])
    assert install.main() == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "apt install redis-server" in message
    assert "build-essential" in message
    assert "REDIS_URL" in message


def test_every_pin_is_installed_by_one_of_two_processes_and_a_failure_of_either_is_reported(
    monkeypatch, capsys
):
    asked: list[str] = []

    def start_pip(arguments):
        asked.extend(argument for argument in arguments if "==" in argument)
        return subprocess.Popen(["false" if "django==" in str(arguments) else "true"])

    monkeypatch.setattr(install, "_start_pip", start_pip)
    monkeypatch.setattr(install, "_is_current", lambda sets: False)
    monkeypatch.setattr(install, "_is_same_python", lambda: True)
    monkeypatch.setattr(sys, "argv", ["install", "--dev"])
    assert install.main() == 1
    assert capsys.readouterr().err == "poolwise: pip could not install the packages; its message is above\n"
    lines = [
        line for name in ("runtime", "dev") for line in (ROOT / install.FILES[name]).read_text().splitlines()
    ]
    assert sorted(asked) == sorted({line.split()[0] for line in lines if "==" in line})


def test_a_redis_older_than_6_2_is_not_used(tmp_path, monkeypatch):
    fake_program(tmp_path, "redis-server", "echo Redis server v=5.0.14 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert redis_server.find_binary() is None
    fake_program(tmp_path, "valkey-server", "echo Valkey server v=8.1.1 sha=0")
    assert redis_server.find_binary() == str(tmp_path / "valkey-server")


def test_a_private_redis_keeps_its_data_and_never_evicts(tmp_path):
    with redis_server.running(tmp_path / "a place") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        client.set("kept", "yes")
    with redis_server.running(tmp_path / "a place") as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"
    assert server.process.returncode == 0


@pytest.mark.slow
def test_a_private_redis_wants_its_password(tmp_path):
    with redis_server.running(tmp_path, durable=False) as server:
        stranger = redis.Redis(port=server.port)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


def test_a_port_in_use_is_named_with_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert not is_free(port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PORT", str(port))
            with pytest.raises(up.CannotStart, match=rf"Port {port} is in use: .* PORT={port + 1} make up"):
                up._ports()


@pytest.mark.parametrize("port", ["0", "65536", "eight"])
def test_a_port_that_is_none_is_refused(port, monkeypatch):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(up.CannotStart, match="is not a port number"):
        up._ports()


def test_a_redis_url_that_does_not_answer_is_said_at_once(monkeypatch):
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(up.CannotStart, match="REDIS_URL does not answer"), up._redis():
        pass


def test_a_second_platform_in_the_same_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(up, "VAR", tmp_path)
    with up._only_one(), pytest.raises(up.CannotStart, match="runs here already"), up._only_one():
        pass


def test_the_secrets_in_env_are_random_private_and_never_overwritten(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / ".env.example", tmp_path)
    monkeypatch.setattr(env, "ROOT", tmp_path)
    assert env.main() == 0
    random = re.findall(
        r"^(?:SECRET_KEY|\w+_PASSWORD)=([0-9a-f]{64})$", (tmp_path / ".env").read_text(), re.M
    )
    assert len(set(random)) == 3
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert env.main() == 1
    assert "is there already" in capsys.readouterr().err


def test_make_env_needs_neither_a_virtual_environment_nor_redis(tmp_path):
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "dev", tmp_path / "dev", ignore=shutil.ignore_patterns("__pycache__"))
    outside_make = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", "env"], cwd=tmp_path, env=outside_make, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Wrote .env with random secrets.")
    assert not (tmp_path / ".venv").exists()


def test_a_secret_in_a_file_of_the_repository_is_found(tmp_path, monkeypatch, capsys):
    run_git = ["git", "-C", str(tmp_path)]
    subprocess.run([*run_git, "init", "--quiet"], check=True)
    (tmp_path / "deploy.py").write_text('AWS = "AKIA' + "IOSFODNN7EXAMPLE" + '"\n')
    subprocess.run([*run_git, "add", "deploy.py"], check=True)
    monkeypatch.setattr(secret_scan, "ROOT", tmp_path)
    monkeypatch.setattr(secret_scan, "BASELINE", tmp_path / ".secrets.baseline")
    secret_scan.BASELINE.write_text("[]")
    assert secret_scan.main([]) == 1
    assert "deploy.py:1: looks like a secret (AWS Access Key)" in capsys.readouterr().err
    assert secret_scan.main(["--update"]) == 0
    (tmp_path / "deploy.py").write_text("\n" + (tmp_path / "deploy.py").read_text())
    assert secret_scan.main([]) == 0, "known, wherever it stands"


@pytest.mark.django_db
def test_the_administrator_is_made_once_and_its_password_kept(settings, tmp_path):
    settings.DEBUG, settings.VAR_DIR = True, tmp_path
    first = administrator.login()
    assert administrator.login() == first
    name, password = first.split(" / ")
    assert get_user_model().objects.get(username=name).check_password(password)
    assert (tmp_path / "admin-password").stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_a_changed_password_is_not_shown_and_not_reset(settings, tmp_path):
    settings.DEBUG, settings.VAR_DIR = True, tmp_path
    administrator.login()
    user = get_user_model().objects.get()
    user.set_password("my own")
    user.save()
    assert "the password you gave it" in administrator.login()
    assert get_user_model().objects.get().check_password("my own")


@pytest.mark.django_db
def test_no_administrator_is_made_with_debug_off(settings, tmp_path):
    settings.DEBUG, settings.VAR_DIR = False, tmp_path
    assert "createsuperuser" in administrator.login()
    assert not get_user_model().objects.exists()


def test_make_lists_every_target_with_a_line():
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    listed = re.findall(r"^  make (\S+) +\w", run("make", MAKEFLAGS="").stdout, re.M)
    assert sorted(listed) == sorted(phony[1].split())
