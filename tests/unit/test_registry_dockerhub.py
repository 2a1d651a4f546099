"""Docker Hub's notifications: every generation is read, and nothing makes the reader raise."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.registries.base import LONGEST, Ignored, ImagePushed, Malformed, Parsed, Reason
from webhooks.registries.dockerhub import DockerHub

OURS = Path(__file__).resolve().parents[1] / "payloads/dockerhub"
COLLECTED = Path(__file__).resolve().parents[2].parent / "shared/payloads/dockerhub"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)


def parse(body: bytes) -> Parsed:
    (answer,) = DockerHub().parse(body, {})
    return answer


def parse_file(name: str) -> Parsed:
    return parse((OURS / f"{name}.json").read_bytes())


def parse_push(
    *, repo_name: object = "acme/storefront", tag: object = "1.2.3", **rest: object
) -> Parsed:
    """Parse a small body; ``rest`` are further fields of ``push_data``."""
    event = {"tag": tag, **rest}
    return parse(json.dumps({"push_data": event, "repository": {"repo_name": repo_name}}).encode())


def test_a_notification_of_the_present_generation_gives_everything_it_says() -> None:
    assert parse_file("present-generation") == ImagePushed(
        registry="dockerhub",
        owner="ada",
        namespace="acme",
        repository="storefront",
        image="acme/storefront",
        tag="1.2.3",
        pushed_at=datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC),
        callback_url="https://registry.hub.docker.com/u/acme/storefront/hook/"
        "3f6a0b9c8d7e4f5a90b1c2d3e4f5a6b7/",
        media_type="application/vnd.docker.distribution.manifest.list.v2+json",
        repo_status="Active",
    )


@pytest.mark.parametrize(
    ("name", "owner", "tag"),
    [
        ("automated-build-float-times", "trustedbuilder", "1.4.0"),
        ("no-dockerfile-key", "ada", "latest"),
        ("automated-build-with-dockerfile", "acme", "edge"),
        ("empty-dockerfile", "ada", "2.0.0-rc.1"),
        ("documented-today", "trustedbuilder", "stable"),
    ],
)
def test_older_generations_give_owner_image_and_tag(name: str, owner: str, tag: str) -> None:
    push = parse_file(name)

    assert isinstance(push, ImagePushed)
    assert (push.owner, push.image, push.tag) == (owner, "acme/storefront", tag)


@pytest.mark.parametrize(
    "name",
    [
        "manual-push-without-tag",
        "images-null-without-tag",
        "official-image-without-tag",
        "sparse-count-as-text-without-tag",
    ],
)
def test_a_notification_without_a_tag_is_ignored_in_words(name: str) -> None:
    answer = parse_file(name)

    assert isinstance(answer, Ignored)
    assert answer.reason_code is Reason.NO_TAG
    assert "names no tag" in str(answer.reason)


@pytest.mark.skipif(not COLLECTED.is_dir(), reason="the collection of real bodies is not here")
@pytest.mark.parametrize("path", sorted(COLLECTED.glob("*.json")), ids=lambda path: path.stem)
def test_every_collected_body_is_a_push_or_has_no_tag(path: Path) -> None:
    body = path.read_bytes()
    has_tag = "tag" in json.loads(body)["push_data"]

    answer = parse(body)

    if has_tag:
        assert isinstance(answer, ImagePushed)
    else:
        assert isinstance(answer, Ignored)
        assert answer.reason_code is Reason.NO_TAG


def test_the_two_smallest_fields_are_enough() -> None:
    push = parse_file("smallest")

    assert isinstance(push, ImagePushed)
    assert (push.image, push.tag) == ("STOREFRONT", "FIRST")
    assert (push.owner, push.pushed_at, push.callback_url) == ("", None, "")


def test_times_are_read_to_the_second_in_float_notation() -> None:
    push = parse_file("automated-build-float-times")

    assert isinstance(push, ImagePushed)
    assert push.pushed_at == datetime(2014, 5, 27, 23, 49, 27, tzinfo=UTC)


def test_without_a_pusher_the_owner_of_the_repository_counts() -> None:
    body = {"push_data": {"tag": "1"}, "repository": {"repo_name": "acme/web", "owner": "acme"}}

    push = parse(json.dumps(body).encode())

    assert isinstance(push, ImagePushed)
    assert push.owner == "acme"


def test_without_a_repo_name_the_image_is_namespace_and_name() -> None:
    body = {"push_data": {"tag": "1"}, "repository": {"namespace": "acme", "name": "web"}}

    push = parse(json.dumps(body).encode())

    assert isinstance(push, ImagePushed)
    assert (push.image, push.namespace, push.repository) == ("acme/web", "acme", "web")


@pytest.mark.parametrize("sent", ["teapot", "_/teapot", "library/teapot"])
def test_an_official_image_keeps_its_name_as_sent_and_belongs_to_library(sent: str) -> None:
    push = parse_push(repo_name=sent)

    assert isinstance(push, ImagePushed)
    assert (push.image, push.namespace, push.repository) == (sent, "library", "teapot")


def test_a_tag_with_a_newline_stays_one_value() -> None:
    push = parse_push(tag="x\n  hostNetwork: true")

    assert isinstance(push, ImagePushed)
    assert push.tag == "x\n  hostNetwork: true"


def test_a_form_with_the_field_payload_is_read_like_json() -> None:
    form = urlencode({"payload": (OURS / "present-generation.json").read_text(), "other": "x"})

    assert parse(form.encode()) == parse_file("present-generation")


def test_a_byte_order_mark_before_the_json_is_no_part_of_it() -> None:
    body = (OURS / "present-generation.json").read_bytes()

    assert parse(b"\xef\xbb\xbf" + body) == parse_file("present-generation")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"tag=latest", b"payload=", b'{"tag": "\xff"}', b'{"a": 1} {"b": 2}', b"\\]"],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    answer = parse(body)

    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.NOT_JSON


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"acme/web"',
        b"{}",
        b'{"repository": null, "push_data": {"tag": "1"}}',
        b'{"repository": {"repo_name": "acme/"}, "push_data": {"tag": "1"}}',
    ],
)
def test_json_that_names_no_repository_is_ignored(body: bytes) -> None:
    answer = parse(body)

    assert isinstance(answer, Ignored)
    assert answer.reason_code is Reason.NO_REPOSITORY


@pytest.mark.parametrize("tag", ["", "  ", None])
def test_an_empty_tag_is_no_tag(tag: str | None) -> None:
    answer = parse_push(tag=tag)

    assert isinstance(answer, Ignored)
    assert answer.reason_code is Reason.NO_TAG


@pytest.mark.parametrize(
    ("value", "kind"),
    [(7, "a number"), (True, "true or false"), (["1"], "a list"), ({}, "an object")],
)
def test_another_type_where_text_is_expected_is_malformed_in_words(
    value: object, kind: str
) -> None:
    answer = parse_push(tag=value)

    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.WRONG_TYPE
    assert str(answer.reason) == f'"tag" holds {kind} where text is expected.'


def test_text_where_an_object_is_expected_is_malformed_in_words() -> None:
    answer = parse(b'{"repository": "acme/web", "push_data": {"tag": "1"}}')

    assert isinstance(answer, Malformed)
    assert str(answer.reason) == '"repository" holds text where an object is expected.'


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_a_database_cannot_keep_is_malformed(text: str) -> None:
    answer = parse_push(tag=text)

    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.UNSTORABLE_TEXT


def test_a_tag_of_the_longest_length_passes_and_one_more_is_malformed() -> None:
    assert isinstance(parse_push(tag="x" * 128), ImagePushed)
    answer = parse_push(tag="x" * 129)
    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.TOO_LONG
    assert str(answer.reason) == '"tag" has 129 characters; at most 128 are accepted.'


def test_a_part_of_the_image_is_bounded_too() -> None:
    answer = parse_push(repo_name="acme/" + "x" * 300)

    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.TOO_LONG


@pytest.mark.parametrize("when", [-1, 0, 1e300, float("nan"), "yesterday", True, None])
def test_an_implausible_time_is_no_time(when: object) -> None:
    push = parse_push(pushed_at=when)

    assert isinstance(push, ImagePushed)
    assert push.pushed_at is None


def test_a_number_of_thousands_of_digits_does_no_harm() -> None:
    body = b'{"repository":{"repo_name":"a/b","star_count":%s},"push_data":{"tag":"1"}}'

    assert isinstance(parse(body % (b"9" * 10_000)), ImagePushed)


def test_deep_nesting_is_malformed() -> None:
    answer = parse(b"[" * 200_000)

    assert isinstance(answer, Malformed)
    assert answer.reason_code is Reason.TOO_DEEP


def test_of_a_doubled_key_the_last_counts() -> None:
    push = parse(b'{"repository":{"repo_name":"a/b"},"push_data":{"tag":"1","tag":"2"}}')

    assert isinstance(push, ImagePushed)
    assert push.tag == "2"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(body: bytes) -> None:
    assert isinstance(parse(body), Ignored | Malformed | ImagePushed)


@given(
    repository=st.dictionaries(st.sampled_from(["repo_name", "name", "namespace"]), json_values)
    | json_values,
    push_data=st.dictionaries(st.sampled_from(["tag", "pusher", "pushed_at"]), json_values)
    | json_values,
)
def test_no_json_makes_the_reader_raise_and_all_it_returns_can_be_stored(
    repository: object, push_data: object
) -> None:
    answer = parse(json.dumps({"repository": repository, "push_data": push_data}).encode())

    if isinstance(answer, ImagePushed):
        for name, longest in LONGEST.items():
            assert len(getattr(answer, name).encode().decode()) <= longest
        assert answer.repository
        assert answer.tag
