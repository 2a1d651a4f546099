"""The form of the pipeline editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.versions import VersionedForm
from codestream.projects.forms import ProjectField
from pipelines.models import Pipeline

LONGEST_SOURCE = 256 * 1024


class PipelineForm(VersionedForm):
    """The text of a pipeline, and for a new one its project. The text is judged by the service."""

    project = ProjectField()
    source = forms.CharField(
        label=_("Definition"),
        max_length=LONGEST_SOURCE,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 28, "spellcheck": "false", "wrap": "off"}),
        help_text=_("YAML or JSON. Saving makes a new revision; running executions keep theirs."),
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user: User,
        pipeline: Pipeline | None = None,
        project: str = "",
        source: str = "",
        version: str = "",
    ) -> None:
        """``version`` is what an earlier page of the form carried."""
        shown = {"project": project, "source": source, "version": version}
        super().__init__(data, initial=shown)
        self.watch(pipeline)
        field = self.fields["project"]
        if pipeline is not None:
            del self.fields["project"]
        elif isinstance(field, ProjectField):
            field.offer(user)

    def clean_source(self) -> str:
        """A browser sends line ends as CR LF; a definition is kept with LF alone."""
        source: str = self.cleaned_data["source"]
        return source.replace("\r\n", "\n")
