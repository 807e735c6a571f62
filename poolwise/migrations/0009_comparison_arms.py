from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0007_switches_audit_tokens"),
    ]

    operations = [
        migrations.AddField(
            model_name="comparison",
            name="vary",
            field=models.JSONField(
                blank=True,
                help_text="Values of parameters that are set against each other, by name.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="block",
            name="label",
            field=models.CharField(
                blank=True,
                help_text="The arm that it belongs to, where that is not its pool alone.",
                max_length=300,
            ),
        ),
    ]
