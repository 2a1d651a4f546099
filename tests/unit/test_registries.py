"""The notifications of other registries: what was pushed, or why nothing was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhooks.readers import reader_for
from webhooks.registries.base import Ignored, ImagePushed, Malformed, Parsed, Reason

OURS = Path(__file__).resolve().parents[1] / "payloads"
COLLECTED = Path(__file__).resolve().parents[2].parent / "shared/payloads/other"
KINDS = ("distribution", "azure", "dtr", "harbor", "github", "quay")
DIGEST, OTHER = f"sha256:{'3c' * 32}", f"sha256:{'7e' * 32}"

WORDS = """events action push target repository tag digest type TAG_PUSH PUSH_ARTIFACT contents
namespace event_data resources repo_full_name package published CONTAINER package_type
updated_tags"""
words = st.sampled_from(WORDS.split())
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def parse(kind: str, body: bytes) -> tuple[Parsed, ...]:
    return reader_for(kind).parse(body, {})


def parse_file(name: str) -> tuple[Parsed, ...]:
    return parse(name.partition("/")[0], (OURS / f"{name}.json").read_bytes())


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("distribution/push", datetime(2026, 3, 2, 10, 15, 30, 123456, tzinfo=UTC)),
        ("azure/push", datetime(2026, 3, 2, 10, 15, 30, tzinfo=UTC)),
        ("dtr/tag-push", datetime(2026, 3, 2, 10, 15, 30, 500000, tzinfo=UTC)),
        ("harbor/push-artifact", datetime(2026, 3, 2, 10, 15, 30, tzinfo=UTC)),
        ("harbor/cloud-event", datetime(2026, 3, 2, 10, 15, 30, tzinfo=UTC)),
        ("github/package-published", datetime(2026, 3, 2, 10, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_push_gives_image_tag_digest_and_time(name: str, moment: datetime) -> None:
    (push,) = parse_file(name)

    assert isinstance(push, ImagePushed)
    assert push.registry == name.partition("/")[0]
    assert (push.image, push.namespace, push.repository) == (
        "acme/storefront",
        "acme",
        "storefront",
    )
    assert (push.tag, push.digest, push.pushed_at) == ("1.2.3", DIGEST, moment)
    assert push.owner == ("" if push.registry == "azure" else "ada")


def test_harbor_may_name_the_repository_in_parts() -> None:
    body = (OURS / "harbor/push-artifact.json").read_bytes()

    assert parse("harbor", body.replace(b"repo_full_name", b"unknown")) == parse("harbor", body)


def test_quay_names_every_tag_and_no_digest() -> None:
    pushes = parse_file("quay/push")

    assert [(each.image, each.tag, each.digest) for each in pushes] == [  # type: ignore[union-attr]
        ("acme/storefront", "1.2.3", ""),
        ("acme/storefront", "latest", ""),
    ]


def test_an_envelope_gives_each_of_its_pushes() -> None:
    pushes = parse_file("distribution/two-repositories-and-a-pull")

    assert [(each.image, each.tag, each.digest) for each in pushes] == [  # type: ignore[union-attr]
        ("acme/storefront", "1.2.3", DIGEST),
        ("acme/tools/kettle", "latest", OTHER),
    ]
    assert pushes[1].namespace == "acme/tools"  # type: ignore[union-attr]


def test_a_repository_may_have_no_namespace() -> None:
    (push,) = parse_file("distribution/one-name")

    assert isinstance(push, ImagePushed)
    assert (push.namespace, push.repository, push.image) == ("", "storefront", "storefront")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("distribution/push-by-digest", Reason.NO_TAG),
        ("distribution/delete", Reason.NO_PUSH),
        ("azure/ping", Reason.NO_PUSH),
        ("dtr/scan-completed", Reason.NO_PUSH),
        ("harbor/pull-artifact", Reason.NO_PUSH),
        ("github/package-without-tag", Reason.NO_TAG),
        ("github/npm-package", Reason.NO_PUSH),
        ("quay/no-tags", Reason.NO_PUSH),
    ],
)
def test_what_is_no_push_is_ignored_with_a_reason(name: str, reason: Reason) -> None:
    (answer,) = parse_file(name)

    assert isinstance(answer, Ignored)
    assert answer.reason_code is reason
    assert str(answer.reason)


def test_github_may_send_a_form() -> None:
    body = (OURS / "github/package-published.json").read_bytes()

    assert parse("github", b"payload=" + quote_plus(body).encode()) == parse("github", body)


def test_the_ping_of_github_is_called_by_its_name() -> None:
    (answer,) = reader_for("github").parse(
        b'{"zen": "Keep it simple."}', {"X-Github-Event": "ping"}
    )

    assert isinstance(answer, Ignored)
    assert str(answer.reason) == 'The event "ping" publishes no container image.'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[" * 100_000])
def test_what_cannot_be_read_is_malformed(kind: str, body: bytes) -> None:
    assert isinstance(parse(kind, body)[0], Malformed)


@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_envelope_is_refused(kind: str) -> None:
    document = {
        "events": [{}] * 200,
        "updated_tags": ["t"] * 200,
        "repository": "a/b",
        "type": "PUSH_ARTIFACT",
        "event_data": {"resources": [{}] * 200},
    }

    assert not isinstance(parse(kind, json.dumps(document).encode())[0], ImagePushed)


@given(st.sampled_from(KINDS), json_values)
@settings(max_examples=300)
def test_nothing_makes_a_reader_raise(kind: str, value: object) -> None:
    answers = parse(kind, json.dumps(value).encode())

    assert answers
    assert all(isinstance(each, ImagePushed | Ignored | Malformed) for each in answers)


@pytest.mark.skipif(not COLLECTED.is_dir(), reason="the recorded bodies are not here")
@pytest.mark.parametrize(
    ("kind", "name", "images"),
    [
        ("azure", "acr-push", ["hello-world:v1"]),
        ("distribution", "distribution-2.8.2-push-tag-with-references", ["demo/app:1.0"]),
        ("distribution", "distribution-2.8.2-delete-tag", []),
        ("distribution", "distribution-2015-two-repositories", []),
        ("dtr", "dtr-tag-push", ["foo/bar:latest"]),
        ("github", "ghcr-package-published", ["user/guestbook:5.5.9"]),
        ("harbor", "harbor-push-artifact", ["library/rumput:v1"]),
    ],
)
def test_recorded_bodies_are_read(kind: str, name: str, images: list[str]) -> None:
    answers = parse(kind, (COLLECTED / f"{name}.json").read_bytes())

    pushes = [each for each in answers if isinstance(each, ImagePushed)]
    assert [f"{push.image}:{push.tag}" for push in pushes] == images
