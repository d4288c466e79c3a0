from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("access", "0001_initial"),
    ]

    operations = [
        # Tokens that exist could do all that their users may, and go on to.
        migrations.AddField(
            model_name="apitoken",
            name="scope",
            field=models.CharField(
                choices=[("read", "Read"), ("operate", "Operate"), ("administer", "Administer")],
                default="administer",
                max_length=10,
            ),
            preserve_default=False,
        ),
    ]
