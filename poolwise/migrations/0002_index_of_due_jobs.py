from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("poolwise", "0001_initial")]

    operations = [
        migrations.RemoveIndex(model_name="job", name="job_due"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False), ("state", "queued")),
                fields=["state", "due_at"],
                name="job_due",
            ),
        ),
    ]
