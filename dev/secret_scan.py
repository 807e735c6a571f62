"""Search the files of the repository for secrets, without the network; .secrets.baseline lists what is known to be none.

`python -m dev.secret_scan --update` adds the findings to that list, after you have checked them.
"""

import json
import subprocess
import sys
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / ".secrets.baseline"


def scan() -> dict[tuple[str, str, str], int]:
    """Return file, kind and hash of everything that looks like a secret, and its line."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name and name != BASELINE.name]
    collection = SecretsCollection(root=str(ROOT))
    with default_settings():
        collection.scan_files(*(name for name in names if (ROOT / name).is_file()))
    return {(name, secret.type, secret.secret_hash): secret.line_number for name, secret in collection}


def main(arguments: list[str]) -> int:
    """Return 0 when there is nothing but what the baseline lists."""
    findings = scan()
    if "--update" in arguments:
        BASELINE.write_text(json.dumps(sorted(findings), indent=1) + "\n")
        return 0
    known = {tuple(entry) for entry in json.loads(BASELINE.read_text())}
    fresh = {key: line for key, line in findings.items() if key not in known}
    for (name, kind, _), line in sorted(fresh.items()):
        print(f"{name}:{line}: looks like a secret ({kind})", file=sys.stderr)
    if fresh:
        print(
            "secrets: remove it; if it is none: .venv/bin/python -m dev.secret_scan --update",
            file=sys.stderr,
        )
    return 1 if fresh else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
