
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
    ]
