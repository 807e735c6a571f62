"""django-tasks-db: queue and outcomes in the project's database, a process for each job at a time."""

from benchmarks.peers.system import System


def _command(_: int) -> list[str]:
    return ["django-admin", "db_worker", "--interval", "0.1", "--no-startup-delay", "--no-reload"]


SYSTEMS = (
    System(
        name="django-tasks-db",
        app="django_tasks_app",
        command=_command,
        processes=lambda slots: slots,
        stored=(
            "djangotasks",
            "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status = 'SUCCESSFUL'",
        ),
        slots={"": 2, "wait": 16},
        packages=("django-tasks-db", "django"),
        environment={
            "DJANGO_SETTINGS_MODULE": "benchmarks.peers.apps.django_settings",
            "BENCH_DJANGO_APPS": "django_tasks_db",
        },
        prepare=[["django-admin", "migrate", "--verbosity", "0"]],
        settings="2 workers (waits: 16), interval 100 ms, CONN_MAX_AGE None",
        note="state, result and times in the database; a job whose worker dies stays running",
    ),
)
