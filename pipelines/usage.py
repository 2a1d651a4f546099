"""Finds the pipelines whose text mentions something."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.translation import gettext as _

from codestream.projects.models import Variable
from pipelines.models import Pipeline
from pipelines.references import ExpressionError, VariableRef, parse_reference

_EXPRESSION = re.compile(r"(?<!\$)\$\{([^{}]*)\}")


def pipelines_mentioning(variable: Variable) -> Iterator[str]:
    """The pipelines whose current revision refers to the variable."""
    rows = Pipeline.objects.filter(
        project_id=variable.project_id, current_revision__source__contains=variable.name
    ).select_related("current_revision")
    for pipeline in rows:
        revision = pipeline.current_revision
        if revision is not None and variable.name in variables_in(revision.source):
            yield _("pipeline %(name)s") % {"name": pipeline.name}


def variables_in(source: str) -> set[str]:
    """The names of the variables to which a text refers; what cannot be read refers to none."""
    return set(_variables_in(source))


def _variables_in(source: str) -> Iterator[str]:
    for found in _EXPRESSION.finditer(source):
        try:
            reference = parse_reference(found[1])
        except ExpressionError:
            continue
        if isinstance(reference, VariableRef):
            yield reference.name
