"""Pools: their state, their queues, and an operator's actions."""

from typing import Any

from django.http import HttpRequest

from poolwise import control
from poolwise.api.app import PROBLEMS, api
from poolwise.api.definitions import operate
from poolwise.api.request_bodies import PurgeIn, Reason
from poolwise.api.schemas import ActionOut, PoolOut, PurgedOut, QueueOut
from poolwise.control import PURGE
from poolwise.lifecycle import back_pressure
from poolwise.models import Pause
from poolwise.pools import all_pools, get_pool
from poolwise.reports import PoolNow, pools_now

POOL = Pause.Kind.POOL


@api.get("/pools", response={200: list[PoolOut], **PROBLEMS}, tags=["pools"])
def list_pools(request: HttpRequest) -> Any:
    """List the pools with their live state."""
    now = pools_now()
    return [_out(now.pools[name]) for name in all_pools()]


@api.get("/pools/{name}", response={200: PoolOut, **PROBLEMS}, tags=["pools"])
def get_pool_(request: HttpRequest, name: str) -> Any:
    """Return one pool."""
    return _out(pools_now().pools[get_pool(name).name])


@api.get("/pools/{name}/queue", response={200: QueueOut, **PROBLEMS}, tags=["pools"])
def get_queue(request: HttpRequest, name: str) -> Any:
    """Return the length of a pool's queue, the age of its oldest job, and the number of workers."""
    return back_pressure.queue_state(get_pool(name).name)


@api.post("/pools/{name}/pause", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def pause_pool(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Pause a pool: running jobs finish; queued and new jobs wait."""
    return operate(control.pause, request, payload, POOL, name)


@api.post("/pools/{name}/drain", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def drain_pool(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Drain a pool: as pause; `running` of the pool shows how many jobs are left."""
    return operate(control.drain, request, payload, name)


@api.post("/pools/{name}/resume", response={200: ActionOut, **PROBLEMS}, tags=["operate"])
def resume_pool(request: HttpRequest, name: str, payload: Reason) -> Any:
    """Resume a pool."""
    return operate(control.resume, request, payload, POOL, name)


@api.post("/pools/{name}/purge", response={200: PurgedOut, **PROBLEMS}, tags=["operate"])
def purge_pool(request: HttpRequest, name: str, payload: PurgeIn) -> Any:
    """Cancel all queued jobs of a pool. This cannot be undone."""
    return operate(control.purge, request, payload, name, permission=PURGE)


def _out(now: PoolNow) -> dict[str, Any]:
    pool = get_pool(now.name)
    return {
        "name": pool.name,
        "model": pool.model,
        "queue": pool.queue,
        "concurrency": pool.concurrency,
        "state": now.state,
        "pause_state": now.pause_state or None,
        "workers": None if now.workers is None else len(now.workers),
        "unconnected": len(now.unconnected),
        **{
            name: getattr(now, name)
            for name in ("queued", "scheduled", "running", "oldest_s", "slots", "in_use")
        },
    }
