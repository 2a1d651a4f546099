import datetime

from django.db import migrations, models
from django.utils import timezone

FIRST_CHECKS = 360


def plan_first_checks(apps, schema_editor):
    """Hooks that stand sleep for ever so far; from now on they are looked at, not all at once."""
    hooks = apps.get_model("webhooks", "RemoteHook").objects.using(schema_editor.connection.alias)
    standing = hooks.filter(desired="PRESENT", actual="PRESENT", wake_at=None)
    for number, pk in enumerate(standing.values_list("pk", flat=True)):
        minutes = 5 + number % FIRST_CHECKS
        hooks.filter(pk=pk).update(wake_at=timezone.now() + datetime.timedelta(minutes=minutes))


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0002_engine'),
    ]

    operations = [
        migrations.AddField(
            model_name='remotehook',
            name='checked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='remotehook',
            name='drift',
            field=models.CharField(blank=True, choices=[('MISSING', 'Missing'), ('CHANGED', 'Changed'), ('DOUBLED', 'Doubled')], db_default='', default='', max_length=16),
        ),
        migrations.AddField(
            model_name='remotehook',
            name='errand',
            field=models.CharField(choices=[('TEND', 'tend'), ('CHECK', 'check'), ('REPAIR', 'repair')], db_default='TEND', default='TEND', max_length=16),
        ),
        migrations.AddField(
            model_name='remotehook',
            name='kept_by',
            field=models.CharField(choices=[('AUTO', 'Codestream keeps the webhook in Docker Hub'), ('MANUAL', 'I paste the URL into Docker Hub myself')], db_default='AUTO', default='AUTO', max_length=16),
        ),
        migrations.RunPython(plan_first_checks, migrations.RunPython.noop),
    ]
