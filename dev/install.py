"""Create .venv and install what Poolwise needs; return at once if that is done already.

Runs on the system's Python before anything is installed, so it uses the standard library only.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "poolwise.json"
FILES = {"runtime": "requirements.txt", "dev": "requirements-dev.txt", "redis": "requirements-redis.txt"}
NO_REDIS = (
    "No Redis found, and no {missing} to build one. Install it: sudo apt install redis-server "
    "(or a compiler: sudo apt install build-essential), or set REDIS_URL."
)
_PIP_FAILED = "pip could not install the packages; its message is above"


class SetupError(Exception):
    """The machine lacks something; the text is the remedy."""


def main() -> int:
    """Install the sets of requirements and, if none is found, Redis."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    sets = ["runtime", "dev"] if parser.parse_args().dev else ["runtime"]
    try:
        if not _is_current(sets):
            _install(sets)
        if _needs_redis():
            _build_redis()
    except SetupError as error:
        print(f"poolwise: {error}", file=sys.stderr)
        return 1
    return 0


def _wanted(name: str) -> str:
    """Return a set's stamp: a change of its pins, of Python or of the folder installs it again."""
    content = (ROOT / FILES[name]).read_bytes()
    return hashlib.sha256(content + f"{sys.version_info[:2]} {VENV}".encode()).hexdigest()


def _stamps() -> dict[str, str]:
    try:
        stamps: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamps


def _is_current(sets: list[str]) -> bool:
    stamps = _stamps()
    return PYTHON.exists() and all(stamps.get(name) == _wanted(name) for name in sets)


def _install(sets: list[str]) -> None:
    if not _is_same_python():
        print(f"Creating .venv with Python {sys.version.split()[0]}", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "cannot create .venv")
    files = [part for name in sets for part in ("-r", str(ROOT / FILES[name]))]
    print(f"Installing {' and '.join(FILES[name] for name in sets)}", flush=True)
    _install_side_by_side(_pins(sets))
    _pip(["--no-compile", *files])  # what else the pins require on this Python: usually nothing
    _compile()
    _stamp(sets)


def _pins(sets: list[str]) -> list[str]:
    lines = [
        line.partition("#")[0].strip()
        for name in sets
        for line in (ROOT / FILES[name]).read_text().splitlines()
    ]
    return sorted({line for line in lines if line and not line.startswith("-")})


def _install_side_by_side(pins: list[str]) -> None:
    """Install the pins by two processes of pip: one unpacks on one core, and takes twice as long."""
    halves = [_start_pip(["--no-compile", "--no-deps", *pins[turn::2]]) for turn in range(2)]
    if any([half.wait() for half in halves]):
        raise SetupError(_PIP_FAILED)


def _compile() -> None:
    """Compile what was installed, on all cores; pip does it on one, which takes half of its time."""
    # Not needed: the packages' own tests, and the sources of what mypy ships compiled. A file for another Python fails
    # to compile, and is never imported.
    unused = "/(tests?|mypy|mypyc|pip|pygments/lexers)/"
    command = [PYTHON, "-m", "compileall", "-qq", "-j", "0", "-x", unused, VENV / "lib"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _is_same_python() -> bool:
    """Return whether .venv runs, with the chosen Python."""
    question = "import sys, pip; print(sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-c", question], capture_output=True, text=True, timeout=30)
    except OSError:
        return False
    return answer.stdout.strip() == str(sys.version_info[:2])


def _stamp(sets: list[str]) -> None:
    STAMP.write_text(json.dumps(_stamps() | {name: _wanted(name) for name in sets}))


def _needs_redis() -> bool:
    if os.environ.get("REDIS_URL") or os.environ.get("REDIS_URL_FILE"):
        return False
    # By .venv's Python: a Redis that pip built is beside it.
    question = "import sys; from dev.redis_server import find_binary; sys.exit(find_binary() is None)"
    return subprocess.run([PYTHON, "-c", question], cwd=ROOT).returncode != 0


def _build_redis() -> None:
    missing = [tool for tool in ("gcc", "make") if shutil.which(tool) is None]
    if missing:
        raise SetupError(NO_REDIS.format(missing=" and no ".join(missing)))
    print("No Redis on this machine: building one into .venv (about half a minute)", flush=True)
    # --no-deps: its Python side is not used, only the program that it compiles.
    _pip(["--no-deps", "--force-reinstall", "-r", str(ROOT / FILES["redis"])])
    if _needs_redis():
        raise SetupError("Redis did not build. Install it: sudo apt install redis-server, or set REDIS_URL.")


def _pip(arguments: list[str]) -> None:
    if _start_pip(arguments).wait():
        raise SetupError(_PIP_FAILED)


def _start_pip(arguments: list[str]) -> "subprocess.Popen[bytes]":
    # Flags of the make that runs us are not for the make that compiles Redis.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment["MAKEFLAGS"] = f"-j{os.cpu_count() or 1}"
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def _run(command: list[str], failure: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SetupError(failure)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("poolwise: interrupted; run it again to go on")
