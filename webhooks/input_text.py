"""The inputs of a webhook as the text of its form: ``name: value``, one a line."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from pipelines.yaml_nodes import MapNode, Scalar, is_null
from pipelines.yaml_source import YamlError, compose


def read_inputs(text: str) -> dict[str, str]:
    """The values by name, each as it was written. Raises ValidationError that says the line."""
    try:
        documents = [node for node in compose(text) if not is_null(node)]
    except YamlError as error:
        raise _wrong(error.position.line, error.user_message) from error
    if not documents:
        return {}
    root = documents[0]
    if len(documents) > 1 or not isinstance(root, MapNode):
        raise _wrong(root.position.line, _("Write one name: value a line."))
    inputs: dict[str, str] = {}
    for key, value in root.entries:
        if not isinstance(value, Scalar):
            message = _("The value of %(name)s is no text.") % {"name": key.text}
            raise _wrong(key.position.line, message)
        if key.text in inputs:
            raise _wrong(key.position.line, _("%(name)s stands here twice.") % {"name": key.text})
        inputs[key.text] = value.text
    return inputs


def write_inputs(inputs: Mapping[str, str]) -> str:
    """The text that reads as ``inputs``; empty for none."""
    if not inputs:
        return ""
    return yaml.safe_dump(dict(inputs), allow_unicode=True, sort_keys=False)


def _wrong(line: int, message: str) -> ValidationError:
    return ValidationError(_("Line %(line)s: %(message)s") % {"line": line, "message": message})
