from datetime import timedelta

from django.db import migrations, models
from django.utils import timezone


def mark_scheduled(apps, schema_editor):
    """Jobs that are scheduled by now: no other due time is further ahead than those that the coordinator sets itself."""
    later = timezone.now() + timedelta(minutes=1)
    jobs = apps.get_model("jobs", "Job").objects.filter(state="queued", due_at__gt=later)
    jobs.update(run_after=models.F("due_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0010_job_cancelling"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="run_after",
            field=models.DateTimeField(
                blank=True,
                help_text="When a scheduled job, or the attempt after one that failed, may run; kept, other than `due_at`.",
                null=True,
            ),
        ),
        migrations.RunPython(mark_scheduled, migrations.RunPython.noop),
    ]
