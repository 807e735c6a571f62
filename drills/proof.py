"""Whether a fault took place: a drill whose fault did nothing has tested nothing."""

import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from drills.database import Database, DatabaseAway
from drills.site import DrillError, Site

_MARK = "drill:mark"
_ANSWER_S = 0.5
_END_S = 10.0
_LOAD_S = 20.0


def require(took_place: bool, what: str) -> None:
    """Raise DrillError unless the fault took place."""
    if not took_place:
        raise DrillError(f"the fault did not take place: {what}")


def kill(site: Site, name: str) -> None:
    """End a part by SIGKILL. Raise DrillError unless it dies of it."""
    process = site.parts[name].process
    site.signal(name, signal.SIGKILL)
    require(process is not None and process.wait(_END_S) == -signal.SIGKILL, f"{name} was not killed")


def require_ended(pids: list[int]) -> None:
    """Raise DrillError unless there are such processes and each ends soon."""
    require(bool(pids), "there was no process to end")
    until_mono = time.monotonic() + _END_S
    while (alive := [pid for pid in pids if _status(pid) not in ("", psutil.STATUS_ZOMBIE)]) and (
        time.monotonic() < until_mono
    ):
        time.sleep(0.05)
    require(not alive, f"the processes {alive} run still")


def require_stopped(pids: list[int]) -> None:
    """Raise DrillError unless SIGSTOP reached every process."""
    time.sleep(0.1)
    running = [pid for pid in pids if _status(pid) != psutil.STATUS_STOPPED]
    require(bool(pids) and not running, f"the processes {running} were not stopped")


def _status(pid: int) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(psutil.Process(pid).status())
    return ""


def restart_redis(site: Site, *, wipe: bool, away_s: float = 0.0) -> None:
    """Restart Redis with its data or without. Raise DrillError if it comes back with the wrong data."""
    with site.redis.client() as client:
        client.set(_MARK, 1)
    if wipe:
        site.redis.kill()
        site.redis.wipe()
    else:
        site.redis.stop()
    require(redis_fault(site) == "refused", "Redis answered while it was away")
    site.wait(away_s)
    site.redis.start()
    require(_has_mark(site) is not wipe, "Redis kept its data" if wipe else "Redis lost its data")


def _has_mark(site: Site) -> bool:
    until_mono = time.monotonic() + _LOAD_S
    while True:
        try:
            with site.redis.client() as client:
                return bool(client.exists(_MARK))
        except (redis.BusyLoadingError, redis.ConnectionError):
            if time.monotonic() > until_mono:
                raise
            time.sleep(0.1)


def redis_fault(site: Site) -> str:
    """Return how Redis fails now: `refused`, `silent`, `refuses writes`, or empty if it takes a write."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(site.redis.url, socket_timeout=_ANSWER_S, retry=once) as client:
        try:
            client.set(_MARK, 1)
        except redis.TimeoutError:
            return "silent"
        except redis.ConnectionError:
            return "refused"
        except redis.ResponseError:
            return "refuses writes"
    return ""


def require_database_away(site: Site) -> None:
    """Raise DrillError if the database answers."""
    with suppress(DatabaseAway):
        site.database.ask("SELECT 1")
        require(False, "the database answered while it was away")


def require_locked(database: Database) -> None:
    """Raise DrillError if another connection can write jobs."""
    try:
        with closing(database.connect()) as connection:
            if database.is_sqlite:
                connection.execute("PRAGMA busy_timeout = 200")
                connection.execute("BEGIN IMMEDIATE")
            else:
                connection.execute("SET lock_timeout = '200ms'")
                connection.execute("LOCK TABLE poolwise_job IN ROW EXCLUSIVE MODE")
    except (sqlite3.OperationalError, psycopg.Error):
        return
    require(False, "another connection could write")


def require_full(folder: Path) -> None:
    """Raise DrillError if the disk of the folder has room."""
    free_bytes = shutil.disk_usage(folder).free
    require(free_bytes < 65_536, f"{free_bytes:,} bytes were free")


def require_no_room_for_rows(database: Database) -> None:
    """Raise DrillError unless PostgreSQL refuses a new table for lack of room."""
    try:
        with closing(database.connect()) as connection:
            connection.execute(
                "CREATE TABLE drill_room AS SELECT repeat('x', 999) FROM generate_series(1, 9999)"
            )
    except psycopg.errors.DiskFull:
        return
    require(False, "PostgreSQL had room for rows")


def require_no_room_for_log(database: Database) -> None:
    """Have PostgreSQL begin a new file of its log. Raise DrillError unless that ends its connections."""
    try:
        with closing(database.connect()) as connection:
            for _ in range(20):  # it has some in reserve
                connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS drill_log ()")
                connection.execute("DROP TABLE drill_log")
                connection.execute("SELECT pg_switch_wal()")
    except psycopg.OperationalError:
        return
    require(False, "PostgreSQL had room for its log")


def require_refused(site: Site, answer: str) -> None:
    """Raise DrillError unless pages refused submissions, each with this answer."""
    lines = (site.folder / "refused").read_text().splitlines()
    others = [line for line in lines if "HTTP" in line and answer not in line]
    require(any(answer in line for line in lines), f"no submission was refused by {answer}")
    require(not others, f"submissions were refused otherwise than by {answer}: {others[:3]}")


def require_moved(site: Site, column: str, offset_s: int) -> None:
    """Wait for a job with a time stamp of the moved clock. Raise DrillError if there is none."""

    def is_seen() -> bool:
        with suppress(DatabaseAway):
            return any(_is_moved(job, column, offset_s) for job in site.database.jobs())
        return False

    site.until(is_seen, 15, f"the fault did not take place: a {column} moved by {offset_s} s")


def _is_moved(job: dict[str, object], column: str, offset_s: int) -> bool:
    created, stamp = job["created_at"], job[column]
    if not isinstance(created, float) or not isinstance(stamp, float):
        return False
    return abs(stamp - created - offset_s) < abs(offset_s) / 10
