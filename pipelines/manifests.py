"""Kubernetes manifests with expressions in them.

A manifest is parsed before any value is put in, and values replace texts of the parsed tree: what
a value holds can never change the shape of the manifest. Sending manifests is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import yaml

from codestream.core.json_types import Json, JsonObject
from pipelines.docker_parameters import is_docker_parameter
from pipelines.expressions import (
    InputRef,
    Reference,
    Scope,
    Template,
    parse_template,
)
from pipelines.expressions import references as references_in
from pipelines.problems import DefinitionError, Problem, Problems
from pipelines.yaml_nodes import (
    ListNode,
    MapNode,
    Node,
    Scalar,
    duplicate_keys,
    is_null,
    scalar_value,
    scalars,
)
from pipelines.yaml_source import YamlError, compose

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
)
# These call what the workloads serve, or are called before anything else is admitted.
_LAST = (
    "Ingress",
    "HorizontalPodAutoscaler",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)
_MIDDLE = len(_FIRST)
_RANKS = {kind: rank for rank, kind in enumerate(_FIRST)} | {
    kind: _MIDDLE + 1 + rank for rank, kind in enumerate(_LAST)
}
_INT64 = range(-(2**63), 2**63)


class ManifestError(DefinitionError):
    """A text of manifests cannot be used; lines count within that text."""

    code = "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object, not yet rendered: its texts may hold expressions.

    ``number`` is the document's place in its text, ``line`` where it begins; both count from 1.
    """

    api_version: str
    kind: str
    name: str
    namespace: str
    number: int
    line: int
    root: MapNode

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@lru_cache(maxsize=256)
def parse_manifests(text: str, *, nameless: bool = False) -> tuple[Manifest, ...]:
    """Read documents separated by ``---``; empty ones are skipped, a ``List`` gives its items.

    The same text is read once: every step of a task asks for it again. With ``nameless`` an object
    may do without a name: it then stands for all of its kind.

    Raises ManifestError with everything that is wrong.
    """
    problems = Problems()
    manifests: list[Manifest] = []
    try:
        documents = compose(text)
    except YamlError as error:
        problems.add("", error.user_message, error.position)
        documents = ()
    for number, node in enumerate(documents, start=1):
        if not is_null(node):
            manifests.extend(_read(node, number, problems, nameless))
    if not manifests and not problems:
        problems.add("", "there is no object in it")
    _raise_if_any(problems)
    return tuple(manifests)


def in_order(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """What others need comes first: namespaces, definitions of kinds, secrets; else as written."""
    return tuple(sorted(manifests, key=lambda manifest: _RANKS.get(manifest.kind, _MIDDLE)))


def references(manifest: Manifest) -> tuple[Reference, ...]:
    """Every reference of the manifest, in the order of its text."""
    found = (references_in(scalar.text) for _, scalar in scalars(manifest.root))
    return tuple(reference for group in found for reference in group)


def render(manifest: Manifest, scope: Scope) -> JsonObject:
    """The object with every expression replaced, in keys too.

    A quoted text stays text. An unquoted one that is exactly one expression takes the type of an
    integer, ``true`` or ``false`` where its value is written exactly so, unless it is push data;
    everything else is text. Raises UnknownReference, and ManifestError where keys collide.
    """
    return _render_map(manifest.root, scope)


def dump(tree: Json) -> str:
    """The tree as YAML for people: block style, long texts as blocks."""
    text = _dump(tree, _QuickDumper)
    # libyaml writes what lies beyond the basic plane, such as an emoji, as a number.
    return _dump(tree, _Dumper) if "\\U" in text else text


def _dump(tree: Json, dumper: type[_Dumper | _QuickDumper]) -> str:
    text: str = yaml.dump(
        tree, Dumper=dumper, sort_keys=False, allow_unicode=True, width=1000, indent=2
    )
    return text


def _read(node: Node, number: int, problems: Problems, nameless: bool) -> list[Manifest]:
    path = f"document {number}"
    if not isinstance(node, MapNode):
        problems.add(path, f"document {number} is not an object", node.position)
        return []
    items = node.get("items")
    if _text(node, "kind") == "List" and isinstance(items, ListNode):
        parts = (_read(item, number, problems, nameless) for item in items.items)
        return [found for part in parts for found in part]
    before = len(problems.found)
    _check(node, path, problems, nameless)
    return [_manifest(node, number)] if len(problems.found) == before else []


def _check(root: MapNode, path: str, problems: Problems, nameless: bool) -> None:
    metadata = root.get("metadata")
    required = {
        "apiVersion": _text(root, "apiVersion"),
        "kind": _text(root, "kind"),
        "metadata.name": _text(metadata, "name"),
    }
    for name, value in required.items():
        if not value and not (nameless and name == "metadata.name"):
            problems.add(path, f"{path} has no {name}", root.position)
    for key_path, key in duplicate_keys(root):
        problems.add(path, f"{key_path} stands twice in {path}", key.position)
    for _, scalar in scalars(root):
        problems.check_expressions(path, scalar)


def _manifest(root: MapNode, number: int) -> Manifest:
    metadata = root.get("metadata")
    return Manifest(
        api_version=_text(root, "apiVersion"),
        kind=_text(root, "kind"),
        name=_text(metadata, "name"),
        namespace=_text(metadata, "namespace"),
        number=number,
        line=root.position.line,
        root=root,
    )


def _text(node: Node | None, key: str) -> str:
    value = node.get(key) if isinstance(node, MapNode) else None
    return value.text if isinstance(value, Scalar) and not is_null(value) else ""


def _render(node: Node, scope: Scope) -> Json:
    if isinstance(node, Scalar):
        return _render_scalar(node, scope)
    if isinstance(node, ListNode):
        return [_render(item, scope) for item in node.items]
    return _render_map(node, scope)


def _render_map(node: MapNode, scope: Scope) -> JsonObject:
    rendered: JsonObject = {}
    for key, value in node.entries:
        name = parse_template(key.text).text(scope)
        if name in rendered:
            problems = Problems()
            problems.add("", f'two keys become "{name}"', key.position)
            _raise_if_any(problems)
        rendered[name] = _render(value, scope)
    return rendered


def _render_scalar(scalar: Scalar, scope: Scope) -> Json:
    template = parse_template(scalar.text)
    if not template.references:
        return scalar_value(scalar)
    text = template.text(scope)
    return text if scalar.quoted or not _may_take_a_type(template) else _typed(text)


def _may_take_a_type(template: Template) -> bool:
    whole = template.whole
    if isinstance(whole, InputRef):
        return not is_docker_parameter(whole.name)
    return whole is not None


def _typed(text: str) -> Json:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text) and int(text) in _INT64:
        return int(text)
    return text


def _raise_if_any(problems: Problems) -> None:
    if problems:
        raise ManifestError(tuple(problems))


class _OfTexts(yaml.representer.SafeRepresenter):
    """Writes texts of several lines as blocks and never as aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OfTexts.add_representer(str, _OfTexts.represent_text)


class _Dumper(_OfTexts, yaml.SafeDumper):
    """PyYAML's own."""


class _QuickDumper(_OfTexts, yaml.CSafeDumper):
    """libyaml's: the same but for very few texts, in a tenth of the time."""


__all__ = [
    "Manifest",
    "ManifestError",
    "Problem",
    "dump",
    "in_order",
    "parse_manifests",
    "references",
    "render",
]
