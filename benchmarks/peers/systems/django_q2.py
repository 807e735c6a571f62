"""Django-Q2: queue in Redis, outcomes in the project's database, a process for each job at a time."""

from benchmarks.peers.system import System


def _command(_: int) -> list[str]:
    return ["django-admin", "qcluster"]


SYSTEMS = (
    System(
        name="django-q2",
        app="django_q2_app",
        command=_command,
        stored=("djangoq", "SELECT count(*) FROM django_q_task"),
        slots={"": 2, "wait": 16},
        packages=("django-q2", "django", "redis"),
        environment={
            "DJANGO_SETTINGS_MODULE": "benchmarks.peers.apps.django_settings",
            "BENCH_DJANGO_APPS": "django_q",
        },
        prepare=[["django-admin", "migrate", "--verbosity", "0"]],
        settings="2 workers (waits: 16), Redis as broker, queue limit 500, all results kept, CONN_MAX_AGE None",
        note="result and times in the database once it ended; at most once with Redis",
    ),
)
