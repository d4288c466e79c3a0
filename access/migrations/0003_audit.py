"""The audit's table, and the triggers that make it append-only.

A row comes in without a place in the chain. It is given one, once, and nothing else of it ever changes. None
is deleted: not by DELETE or TRUNCATE, nor by SQLite's REPLACE, which fires no trigger of deletion.
"""

import django.utils.timezone
from django.db import migrations, models

TABLE = 'access_auditentry'
CHAIN = ('sequence', 'previous_hash', 'hash')
CONTENT = (
    *('id', 'at', 'actor_id', 'actor_name', 'via', 'via_name', 'source', 'action'),
    *('target_type', 'target_id', 'target_name', 'result', 'problem', 'detail'),
)
REFUSAL = 'the audit is append-only'

SQLITE = {
    'insert': f"""CREATE TRIGGER {TABLE}_insert BEFORE INSERT ON {TABLE}
WHEN NEW.sequence IS NOT NULL OR EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    'update': f"""CREATE TRIGGER {TABLE}_update BEFORE UPDATE ON {TABLE}
WHEN OLD.sequence IS NOT NULL OR NEW.sequence IS NULL
  OR EXISTS (SELECT 1 FROM {TABLE} WHERE sequence = NEW.sequence)
  OR {' OR '.join(f'OLD.{name} IS NOT NEW.{name}' for name in CONTENT)}
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    'delete': f"""CREATE TRIGGER {TABLE}_delete BEFORE DELETE ON {TABLE}
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
}
POSTGRESQL = [
    f"""CREATE FUNCTION {TABLE}_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.sequence IS NULL THEN
    RETURN NEW;
  ELSIF TG_OP = 'UPDATE' AND OLD.sequence IS NULL AND NEW.sequence IS NOT NULL
    AND ROW({', '.join(f'OLD.{name}' for name in CONTENT)})
      IS NOT DISTINCT FROM ROW({', '.join(f'NEW.{name}' for name in CONTENT)}) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation';
END $$""",
    f"""CREATE TRIGGER {TABLE}_row BEFORE INSERT OR UPDATE OR DELETE ON {TABLE}
FOR EACH ROW EXECUTE FUNCTION {TABLE}_guard()""",
    f"""CREATE TRIGGER {TABLE}_all BEFORE TRUNCATE ON {TABLE}
FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_guard()""",
]
UNDO_POSTGRESQL = [
    f'DROP TRIGGER {TABLE}_row ON {TABLE}',
    f'DROP TRIGGER {TABLE}_all ON {TABLE}',
    f'DROP FUNCTION {TABLE}_guard()',
]


def guard(apps, schema_editor):
    postgresql = schema_editor.connection.vendor == 'postgresql'
    for statement in POSTGRESQL if postgresql else SQLITE.values():
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    postgresql = schema_editor.connection.vendor == 'postgresql'
    for statement in UNDO_POSTGRESQL if postgresql else [f'DROP TRIGGER {TABLE}_{name}' for name in SQLITE]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0002_token_scope'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveBigIntegerField(editable=False, null=True, unique=True)),
                ('at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('actor_id', models.BigIntegerField(null=True)),
                ('actor_name', models.CharField(blank=True, max_length=150)),
                ('via', models.CharField(choices=[('session', 'session'), ('token', 'API token'), ('command', 'command'), ('system', 'the server itself'), ('stranger', 'no login')], max_length=10)),
                ('via_name', models.CharField(blank=True, help_text='The token or the command.', max_length=100)),
                ('source', models.CharField(blank=True, help_text='The IP address it came from.', max_length=45)),
                ('action', models.CharField(max_length=40)),
                ('target_type', models.CharField(blank=True, max_length=40)),
                ('target_id', models.CharField(blank=True, max_length=64)),
                ('target_name', models.CharField(blank=True, max_length=255)),
                ('result', models.CharField(choices=[('ok', 'done'), ('refused', 'refused'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('cancelled', 'cancelled'), ('expired', 'expired'), ('unknown', 'unknown')], default='ok', max_length=10)),
                ('problem', models.CharField(blank=True, help_text='Why not, as a stable word.', max_length=60)),
                ('detail', models.JSONField(blank=True, default=dict)),
                ('previous_hash', models.CharField(blank=True, editable=False, max_length=64)),
                ('hash', models.CharField(blank=True, editable=False, max_length=64)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'ordering': ['-id'],
            },
        ),
        migrations.RunPython(guard, unguard),
    ]
