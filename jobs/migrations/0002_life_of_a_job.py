
import jobs.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='recurringjob',
            name='misfire',
            field=models.CharField(choices=[('once', 'Run once for all'), ('all', 'Run each'), ('skip', 'Skip')], default='once', max_length=4, verbose_name='missed occurrences'),
        ),
        migrations.AlterField(
            model_name='recurringjob',
            name='options',
            field=jobs.models.fields.JSONTextField(blank=True, default=dict, verbose_name='options'),
        ),
        migrations.RemoveConstraint(
            model_name='counter',
            name='jobs_counter_key',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='jobs_job_expiry_idx',
        ),
        migrations.AddField(
            model_name='counter',
            name='span',
            field=models.PositiveSmallIntegerField(choices=[(60, 'Minute'), (3600, 'Hour')], default=60, editable=False, verbose_name='span'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['expires_at', 'id'], name='jobs_job_expiry_idx'),
        ),
        migrations.AddConstraint(
            model_name='counter',
            constraint=models.UniqueConstraint(fields=('span', 'minute', 'server', 'name'), name='jobs_counter_key'),
        ),
    ]
