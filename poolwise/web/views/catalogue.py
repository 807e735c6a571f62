"""The catalogue: every definition by kind, under the state of the pools."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from poolwise.definitions import Definition, all_definitions
from poolwise.lifecycle import limit_support
from poolwise.pools import all_pools
from poolwise.reports import pools_now
from poolwise.web.views.live import LivePart, PageRequest, live_answer, live_part, signed_in

POOLS_EVERY_S = 3.0
_ENDINGS = "endings."
_GROUPS = (
    ("io", "Waits", "Jobs that wait for I/O: a timer, a disk, a socket or a server."),
    ("cpu", "Computes", "Jobs that keep a core busy."),
    ("mixed", "Mixed", "Jobs that wait and compute."),
    ("ending", "Endings", "Jobs that end as you choose, for tests and demonstrations."),
    ("hazard", "Hazards", "Common mistakes: these jobs harm their worker on purpose."),
)


@dataclass(frozen=True, slots=True)
class Card:
    """One definition for a template, which would call the definition itself."""

    name: str
    title: str
    summary: str
    group: str
    is_hazard: bool
    is_async_only: bool
    has_async_body: bool
    retries: int
    """0 if a failure is final."""
    unavailable: str | None
    """Why it cannot run here."""

    @classmethod
    def of(cls, definition: Definition) -> "Card":
        """Return the card of a definition."""
        is_ending = definition.name.startswith(_ENDINGS)
        return cls(
            name=definition.name,
            title=definition.title,
            summary=definition.summary,
            group="ending" if is_ending else definition.kind,
            is_hazard=definition.kind == "hazard",
            is_async_only=definition.is_async_only,
            has_async_body=definition.async_body is not None,
            retries=definition.max_attempts - 1 if definition.retry_on else 0,
            unavailable=definition.unavailable(),
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The definitions of one kind."""

    key: str
    title: str
    text: str
    cards: list[Card]


def _matches(definition: Definition, query: str) -> bool:
    text = f"{definition.name} {definition.title} {definition.summary} {definition.kind}".casefold()
    return all(word in text for word in query.casefold().split())


def _groups(query: str) -> list[Group]:
    cards = [Card.of(definition) for definition in all_definitions() if _matches(definition, query)]
    groups = [Group(*group, [card for card in cards if card.group == group[0]]) for group in _GROUPS]
    return [group for group in groups if group.cards]


def _live_pools(request: PageRequest) -> LivePart:
    url = reverse("poolwise:pools")
    return live_part(
        request, "poolwise/_pools.html", {"now": pools_now()}, name="pools", url=url, every_s=POOLS_EVERY_S
    )


@require_safe
@signed_in
def catalogue(request: PageRequest) -> HttpResponse:
    """Show the pools and the definitions; to htmx only the definitions that match the search."""
    query = request.GET.get("q", "")[:200]
    context = {"groups": _groups(query), "q": query}
    if request.htmx:
        response = render(request, "poolwise/_definitions.html", context)
        response["HX-Replace-Url"] = f"?{urlencode({'q': query})}" if query else request.path
    else:
        response = render(request, "poolwise/catalogue.html", {**context, "pools": _live_pools(request).html})
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@signed_in
def pools(request: PageRequest) -> HttpResponse:
    """Answer with the state of the pools: as the catalogue shows it, or for the boxes of a form."""
    if "boxes" in request.GET:
        return render(request, "poolwise/_pool_boxes.html", {"now": pools_now()})
    context = {} if request.htmx else _limit_table()
    return live_answer(request, _live_pools(request), "poolwise/pools.html", context)


def _limit_table() -> dict[str, Any]:
    pools = all_pools()
    rows = limit_support.matrix(pool.model for pool in pools.values())
    return {"limit_pools": list(pools), "limit_rows": rows}
