"""The way back to a revision: choosing it, and the patch that leads there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestream.core.json_types import Json
from endpoints.clients.base import Invalid, NotFound
from endpoints.clients.revisions import (
    Revision,
    chosen,
    merge_changes,
    revisions_of,
    template_of,
)

HELD = tuple(Revision(number=number, holder=f"web-{number}") for number in (7, 4, 2))
values = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=2), values, max_size=4)


def merged(before: Any, patch: Any) -> Any:
    """RFC 7386, as its text says it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(objects, objects)
def test_the_patch_leads_from_one_object_to_the_other(
    before: dict[str, Json], after: dict[str, Json]
) -> None:
    assert merged(copy.deepcopy(before), merge_changes(before, after)) == after


@given(objects)
def test_there_is_nothing_to_patch_between_equals(body: dict[str, Json]) -> None:
    assert merge_changes(body, copy.deepcopy(body)) == {}


def test_a_null_counts_as_absent() -> None:
    assert merge_changes({"a": None, "b": 1}, {"b": 1, "c": None}) == {}


@pytest.mark.parametrize(
    ("wanted", "number"), [("n-0", 7), ("n-1", 4), ("N-2", 2), ("2", 2), ("7", 7)]
)
def test_a_revision_is_chosen_by_number_or_by_steps_back(wanted: str, number: int) -> None:
    assert chosen(HELD, wanted).number == number


@pytest.mark.parametrize("wanted", ["n-3", "3", "0"])
def test_a_revision_that_is_not_held_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(NotFound, match=r"no revision .*: the cluster holds 7, 4, 2\."):
        chosen(HELD, wanted)


def test_a_word_is_no_revision() -> None:
    with pytest.raises(Invalid, match="'latest' is no revision"):
        chosen(HELD, "latest")


def test_revisions_of_another_owner_do_not_count() -> None:
    def held(name: str, revision: int, owner: str) -> dict[str, Any]:
        metadata = {"name": name, "ownerReferences": [{"uid": owner}]}
        return {"kind": "ControllerRevision", "revision": revision, "metadata": metadata}

    owner: dict[str, Any] = {"kind": "StatefulSet", "metadata": {"uid": "mine"}}
    holders = [held("a", 1, "mine"), held("b", 3, "mine"), held("c", 2, "other")]

    assert [each.number for each in revisions_of(owner, holders)] == [3, 1]


def test_the_template_is_the_one_that_the_owner_had() -> None:
    labels = {"app": "web", "pod-template-hash": "abc"}
    replica_set: dict[str, Any] = {
        "kind": "ReplicaSet",
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": []}}},
    }
    template = {"$patch": "replace", "spec": {"containers": []}}
    revision: dict[str, Any] = {
        "kind": "ControllerRevision",
        "data": {"spec": {"template": template}},
    }

    assert template_of(replica_set) == {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": []},
    }
    assert template_of(revision) == {"spec": {"containers": []}}
