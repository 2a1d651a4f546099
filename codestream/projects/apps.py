"""Django's entry for projects."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProjectsConfig(AppConfig):
    """Projects, who belongs to them, and their variables."""

    name = "codestream.projects"
    label = "projects"
    verbose_name = _("Projects")
