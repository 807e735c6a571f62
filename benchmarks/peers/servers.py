"""The broker and the database that all systems of a run share: no other program uses them."""

import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from dev import redis_server
from dev.own_postgres import OwnPostgres

#: More than the slots of any worker: with gevent each may connect.
_CONNECTIONS = 1100


@dataclass(frozen=True, slots=True)
class Servers:
    """Redis, PostgreSQL if it is the database, and a directory for SQLite, logs and marks."""

    directory: Path
    redis: redis_server.Server
    postgres: OwnPostgres | None

    @property
    def database(self) -> str:
        """Return the kind of database."""
        return "postgres" if self.postgres else "sqlite"

    @property
    def marks(self) -> Path:
        """Return the file to which the bodies write."""
        return self.directory / "marks"

    def redis_url(self, number: int = 0) -> str:
        """Return the address of one of Redis' databases."""
        return f"{self.redis.url.rsplit('/', 1)[0]}/{number}"

    def client(self, number: int = 0) -> Any:
        """Return a client of one of Redis' databases."""
        return redis.Redis.from_url(self.redis_url(number))

    def database_url(self, name: str) -> str:
        """Return the address of the database of a system."""
        if self.postgres:
            return f"{self.postgres.url.rsplit('/', 1)[0]}/{name}"
        return f"sqlite:///{self.directory / name}.sqlite3"

    def create_database(self, name: str) -> None:
        """Create the database of a system, empty."""
        if self.postgres:
            with psycopg.connect(self.postgres.url, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
                connection.execute(f'CREATE DATABASE "{name}"'.encode())

    @contextmanager
    def counting(self, name: str, query: str) -> Iterator[Callable[[], int]]:
        """Yield a function that runs a query for one number in the database of a system."""
        with self.connected(name) as connection:
            yield lambda: int(connection.execute(query).fetchone()[0])

    @contextmanager
    def connected(self, name: str) -> Iterator[Any]:
        """Connect to the database of a system for the length of a with block."""
        if self.postgres:
            with psycopg.connect(self.database_url(name), autocommit=True) as connection:
                yield connection
            return
        file = f"file:{self.directory / name}.sqlite3?mode=ro"
        with closing(sqlite3.connect(file, uri=True, isolation_level=None, timeout=20)) as lite:
            yield lite

    def pids(self) -> dict[str, int]:
        """Return the process numbers of the servers by their role."""
        pids = {"redis": self.redis.process.pid}
        if self.postgres and self.postgres.process:
            pids["database"] = self.postgres.process.pid
        return pids


@contextmanager
def running(database: str, *, durable: bool) -> Iterator[Servers]:
    """Run Redis, and PostgreSQL if it is the database; `durable`: PostgreSQL writes through to the disk."""
    with tempfile.TemporaryDirectory(prefix="poolwise-peers-") as name, ExitStack() as cleanup:
        directory = Path(name)
        server = cleanup.enter_context(redis_server.running(directory / "redis", durable=False, tied=True))
        postgres = None
        if database == "postgres":
            postgres = OwnPostgres(directory, durable=durable)
            postgres.create()
            with (postgres.data / "postgresql.conf").open("a") as settings:
                settings.write(f"max_connections = {_CONNECTIONS}\n")
            postgres.start()
            cleanup.callback(postgres.stop)
        yield Servers(directory, server, postgres)


def versions(servers: Servers) -> dict[str, str]:
    """Return the versions of the servers."""
    found = {"Redis": str(servers.client().info("server")["redis_version"]), "SQLite": sqlite3.sqlite_version}
    if servers.postgres:
        with psycopg.connect(servers.postgres.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
            found["PostgreSQL"] = str(row[0]) if row else ""
    return found


def kernel() -> str:
    """Return the name and release of the operating system."""
    return subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=True).stdout.strip()
