"""Django's entry for pipelines."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PipelinesConfig(AppConfig):
    """See the package's models."""

    name = "pipelines"
    verbose_name = _("Pipelines")

    def ready(self) -> None:
        from codestream.projects import belongings, variable_usage
        from pipelines.services import delete_pipelines
        from pipelines.usage import pipelines_mentioning

        belongings.register(belongings.Belongings(delete=delete_pipelines))
        variable_usage.register_mentioning(pipelines_mentioning)
