"""The definition of a pipeline: from a text in YAML or JSON to frozen dataclasses.

``parse`` gives either a pipeline that can run or every problem at once, each with its path and
line. Field names and tolerated spellings follow the original product's pipeline format.
"""

from __future__ import annotations

from collections.abc import Collection

from pipelines.definition.checks import check, find
from pipelines.definition.model import (
    InputParameter,
    Option,
    PipelineDefinition,
    PipelineState,
    Rollback,
    Stage,
    Task,
)
from pipelines.definition.reading import read
from pipelines.docker_parameters import DOCKER_ALIASES, DOCKER_PARAMETERS, inject_docker
from pipelines.problems import DefinitionError, Problem, Problems
from pipelines.yaml_nodes import MapNode, Node, Scalar, duplicate_keys, is_null
from pipelines.yaml_source import YamlError, compose

__all__ = [
    "DOCKER_ALIASES",
    "DOCKER_PARAMETERS",
    "DefinitionError",
    "InputParameter",
    "Option",
    "PipelineDefinition",
    "PipelineState",
    "Problem",
    "Rollback",
    "Stage",
    "Task",
    "inject_docker",
    "parse",
]


def parse(source: str, *, task_kinds: Collection[str]) -> PipelineDefinition:
    """Read one pipeline; ``task_kinds`` are the task types that can run.

    Raises DefinitionError with every problem, in the order of the text.
    """
    problems = Problems()
    root = _only_document(source, problems)
    if root is not None:
        for path, key in duplicate_keys(root):
            problems.add(path, "this key stands here twice", key.position)
        definition = read(root, task_kinds, problems)
        check(definition, root, problems)
    problems.raise_if_any()
    return definition


def _only_document(source: str, problems: Problems) -> MapNode | None:
    try:
        documents = [node for node in compose(source) if not is_null(node)]
    except YamlError as error:
        problems.add("", error.user_message, error.position)
        return None
    if len(documents) > 1:
        named = "; ".join(_describe(node) for node in documents[:10])
        message = f"the text holds {len(documents)} documents, give one pipeline: {named}"
        problems.add("", message, documents[1].position)
    elif not documents:
        problems.add("", "the text is empty")
    elif not isinstance(documents[0], MapNode):
        problems.add("", "a pipeline is written as names with values", documents[0].position)
    else:
        return documents[0]
    return None


def _describe(node: Node) -> str:
    kind, name = find(node, "kind"), find(node, "name")
    words = [each.text for each in (kind, name) if isinstance(each, Scalar)]
    return f"{' '.join(words) or 'one without a name'} (line {node.position.line})"
