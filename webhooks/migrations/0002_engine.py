import django.db.models.deletion
import webhooks.matching
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('endpoints', '0001_initial'),
        ('executions', '0002_engine'),
        ('projects', '0001_initial'),
        ('webhooks', '0001_initial'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='registryevent',
            name='event_newest',
        ),
        migrations.RemoveIndex(
            model_name='registryevent',
            name='event_pending',
        ),
        migrations.AddField(
            model_name='registryevent',
            name='leased_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='remotehook',
            name='leased_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='registryevent',
            name='project',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='registry_events', to='projects.project'),
        ),
        migrations.AlterField(
            model_name='registryevent',
            name='webhook',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='events', to='webhooks.dockerwebhook'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['-created_at', '-id'], name='event_newest_of_all'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['verdict', '-created_at', '-id'], name='event_by_verdict'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['project', '-created_at', '-id'], name='event_newest'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['project', 'verdict', '-created_at', '-id'], name='event_by_project_verdict'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['webhook', '-created_at', '-id'], name='event_by_webhook'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(fields=['webhook', 'verdict', '-created_at', '-id'], name='event_by_webhook_verdict'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(condition=models.Q(('wake_at__isnull', False)), fields=['wake_at'], name='event_due'),
        ),
        migrations.AddIndex(
            model_name='registryevent',
            index=models.Index(condition=models.Q(('verdict', webhooks.matching.Verdict['PENDING'])), fields=['webhook', 'created_at', 'id'], name='event_line'),
        ),
        migrations.AddIndex(
            model_name='remotehook',
            index=models.Index(condition=models.Q(('wake_at__isnull', False)), fields=['wake_at'], name='hook_due'),
        ),
    ]
