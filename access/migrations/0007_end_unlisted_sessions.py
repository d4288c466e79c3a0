from django.db import migrations


def end_unlisted(apps, schema_editor):
    """End the sessions from before sessions were listed: whoever signs out everywhere else means them, too."""
    listed = apps.get_model("usersessions", "UserSession").objects.values("session_key")
    apps.get_model("sessions", "Session").objects.exclude(session_key__in=listed).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("access", "0006_quotas"),
        ("sessions", "0001_initial"),
        ("usersessions", "0001_initial"),
    ]

    operations = [migrations.RunPython(end_unlisted, migrations.RunPython.noop)]
