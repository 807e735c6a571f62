"""The worker: from a received message to its report, and what a worker process does beside them. Read in this order:

1. `message_filter`, `request`: verify a received message, claim the job, run it in the pool, report it
2. `conversation`, `attempt`: the claims and reports of all slots in one thread; one attempt in its slot
3. `signals`: start and stop the parts below with the worker; `task`: the name by which Celery knows all jobs
4. `heartbeat_thread`, `process_stats_thread`, `report_thread`, `pause_watcher`: threads of the main process
5. `memory_watch`, `shutdown`: the memory limit of prefork jobs; the time that running jobs get at shutdown
6. `watchdog`, `watchdog_supervisor`, `watchdog_actions`, `attempt_table`: the process that keeps time limits when the
   worker itself cannot

7. `death`: what is reported of a worker that has died

This file imports none of them: the watchdog must stay small.
"""

__all__ = ["attempt_table", "death", "request"]
