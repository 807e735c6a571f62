from django.db import migrations, models

from poolwise.migrations._concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("jobs", "0009_comparison_arms"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["state", "due_at"],
                name="job_mark_owed",
                condition=models.Q(state="cancelled", due_at__isnull=False),
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["state", "cancel_requested_at"],
                name="job_stop_asked",
                condition=models.Q(state="queued", cancel_requested_at__isnull=False),
            ),
        ),
    ]
