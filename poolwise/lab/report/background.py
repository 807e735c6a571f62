"""Build reports beside the coordinator's loop: of many jobs it may take seconds, and outcomes come in meanwhile."""

import threading
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db import OperationalError, connection

from poolwise.lab.report.build import freeze
from poolwise.models import Comparison
from poolwise.support import REDIS_ERRORS

log = structlog.get_logger(__name__)
#: What is tried again: Redis or the database is away.
_PASSING = (*REDIS_ERRORS, OperationalError)
_STOP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class ReportBuilder:
    """Freezes the report of one comparison at a time, in a thread.

    Nothing is lost where the process ends meanwhile: the comparison has not finished, so the next one builds it.
    """

    _thread: threading.Thread | None = None
    _done: set[UUID] = field(default_factory=set)

    def __call__(self, comparison: Comparison) -> bool:
        """Return whether the report is built; begin if nobody has. Call it again until it is."""
        if comparison.pk in self._done:
            self._done.discard(comparison.pk)
            return True
        if self._thread is None or not self._thread.is_alive():
            # A daemon: a bootstrap that still draws must not keep a process from ending.
            self._thread = threading.Thread(
                target=self._build, args=(comparison.pk,), name="report-builder", daemon=True
            )
            self._thread.start()
        return False

    def stop(self) -> None:
        """Wait a while for the report that is being built."""
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def _build(self, pk: UUID) -> None:
        try:
            freeze(Comparison.objects.get(pk=pk))
        except _PASSING as error:
            log.warning("the report will be built again", comparison=str(pk), error=str(error))
            return
        except Exception:  # an error in one must not hold up the others
            log.exception("the report could not be built", comparison=str(pk))
        finally:
            connection.close()  # a thread has its own
        self._done.add(pk)
