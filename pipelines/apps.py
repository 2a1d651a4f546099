"""Django's entry for pipelines."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PipelinesConfig(AppConfig):
    """See the package's models."""

    name = "pipelines"
    verbose_name = _("Pipelines")
