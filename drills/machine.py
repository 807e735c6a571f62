"""A machine of its own for some of a drill's processes: a network namespace, and the cable that connects it."""

import subprocess
import sys
import zlib
from pathlib import Path

_ANSWER_S = 1.0


class MachineError(Exception):
    """Network namespaces cannot be used here."""


class Machine:
    """The namespace of a drill's folder; its processes reach this machine at `host`, and nothing else."""

    def __init__(self, folder: Path) -> None:
        number = zlib.crc32(folder.name.encode())
        self.name = folder.name
        self._outside, self._inside = f"pw{number:08x}o", f"pw{number:08x}i"
        # Addresses for tests of networks (RFC 2544), which no real network uses; 2 of the 32,768 blocks of four.
        block = (number % 32_768) * 4
        prefix = f"198.{18 + (block >> 16)}.{block >> 8 & 255}"
        self.host, self._own = f"{prefix}.{(block & 255) + 1}", f"{prefix}.{(block & 255) + 2}"

    @property
    def run(self) -> tuple[str, ...]:
        """Return the command by which a program runs there; it keeps its process id."""
        return ("ip", "netns", "exec", self.name)

    def create(self) -> None:
        """Create it, connected. Raise MachineError where that is not allowed."""
        inside = ("-n", self.name)
        for arguments in (
            ("netns", "add", self.name),
            ("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.name),
            ("addr", "add", f"{self.host}/30", "dev", self._outside),
            (*inside, "addr", "add", f"{self._own}/30", "dev", self._inside),
            (*inside, "link", "set", "lo", "up"),
            (*inside, "link", "set", self._inside, "up"),
            ("link", "set", self._outside, "up"),
        ):
            self._ip(*arguments)

    def cut(self) -> None:
        """Pull its cable: what it sends is lost, and nothing tells it so."""
        self._ip("link", "set", self._outside, "down")

    def mend(self) -> None:
        """Connect it again."""
        self._ip("link", "set", self._outside, "up")

    def reaches(self, port: int) -> bool:
        """Return whether its processes reach a port of this machine."""
        code = f"import socket; socket.create_connection(({self.host!r}, {port}), {_ANSWER_S})"
        return not subprocess.run([*self.run, sys.executable, "-c", code], capture_output=True).returncode

    def remove(self) -> None:
        """Remove it; its processes have ended."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def _ip(self, *arguments: str) -> None:
        try:
            done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        except FileNotFoundError as error:
            raise MachineError("needs the program ip: sudo apt install iproute2") from error
        if done.returncode:
            raise MachineError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
