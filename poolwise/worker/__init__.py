"""The worker: the Celery task that runs jobs, and what a worker process does beside them. Read in this order:

1. `task`: the Celery task `poolwise.run`
2. `message_filter`, `request`: verify a received message; report the endings that only the main process sees
3. `signals`: start and stop the parts below with the worker
4. `heartbeat_thread`, `process_stats_thread`, `report_thread`, `pause_watcher`: threads of the main process
5. `memory_watch`, `shutdown`: the memory limit of prefork jobs; the time that running jobs get at shutdown
6. `watchdog`, `watchdog_supervisor`, `watchdog_actions`, `attempt_table`: the process that keeps time limits when the
   worker itself cannot

7. `death`: what is reported of a worker that has died

This file imports none of them: the watchdog must stay small.
"""

__all__ = ["attempt_table", "death", "request"]
