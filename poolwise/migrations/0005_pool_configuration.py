import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_job_blocked_s"),
    ]

    operations = [
        migrations.CreateModel(
            name="PoolConfiguration",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("pool", models.CharField(max_length=100)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "facts",
                    models.JSONField(
                        default=dict, help_text="Model, slots, code version and library versions."
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["pool", "at"], name="configuration_pool_at")],
            },
        ),
        migrations.AddIndex(
            model_name="comparison",
            index=models.Index(fields=["-created_at"], name="comparison_newest"),
        ),
    ]
