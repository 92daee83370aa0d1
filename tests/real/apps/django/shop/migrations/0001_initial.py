from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [migrations.CreateModel("Item", [
        ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False,
                                verbose_name="ID")),
        ("name", models.CharField(max_length=80)),
        ("price", models.DecimalField(max_digits=8, decimal_places=2)),
    ])]
