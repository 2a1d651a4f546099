"""Django's entry for endpoints."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EndpointsConfig(AppConfig):
    """See the package's models."""

    name = "endpoints"
    verbose_name = _("Endpoints")

    def ready(self) -> None:
        from codestream.projects import belongings, variable_usage
        from endpoints.usage import delete_endpoints, endpoints_needing

        belongings.register(belongings.Belongings(delete=delete_endpoints))
        variable_usage.register_needing(endpoints_needing)
