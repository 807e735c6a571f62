"""The remote command `pool_grow`, whose new processes start at once.

Celery only notes how many there shall be: those of prefork start when its pool is next looked after, up to 5 s later,
while the worker says that it has them. A comparison at equal slots would measure a pool that is not there yet.
"""

from typing import Any

from celery.worker import control

_control: Any = control  # the stubs know only a part of it
_pool_grow = _control.pool_grow


@_control.control_command(args=[("n", int)], signature="[N=1]")  # type: ignore[untyped-decorator]
def pool_grow(state: Any, n: int = 1, **options: Any) -> Any:
    """Grow this worker's pool by `n` slots."""
    answer = _pool_grow(state, n, **options)
    state.consumer.pool.maintain_pool()
    return answer
