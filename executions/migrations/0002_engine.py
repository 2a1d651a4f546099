import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('executions', '0001_initial'),
        ('pipelines', '0001_initial'),
        ('projects', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='execution',
            name='execution_newest',
        ),
        migrations.RemoveIndex(
            model_name='execution',
            name='execution_by_status',
        ),
        migrations.RemoveIndex(
            model_name='taskrun',
            name='task_run_due',
        ),
        migrations.RemoveField(
            model_name='worker',
            name='stopping',
        ),
        migrations.AddField(
            model_name='execution',
            name='pause_requested_by',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='taskrun',
            name='answer',
            field=models.CharField(blank=True, max_length=32),
        ),
        migrations.AddField(
            model_name='taskrun',
            name='answer_comment',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='taskrun',
            name='answered_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='taskrun',
            name='answered_by',
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name='taskrun',
            name='leased_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='release',
            field=models.CharField(blank=True, max_length=32),
        ),
        migrations.AddField(
            model_name='worker',
            name='threads',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='execution',
            name='pipeline',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='executions', to='pipelines.pipeline'),
        ),
        migrations.AlterField(
            model_name='execution',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='executions', to='projects.project'),
        ),
        migrations.AlterField(
            model_name='execution',
            name='source',
            field=models.CharField(choices=[('PUSH', 'Push'), ('USER', 'User'), ('API', 'API'), ('ROLLBACK', 'Rollback')], default='USER', max_length=16),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['pipeline', 'status', 'index'], name='execution_queue'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['-created_at', '-id'], name='execution_newest_of_all'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['status', '-created_at', '-id'], name='execution_by_status'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['project', '-created_at', '-id'], name='execution_newest'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['project', 'status', '-created_at', '-id'], name='execution_by_project_status'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['pipeline', '-created_at', '-id'], name='execution_by_pipeline'),
        ),
        migrations.AddIndex(
            model_name='execution',
            index=models.Index(fields=['pipeline', 'status', '-created_at', '-id'], name='execution_pipeline_status'),
        ),
        migrations.AddIndex(
            model_name='taskrun',
            index=models.Index(condition=models.Q(('wake_at__isnull', False)), fields=['wake_at'], name='task_run_due'),
        ),
    ]
