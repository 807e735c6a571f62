"""Build reports in a thread: a large one takes seconds, and the coordinator must keep recording outcomes."""

import threading
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import OperationalError, connection

from poolwise.lab.report.build import freeze
from poolwise.models import Comparison
from poolwise.support import REDIS_ERRORS

log = structlog.get_logger(__name__)
#: Errors after which the report is built again: Redis or the database is unavailable.
_PASSING = (*REDIS_ERRORS, OperationalError)
_STOP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class ReportBuilder:
    """Builds and stores the report of one comparison at a time, in a thread.

    If the process ends before, the comparison is still unfinished, and the next coordinator builds the report.
    """

    _thread: threading.Thread | None = None
    _done: set[UUID] = field(default_factory=set)

    def __call__(self, comparison: Comparison) -> bool:
        """Return whether the report is built; start building if needed. Call it until it returns True."""
        if comparison.pk in self._done:
            self._done.discard(comparison.pk)
            return True
        if self._thread is None or not self._thread.is_alive():
            # A daemon thread: a running bootstrap must not keep the process from ending.
            self._thread = threading.Thread(
                target=self._build, args=(comparison.pk,), name="report-builder", daemon=True
            )
            self._thread.start()
        return False

    def stop(self) -> None:
        """Wait for the report that is being built, for a limited time."""
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def _build(self, pk: UUID) -> None:
        try:
            freeze(Comparison.objects.get(pk=pk))
        except _PASSING as error:
            log.warning("report not built; retrying", comparison=str(pk), error=str(error))
            return
        except Exception:  # an error in one report must not block the others
            log.exception("report failed", comparison=str(pk))
        finally:
            connection.close()  # each thread has its own connection
        self._done.add(pk)
