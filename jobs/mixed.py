"""Jobs that wait and compute in turn."""

import csv
import io
from collections import Counter
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
from django.conf import settings
from pydantic import Field

from jobs import http
from jobs.data import Seed, digest, seeded, temporary_file
from poolwise import job

_REGIONS = ("north", "east", "south", "west")

Pages = Annotated[int, Field(ge=1, le=50, description="Pages of the demo server to fetch.")]
First = Annotated[int, Field(ge=0, le=1000, description="Number of the first page.")]


class _Counter(HTMLParser):
    """Counts tags and words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.words = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_data(self, data: str) -> None:
        self.words += len(data.split())


@job(kind="mixed", title="Fetch and count", retry_on=httpx.TransportError)
def fetch_and_count(
    pages: Pages = 3,
    first: First = 0,
    timeout_s: http.Timeout = 10.0,
) -> dict[str, Any]:
    """Fetch pages of the demo server, then parse them and count words, links and headings.

    Waits on sockets, then parses in pure Python and holds the GIL.
    """
    return _count(http.fetch_all(_page_addresses(first, pages), timeout_s))


@fetch_and_count.asyncio
async def _fetch_and_count(pages: int, first: int, timeout_s: float) -> dict[str, Any]:
    return _count(await http.afetch_all(_page_addresses(first, pages), timeout_s))


def _page_addresses(first: int, pages: int) -> list[str]:
    return [f"{settings.JOB_HTTP_DEMO_URL}/page/{number}" for number in range(first, first + pages)]


def _count(pages: list[http.FetchedPage]) -> dict[str, Any]:
    counter = _Counter()
    for page in pages:
        if page.status != 200:
            raise http.FetchRefused(f"{page.address} answers {page.status}; is it the demo server?")
        counter.feed(page.body.decode())
    return {
        "pages": len(pages),
        "words": counter.words,
        "links": counter.tags["a"],
        "headings": counter.tags["h2"],
        "digest": digest(b"".join(page.body for page in pages)),
    }


@job(kind="mixed", title="CSV report")
def csv_report(
    rows: Annotated[int, Field(ge=1, le=500_000, description="Rows of the file.")] = 5_000,
    seed: Seed = 1,
) -> dict[str, Any]:
    """Write sales to a temporary CSV file, read it back and add up the amounts by region.

    Releases the GIL while it writes and reads the file, and holds it for the rows.
    """
    random, totals = seeded(seed), Counter[str]()
    with io.TextIOWrapper(temporary_file(), encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("order", "region", "cents"))
        writer.writerows((i, random.choice(_REGIONS), random.randrange(1, 100_000)) for i in range(rows))
        size_bytes = file.tell()
        file.seek(0)
        for record in csv.DictReader(file):
            totals[record["region"]] += int(record["cents"])
    return {
        "rows": rows,
        "bytes": size_bytes,
        "cents": totals.total(),
        "by_region": dict(sorted(totals.items())),
    }
