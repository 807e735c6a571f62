"""The remote command `revoke`, without Celery's look into the result backend and its write there.

Since 5.7 each worker that hears of a revoked task writes its result row, from its event loop: for a job that another
worker runs, and whatever the ledger says. Here only the recorder writes results.
"""

from typing import Any

from celery.platforms import signals
from celery.utils.functional import maybe_list
from celery.worker import control
from celery.worker import state as worker_state

_control: Any = control  # the stubs know only a part of it


@_control.control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")  # type: ignore[untyped-decorator]
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any) -> Any:
    """Let this worker drop the tasks when it comes to them and, on demand, stop those that it runs."""
    ids = set(maybe_list(task_id) or [])
    worker_state.revoked.update(ids)
    if not terminate:
        return _control.ok(f"tasks {ids} flagged as revoked")
    stopped = list(_control._find_requests_by_id(ids))
    for request in stopped:
        request.terminate(state.consumer.pool, signal=signals.signum(signal or _control.TERM_SIGNAME))
    return _control.ok(f"terminate: {', '.join(request.id for request in stopped) or 'tasks unknown'}")
