"""Forms of executions: the filter of the list, the start of a pipeline, the reason to cancel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.core.widgets import LongSelect
from codestream.projects.forms import ListFilter, offer
from pipelines.definition import InputParameter
from pipelines.models import Pipeline

LONGEST_INPUT = 10_000
_SEARCHED = ("pipeline_name", "message", "comments", "triggered_by")
_PREFIX = "input-"


class ExecutionFilter(ListFilter):
    """Which executions the list shows."""

    pipeline = forms.ModelChoiceField(
        Pipeline.objects.none(),
        label=_("Pipeline"),
        required=False,
        empty_label=_("All pipelines"),
        widget=LongSelect(attrs={"class": "select"}),
    )
    source = "pipeline"
    placeholder = _("Image, tag or comment")

    def __init__(self, data: Mapping[str, Any], *, user: User) -> None:
        super().__init__(data, user=user)
        offer(self, "pipeline", Pipeline.objects.visible_to(user).only("name", "project"))

    def mentioning(self, text: str) -> Q:
        """Executions that mention the text, or run for the image, the tag or ``image:tag``."""
        found = Q(inputs__DOCKER_IMAGE__icontains=text) | Q(inputs__DOCKER_TAG__icontains=text)
        for name in _SEARCHED:
            found |= Q(**{f"{name}__icontains": text})
        image, colon, tag = text.rpartition(":")
        if colon:
            pushed = Q(inputs__DOCKER_IMAGE__iendswith=image, inputs__DOCKER_TAG__istartswith=tag)
            found |= pushed
        return found


class StartForm(forms.Form):
    """One field per input that the pipeline declares, and a comment."""

    comments = forms.CharField(
        label=_("Comments"),
        required=False,
        max_length=500,
        help_text=_("Shown in the list of executions."),
    )

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, inputs: Iterable[InputParameter]
    ) -> None:
        super().__init__(data)
        declared = {f"{_PREFIX}{each.name}": _input_field(each) for each in inputs}
        self.fields = {**declared, **self.fields}

    def inputs(self) -> dict[str, str]:
        """What was entered, by the names that the pipeline knows."""
        return {
            name.removeprefix(_PREFIX): value
            for name, value in self.cleaned_data.items()
            if name.startswith(_PREFIX)
        }


class CancelForm(forms.Form):
    """Why an execution is canceled."""

    reason = forms.CharField(label=_("Reason"), required=False, max_length=500)


def _input_field(declared: InputParameter) -> forms.CharField:
    long = "\n" in declared.value
    return forms.CharField(
        label=declared.name,
        help_text=declared.description,
        initial=declared.value,
        required=declared.mandatory,
        max_length=LONGEST_INPUT,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}) if long else forms.TextInput(),
    )
