"""Write .env with random secrets for compose.yaml: `make env`."""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Fill in every empty name of .env.example; never touch a .env that is there."""
    path = ROOT / ".env"
    text = re.sub(r"^(\w+)=$", _with_secret, (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print("poolwise: .env is there already; delete it first for new secrets.", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    print("Wrote .env with random secrets. Start with: docker compose up --build --detach --wait")
    return 0


def _with_secret(line: re.Match[str]) -> str:
    # Hexadecimal, since two of the secrets become parts of addresses.
    return f"{line[1]}={secrets.token_hex(32)}"


if __name__ == "__main__":
    sys.exit(main())
