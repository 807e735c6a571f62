"""Pools in the admin: as the settings declare them, with the live state of their workers."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path

from poolwise.admin.base import ShortList, Viewer, state_label
from poolwise.charts import vega
from poolwise.lifecycle import limit_support
from poolwise.models import Pool
from poolwise.pools import all_pools
from poolwise.reports import PoolNow, pools_now
from poolwise.support import seconds


class PoolList(ShortList):
    """The pools, each with its live state."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the pools, and the heartbeats of all of them at once."""
        super().get_results(request)
        self.live = pools_now()
        self.result_list = list(self.result_list)
        for pool in self.result_list:
            pool.live = self.live.pools.get(pool.name, PoolNow(pool.name, ()))


@admin.register(Pool)
class PoolAdmin(Viewer):
    """Pools with their live state."""

    changelist = PoolList
    list_display = (
        "name", "state", "model", "slots", "queued", "oldest", "memory", "workers", "loop_lag", "heartbeat"
    )  # fmt: skip
    list_display_links = ("name",)
    fields = ("name",)

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs, with that of the script that draws charts."""
        script = path("vega-<slug:digest>.js", vega.serve_bundle, name="poolwise_vega")
        return [script, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one pool with its live state."""
        now, name = pools_now(), unquote(object_id)
        live = {
            "live": now,
            "pool_live": now.pools.get(name, PoolNow(name, ())),
            "limit_rows": limit_support.matrix(
                [pool.model for pool in all_pools().values() if pool.name == name]
            ),
        }
        return super().change_view(request, object_id, form_url, {**live, **(extra_context or {})})

    @admin.display(description="State")
    def state(self, pool: Any) -> str:
        """Return whether workers serve the pool."""
        if pool.live.pause_state:
            return state_label("queued", pool.live.pause_text)
        return state_label(pool.live.state, pool.live.state_text)

    @admin.display(description="Slots in use")
    def slots(self, pool: Any) -> str | None:
        """Return the slots in use and the total."""
        return f"{pool.live.in_use} of {pool.live.slots}" if pool.live.workers else None

    @admin.display(description="Queued")
    def queued(self, pool: Any) -> str:
        """Return the length of the queue, and how many jobs are scheduled for later."""
        later = f" + {pool.live.scheduled:,} scheduled" if pool.live.scheduled else ""
        return f"{pool.live.queued:,}{later}"

    @admin.display(description="Oldest job waits")
    def oldest(self, pool: Any) -> str:
        """Return the age of the oldest queued job."""
        return seconds(pool.live.oldest_s)

    @admin.display(description="Memory")
    def memory(self, pool: Any) -> str | None:
        """Return the memory of the pool's workers."""
        return filesizeformat(pool.live.memory_bytes) if pool.live.workers else None

    @admin.display(description="Workers")
    def workers(self, pool: Any) -> str | None:
        """Return the names of the workers."""
        return ", ".join(worker.name for worker in pool.live.workers or ()) or None

    @admin.display(description="Loop lag")
    def loop_lag(self, pool: Any) -> str | None:
        """Return the longest event-loop lag, for models with a loop."""
        return seconds(pool.live.loop_lag_s) if pool.model in ("gevent", "asyncio") else None

    @admin.display(description="Last heartbeat")
    def heartbeat(self, pool: Any) -> str | None:
        """Return the age of the last heartbeat."""
        age_s = pool.live.seen_s_ago
        return None if age_s is None else f"{seconds(age_s)} ago"
