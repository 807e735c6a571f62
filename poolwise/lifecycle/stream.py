"""The Redis stream between workers and the coordinator: at most two entries per attempt, `started` and `ended`.

Beside it stand the claims: an attempt is claimed once, so that a message delivered twice runs once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import partial
from itertools import batched, chain
from operator import attrgetter
from typing import Any
from uuid import UUID

import redis

from poolwise.metering import UNATTRIBUTED, Waits
from poolwise.support import Client, Timings, compact_json, drop, key, script, signing, wall_now, with_types

GROUP = "recorder"
#: How long a claim outlives its attempt: a message redelivered within this time is a duplicate.
CLAIM_AFTERLIFE_S = 300
#: The same for an attempt of which another message may wait behind a backlog. Only for these: claims take memory.
CLAIM_LONG_AFTERLIFE_S = 30 * 86_400
CLAIM_TTL_S = 86_400
#: A message may wait for a worker for days.
CANCEL_TTL_S = 30 * 86_400
#: Ends the text of a job past its time limit for which the whole worker was ended.
WORKER_ENDED = "its worker was ended."
#: Begins the text of a job that ended the process which it shared with others.
ENDED_WORKER = "The job ended its worker"

#: Applies reports and answers claims, and adds all their texts to the stream as one entry. It reads before it writes,
#: so that a key of another type leaves nothing half done, and the entry comes first, so that a full Redis refuses all.
#: An ended attempt's claim stays, marked as ended: nothing gives the attempt back from then on. Of ARGV, 1 to 5 are the
#: number of reports, the lives of claims (now, after the end, long after) and the mark of an ended one.
_EXCHANGE = """
local now, sets, expires, deletes, texts, answers = {}, {}, {}, {}, {}, {}
local reports, argument, name = tonumber(ARGV[1]), 6, 3
for i = 1, reports do
    local claim, duplicate, kind, worker = KEYS[name], KEYS[name + 1], ARGV[argument], ARGV[argument + 1]
    if now[claim] == nil then now[claim] = redis.call('GET', claim) end
    local is_own = now[claim] and now[claim]:sub(1, #worker) == worker
    if kind == 'start' then
        if is_own then texts[#texts + 1] = ARGV[argument + 2] end
    elseif kind == 'pause' then
        texts[#texts + 1] = ARGV[argument + 2]
    elseif kind == 'end' then
        local lives_s = ARGV[redis.call('EXISTS', duplicate) + 3]
        texts[#texts + 1] = ARGV[argument + 2]
        if is_own then
            now[claim] = ARGV[5]
            sets[claim], deletes[claim] = {ARGV[5], lives_s}, nil
        else
            expires[claim] = lives_s
        end
    elseif now[claim] ~= ARGV[5] then
        texts[#texts + 1] = ARGV[argument + 2]
        if is_own then
            now[claim] = false
            sets[claim], deletes[claim] = nil, true
        end
    end
    argument, name = argument + 3, name + 2
end
for i = 1, (#KEYS - name + 1) / 2 do
    local claim, cancel, token = KEYS[name], KEYS[name + 1], ARGV[argument]
    if now[claim] == nil then now[claim] = redis.call('GET', claim) end
    local mark = redis.call('GET', cancel)
    local paused = redis.call('HMGET', KEYS[2], ARGV[argument + 2], ARGV[argument + 3])
    if now[claim] == token then answers[i] = 'claimed'
    elseif now[claim] then answers[i] = 'taken'
    elseif mark and mark ~= ARGV[argument + 4] then answers[i] = 'marked ' .. mark
    elseif paused[1] or paused[2] then answers[i] = 'paused'
    else
        answers[i] = 'claimed'
        now[claim] = token
        texts[#texts + 1] = ARGV[argument + 1]
        sets[claim], deletes[claim] = {token, ARGV[2]}, nil
    end
    argument, name = argument + 5, name + 2
end
if #texts > 0 then redis.call('XADD', KEYS[1], '*', 'e', table.concat(texts, '\\n')) end
for claim, set in pairs(sets) do redis.call('SET', claim, set[1], 'EX', set[2]) end
for claim, lives_s in pairs(expires) do redis.call('EXPIRE', claim, lives_s) end
for claim in pairs(deletes) do redis.call('DEL', claim) end
return answers
"""
_BEGIN_NO_MORE = """
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[1])
return redis.call('EXISTS', KEYS[1])
"""
#: Marks the jobs whose attempt no worker has claimed; returns 1 for these and 0 for the others.
_MARK_UNCLAIMED = """
local marked = {}
for i = 1, #KEYS / 2 do
    local is_claimed = redis.call('EXISTS', KEYS[2 * i - 1]) == 1
    if not is_claimed then redis.call('SET', KEYS[2 * i], ARGV[i + 1], 'EX', ARGV[1]) end
    marked[i] = is_claimed and 0 or 1
end
return marked
"""
#: Makes the stream again, once it is empty, if a forged entry has taken the last of all ids: none could follow it.
_REPLACE_SPENT = """
if redis.call('XLEN', KEYS[1]) > 0 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
return 1
"""
#: Ids begin with a time in ms, which Redis' clock never comes to.
_SPENT_MS = 2**62
#: The answer to a claim that met a mark which this installation has not signed.
_MARKED = "marked"
#: The value of a claim whose attempt has ended.
_ENDED = "ended"


class Ending(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # its process ended without a report
    RELEASED = "released"  # returned unfinished at shutdown; the same attempt runs again
    PAUSED = "paused"  # not started: pool or definition is paused; the same attempt is published later


class Claim(StrEnum):
    """Redis' answer to a claim."""

    CLAIMED = "claimed"
    TAKEN = "taken"
    CANCELLED = "cancelled"
    PAUSED = "paused"


# Nobody changes one of these; `frozen=True` would say so and make each five times as slowly, several times for each job.
@dataclass(slots=True, unsafe_hash=True)
class Place:
    """Where an attempt ran."""

    worker: str = ""
    pid: int = 0
    thread: str = ""
    greenlet_or_task: str = ""


@dataclass(slots=True, unsafe_hash=True)
class Started:
    """A worker claimed an attempt and starts it."""

    job_id: str
    attempt: int
    place: Place
    timings: Timings


@dataclass(slots=True, unsafe_hash=True)
class Outcome:
    """How an attempt ended, with everything that is recorded of it."""

    job_id: str
    attempt: int
    place: Place
    timings: Timings
    ending: Ending
    result: str | None = None  # JSON text
    error_type: str = ""
    error: str = ""
    traceback: str = ""
    log: Sequence[tuple[float, str, str]] = field(default_factory=tuple)
    log_dropped: int = 0
    offloaded: bool = False
    retry_in_s: float | None = None  # set if the definition retries this error
    waits: Waits = UNATTRIBUTED


Entry = Started | Outcome


@dataclass(slots=True, unsafe_hash=True)
class ClaimRequest:
    """A worker's wish to run an attempt; it may be repeated with the same token."""

    entry: Started
    token: str
    pool: str = ""
    definition: str = ""
    #: The encoded entry, if it is there.
    text: str = ""
    #: A cancel mark that this installation has not signed, which the claim ignores.
    unsigned_mark: str = ""


#: The fields in order. `dataclasses.astuple` also copies each value, and this runs four times per job.
_place_of, _timings_of, _waits_of = (
    attrgetter(*(each.name for each in fields(kind))) for kind in (Place, Timings, Waits)
)

#: The fields of an outcome that most lack, by their names in an entry.
_OPTIONAL = {
    "r": "result", "y": "error_type", "x": "error", "b": "traceback", "l": "log", "d": "log_dropped", "o": "offloaded",
    "w": "retry_in_s",
}  # fmt: skip


def encode(entry: Entry) -> str:
    """Return an entry as compact JSON, with its signature in front."""
    data: dict[str, Any] = {
        "id": entry.job_id,
        "n": entry.attempt,
        "p": _place_of(entry.place),
        "t": _timings_of(entry.timings),
    }
    if isinstance(entry, Outcome):
        data["e"] = entry.ending.value
        for name, of in _OPTIONAL.items():
            if (value := getattr(entry, of)) or (value is not None and name == "w"):
                data[name] = value
        if entry.waits is not UNATTRIBUTED:
            data["q"] = _waits_of(entry.waits)
    return signing.signed(signing.REPORT, compact_json.dumps(data))


def decode(text: str) -> Entry:
    """Verify and parse an entry. Raise ValueError if it was not written by this installation."""
    text = signing.verified(signing.REPORT, text)
    try:
        data = compact_json.loads(text)
        # A worker of another release may send fewer or more fields; new ones stand at the end.
        place = Place(*data["p"][: len(Place.__slots__)])
        timings = Timings(*data["t"][: len(Timings.__slots__)])
        common = (str(data["id"]), int(data["n"]), place, timings)
        if "e" not in data:
            return Started(*common)
        return Outcome(
            *common,
            ending=Ending(data["e"]),
            result=data.get("r"),
            error_type=data.get("y", ""),
            error=data.get("x", ""),
            traceback=data.get("b", ""),
            log=tuple((float(at), str(level), str(line)) for at, level, line, *_ in data.get("l", ())),
            log_dropped=data.get("d", 0),
            offloaded=data.get("o", False),
            retry_in_s=data.get("w"),
            waits=Waits(*data.get("q", ())[: len(Waits.__slots__)]),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a report: {error!r}") from error


def decode_all(text: str) -> list[Entry]:
    """Verify and parse an entry of the stream, which has one report on each line; drop lines that are none of ours."""
    entries = []
    for line in text.split("\n"):
        try:
            entries.append(decode(line))
        except ValueError as error:
            drop("report", error, line[:200])
    return entries


def stream_key() -> str:
    """Return the key of the stream."""
    return key("reports")


def backlog_s(client: Client) -> float:
    """Return the age in seconds of the oldest report that is not recorded yet. Raise redis-py's errors."""
    (seconds, micros), oldest = _typed(
        client, lambda: client.pipeline(transaction=False).time().xrange(stream_key(), count=1).execute()
    )
    if not oldest:
        return 0.0
    return max(0.0, float(seconds + micros / 1e6 - _written_ms(oldest[0][0]) / 1e3))


def _written_ms(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _claim_key(job_id: str, attempt: int) -> str:
    return key("claim", job_id, attempt)


def _cancel_key(job_id: str) -> str:
    return key("cancelled", job_id)


def _typed[T](client: Client, call: Callable[[], T], *texts: str) -> T:
    """Return what a call returns, once the stream and these keys of texts have their types."""
    return with_types(client, {stream_key(): "stream", **dict.fromkeys(texts, "string")}, call)


def _duplicate_key(job_id: str, attempt: int) -> str:
    return key("duplicate", job_id, attempt)


def pauses_key() -> str:
    """Return the key of the hash of paused pools and definitions."""
    return key("pauses")


def claim_token(worker: str, unique: str = "") -> str:
    """Return the value of a claim: the worker, and what distinguishes this claim from its others."""
    return f"{worker} {unique}"


def report(client: Client, outcome: Outcome) -> None:
    """Report how an attempt ended; a second report changes nothing. Raise redis-py's errors."""
    exchange(client, [], [outcome])


def exchange(client: Client, claims: Sequence[ClaimRequest], reports: Sequence[Entry]) -> list[Claim]:
    """Report starts and outcomes, then claim attempts, in one step; return the answers. Raise redis-py's errors.

    All of it may be repeated, should only the answer have been lost.
    """
    answers = [
        _answer(request, text)
        for request, text in zip(claims, _exchange(client, claims, reports), strict=True)
    ]
    # The message of a paused attempt is acknowledged after this second report, and a cancel mark stays, should whoever
    # cancelled the job end before it wrote the row: so two steps are safe.
    followed = [
        _never_started(request.entry) if answer is Claim.CANCELLED else _paused(request.entry)
        for request, answer in zip(claims, answers, strict=True)
        if answer in (Claim.CANCELLED, Claim.PAUSED)
    ]
    again = [answer for answer in answers if isinstance(answer, ClaimRequest)]
    if followed or again:
        second = iter(exchange(client, again, followed))
        return [next(second) if isinstance(answer, ClaimRequest) else answer for answer in answers]
    return [answer for answer in answers if isinstance(answer, Claim)]


def _answer(request: ClaimRequest, text: str) -> Claim | ClaimRequest:
    """Return the answer to a claim, or the claim to repeat after a mark that this installation has not signed."""
    answer, _, mark = text.partition(" ")
    if answer != _MARKED:
        return Claim(answer)
    if signing.is_signed(signing.CANCEL, request.entry.job_id, mark):
        return Claim.CANCELLED
    drop("cancel mark", "not signed by this installation", request.entry.job_id)
    return replace(request, unsigned_mark=mark)  # only this mark is ignored


def _exchange(client: Client, claims: Sequence[ClaimRequest], reports: Sequence[Entry]) -> list[str]:
    names, texts = [stream_key(), pauses_key()], []
    args: list[Any] = [len(reports), CLAIM_TTL_S, CLAIM_AFTERLIFE_S, CLAIM_LONG_AFTERLIFE_S, _ENDED]
    for each in reports:
        claimed = _claim_key(each.job_id, each.attempt)
        names += claimed, _duplicate_key(each.job_id, each.attempt)
        args += _kind_of(each), claim_token(each.place.worker), encode(each)
        texts.append(claimed)
    for request in claims:
        entry = request.entry
        keys = _claim_key(entry.job_id, entry.attempt), _cancel_key(entry.job_id)
        names += keys
        args += (
            request.token,
            request.text or encode(entry),
            f"pool:{request.pool}",
            f"definition:{request.definition}",
        )
        args.append(request.unsigned_mark.encode(errors="surrogateescape"))
        texts += keys
    return _typed(client, partial(script(client, _EXCHANGE), keys=names, args=args, client=client), *texts)


def _kind_of(entry: Entry) -> str:
    if isinstance(entry, Started):
        return "start"
    # A paused attempt has no claim; one that was made meanwhile stays as it is.
    return {Ending.RELEASED: "release", Ending.PAUSED: "pause"}.get(entry.ending, "end")


def _paused(entry: Started) -> Outcome:
    return Outcome(entry.job_id, entry.attempt, entry.place, entry.timings, Ending.PAUSED)


def _never_started(entry: Started) -> Outcome:
    return Outcome(
        entry.job_id,
        entry.attempt,
        Place(),
        Timings(finished_at=wall_now()),
        Ending.CANCELLED,
        error_type="Cancelled",
        error="Cancelled before it began.",
    )


def expect_duplicates(client: Client, attempts: Iterable[tuple[str, int]]) -> None:
    """Keep the claims of these attempts so long that no late second message runs. Raise redis-py's errors."""
    for batch in batched(attempts, 1000, strict=False):
        pipe = client.pipeline(transaction=False)
        for attempt in batch:
            pipe.set(_duplicate_key(*attempt), 1, ex=CLAIM_LONG_AFTERLIFE_S)
            pipe.expire(_claim_key(*attempt), CLAIM_LONG_AFTERLIFE_S)  # if it has ended already
        pipe.execute()


def begin_no_more(client: Client, job_id: str, attempt: int) -> bool:
    """Let no worker claim the job from now on; return whether this attempt is claimed. Raise redis-py's errors."""
    keys = [_claim_key(job_id, attempt), _cancel_key(job_id)]
    args = [CANCEL_TTL_S, signing.sign(signing.CANCEL, job_id)]
    return bool(script(client, _BEGIN_NO_MORE)(keys=keys, args=args, client=client))


def mark_cancelled(client: Client, job_ids: Sequence[str]) -> None:
    """Let workers drop the messages of cancelled jobs. Raise redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.set(_cancel_key(job_id), signing.sign(signing.CANCEL, job_id), ex=CANCEL_TTL_S)
    pipe.execute()


def mark_unclaimed(client: Client, attempts: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Let no worker claim these jobs, except those whose attempt is claimed; return the others. Raise redis-py's errors."""
    keys = [each for pk, attempt in attempts for each in (_claim_key(str(pk), attempt), _cancel_key(str(pk)))]
    args = [CANCEL_TTL_S, *(signing.sign(signing.CANCEL, str(pk)) for pk, _ in attempts)]
    marked = script(client, _MARK_UNCLAIMED)(keys=keys, args=args, client=client)
    return [attempt for attempt, is_marked in zip(attempts, marked, strict=True) if is_marked]


#: A script, since a full Redis refuses every command of a transaction, even those that free memory.
_ACKNOWLEDGE = """
local group = table.remove(ARGV, 1)
redis.call('XACK', KEYS[1], group, unpack(ARGV))
return redis.call('XDEL', KEYS[1], unpack(ARGV))
"""


@dataclass(slots=True)
class Reader:
    """One consumer of the stream's group; entries stay pending until `acknowledge`."""

    client: Client
    name: str
    _is_spent: bool = False

    def prepare(self) -> None:
        """Create the stream and its group if they are missing. Raise redis-py's errors."""
        try:
            _typed(
                self.client,
                lambda: self.client.xgroup_create(stream_key(), GROUP, id="0", mkstream=True),
            )
        except redis.ResponseError as error:
            # A full Redis refuses this before it looks whether the group exists; if not, `read` raises.
            if "BUSYGROUP" not in str(error) and not isinstance(error, redis.OutOfMemoryError):
                raise
        last_id = self.client.xinfo_stream(stream_key())["last-generated-id"]
        self._is_spent = _written_ms(last_id) >= _SPENT_MS

    def read(self, *, count: int, block_ms: int) -> list[tuple[str, str]]:
        """Return new entries as (id, text), waiting up to `block_ms`, or not at all if that is 0."""
        self._replace_if_spent()
        # For Redis, 0 means without end, and 1 ms lasts as long as its event loop sleeps, about 30 ms.
        wait_ms = block_ms or None
        answer = self.client.xreadgroup(GROUP, self.name, {stream_key(): ">"}, count=count, block=wait_ms)
        entries = _flatten(answer)
        self._is_spent = self._is_spent or any(_written_ms(entry_id) >= _SPENT_MS for entry_id, _ in entries)
        return entries

    def _replace_if_spent(self) -> None:
        if self._is_spent and script(self.client, _REPLACE_SPENT)(
            keys=[stream_key()], args=[GROUP], client=self.client
        ):
            drop("stream", "its last id is that of a forged entry, which no other could follow")
            self._is_spent = False

    def adopt(self, *, idle_ms: int, count: int) -> list[tuple[str, str]]:
        """Return entries that another reader took and did not acknowledge for `idle_ms`."""
        answer = self.client.xautoclaim(stream_key(), GROUP, self.name, idle_ms, count=count)
        return [(entry_id, fields.get("e", "")) for entry_id, fields in answer[1] if fields]

    def pending(self, *, count: int) -> list[tuple[str, str]]:
        """Return entries that this reader took and did not acknowledge, the oldest first."""
        return _flatten(self.client.xreadgroup(GROUP, self.name, {stream_key(): "0"}, count=count))

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Remove recorded entries from the stream."""
        if ids:
            script(self.client, _ACKNOWLEDGE)(keys=[stream_key()], args=[GROUP, *ids], client=self.client)


def _flatten(answer: Any) -> list[tuple[str, str]]:
    # RESP3 answers with a dictionary, and wraps the entries of a stream in one more list.
    batches = chain(*answer.values()) if isinstance(answer, dict) else (batch for _, batch in answer or ())
    # Without fields: deleted since it was taken.
    return [(entry_id, fields.get("e", "")) for batch in batches for entry_id, fields in batch if fields]
