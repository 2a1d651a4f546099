"""The judgement of a push by a webhook's filter, in the words of the form."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.matching import Filter, Judgement, StepOutcome, Verdict, judge
from webhooks.patterns import PatternTimeoutError, check_pattern, matches
from webhooks.registries.base import ImagePushed

PUSH = ImagePushed(
    registry="dockerhub",
    owner="ada",
    namespace="acme",
    repository="storefront",
    image="acme/storefront",
    tag="1.2",
)
FILTER = Filter(enabled=True, registry_kind="dockerhub", endpoint_image="acme/storefront")


def official(image: str) -> ImagePushed:
    return replace(PUSH, namespace="library", repository="teapot", image=image)


def outcomes(judgement: Judgement) -> list[tuple[str, StepOutcome]]:
    return [(step.name, step.outcome) for step in judgement.steps]


def test_a_push_that_passes_every_step_triggers() -> None:
    judgement = judge(PUSH, FILTER)

    assert judgement.verdict is Verdict.TRIGGERED
    assert judgement.reason_code == "matched"
    assert outcomes(judgement) == [
        ("Enabled", StepOutcome.PASSED),
        ("Server type", StepOutcome.PASSED),
        ("Endpoint", StepOutcome.PASSED),
        ("Image", StepOutcome.PASSED),
        ("Tag", StepOutcome.PASSED),
    ]


def test_a_disabled_webhook_ignores_the_push_and_looks_no_further() -> None:
    judgement = judge(PUSH, replace(FILTER, enabled=False))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.IGNORED, "disabled")
    assert outcomes(judgement) == [
        ("Enabled", StepOutcome.FAILED),
        ("Server type", StepOutcome.SKIPPED),
        ("Endpoint", StepOutcome.SKIPPED),
        ("Image", StepOutcome.SKIPPED),
        ("Tag", StepOutcome.SKIPPED),
    ]


def test_a_push_to_another_repository_than_the_endpoints_is_rejected() -> None:
    judgement = judge(PUSH, replace(FILTER, endpoint_image="acme/backoffice"))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.REJECTED, "other_repository")
    assert str(judgement.message) == (
        'The push names "acme/storefront", the endpoint\'s repository is "acme/backoffice".'
    )


def test_a_push_whose_parts_name_another_repository_than_its_image_is_rejected() -> None:
    judgement = judge(replace(PUSH, namespace="mallory"), FILTER)

    assert (judgement.verdict, judgement.reason_code) == (Verdict.REJECTED, "other_repository")


def test_registries_are_called_what_people_call_them() -> None:
    named = replace(FILTER, registry_names={"dockerhub": "DockerHub", "harbor": "Harbor"})
    push = replace(PUSH, registry="DOCKERHUB")

    same, other = (
        judge(push, replace(named, registry_kind=kind)) for kind in ("dockerhub", "harbor")
    )

    assert same.steps[1].detail == "The push comes from DockerHub."
    assert other.message == "The push comes from DockerHub, the endpoint is of the kind Harbor."


def test_a_push_from_another_kind_of_registry_is_rejected() -> None:
    judgement = judge(PUSH, replace(FILTER, registry_kind="harbor"))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.REJECTED, "other_registry")


def test_the_repository_is_compared_without_regard_to_case() -> None:
    judgement = judge(PUSH, replace(FILTER, endpoint_image="Acme/Storefront"))

    assert judgement.verdict is Verdict.TRIGGERED


@pytest.mark.parametrize("sent", ["teapot", "_/teapot", "library/teapot"])
@pytest.mark.parametrize("written", ["teapot", "library/teapot"])
def test_an_official_image_is_the_same_however_it_is_spelled(sent: str, written: str) -> None:
    judgement = judge(official(sent), replace(FILTER, endpoint_image=written))

    assert judgement.verdict is Verdict.TRIGGERED


def test_a_tag_that_does_not_match_is_ignored_in_the_words_of_the_form() -> None:
    judgement = judge(replace(PUSH, tag="latest"), replace(FILTER, tag_pattern=r"^\d+\.\d+$"))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.IGNORED, "tag_pattern")
    assert str(judgement.message) == (
        r'Tag "latest" does not match ^\d+\.\d+$ (the whole tag has to match)'
    )
    assert judgement.steps[-1].detail == judgement.message


def test_an_image_that_does_not_match_is_ignored_before_the_tag_is_looked_at() -> None:
    judgement = judge(PUSH, replace(FILTER, image_pattern="acme/.*-api", tag_pattern=r"\d"))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.IGNORED, "image_pattern")
    assert judgement.steps[-1].outcome is StepOutcome.SKIPPED


def test_the_image_pattern_sees_the_name_as_it_was_sent() -> None:
    rules = replace(FILTER, endpoint_image="teapot", image_pattern="teapot")

    assert judge(official("teapot"), rules).verdict is Verdict.TRIGGERED
    assert judge(official("library/teapot"), rules).verdict is Verdict.IGNORED


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "1.2\n"])
def test_a_part_of_the_tag_is_not_enough(tag: str) -> None:
    judgement = judge(replace(PUSH, tag=tag), replace(FILTER, tag_pattern=r"\d+\.\d+"))

    assert judgement.verdict is Verdict.IGNORED


@pytest.mark.parametrize("pattern", ["", r"(?s).+"])
@pytest.mark.parametrize("tag", ["1\n", "-1", ".1", "1.2 3", "a/b", "1+2", "é", "t" * 129])
def test_what_can_be_no_tag_is_rejected_before_anything_runs(tag: str, pattern: str) -> None:
    judgement = judge(replace(PUSH, tag=tag), replace(FILTER, tag_pattern=pattern))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.REJECTED, "impossible_tag")
    assert judgement.steps[-1].detail == judgement.message
    assert str(judgement.message).startswith("No tag can be ")


@pytest.mark.parametrize("tag", ["1", "_", "v1.2-rc_3", "LATEST", "t" * 128])
def test_every_tag_that_docker_allows_passes(tag: str) -> None:
    assert judge(replace(PUSH, tag=tag), FILTER).verdict is Verdict.TRIGGERED


@pytest.mark.parametrize("name", ["acme/Storefront", "ACME/storefront"])
def test_what_can_be_no_name_of_an_image_is_rejected(name: str) -> None:
    judgement = judge(replace(PUSH, image=name), FILTER)

    assert (judgement.verdict, judgement.reason_code) == (Verdict.REJECTED, "impossible_image")
    assert str(judgement.message).startswith(f'No image can have the name "{name}"')
    assert judgement.steps[-1].outcome is StepOutcome.SKIPPED


def test_the_name_of_an_image_may_have_many_parts() -> None:
    name = "team/sub.group/my__app/web-1"
    push = replace(PUSH, image=name, namespace="team/sub.group/my__app", repository="web-1")

    assert judge(push, replace(FILTER, endpoint_image=name)).verdict is Verdict.TRIGGERED


def test_a_line_break_in_a_tag_is_made_visible() -> None:
    judgement = judge(replace(PUSH, tag="1\n2"), replace(FILTER, tag_pattern="x"))

    assert r'Tag "1\n2" does not match' in str(judgement.message)


def test_a_pattern_that_takes_too_long_fails_the_judgement() -> None:
    tag = "a" * 100 + "!"

    judgement = judge(replace(PUSH, tag=tag), replace(FILTER, tag_pattern="(a|aa)+b"))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.FAILED, "pattern_timeout")
    assert "given up after 0.1 seconds" in str(judgement.message)


def test_a_stored_pattern_that_is_not_valid_fails_the_judgement() -> None:
    judgement = judge(PUSH, replace(FILTER, tag_pattern="("))

    assert (judgement.verdict, judgement.reason_code) == (Verdict.FAILED, "pattern_invalid")
    assert (
        str(judgement.message) == "Tag pattern (: The bracket opened at position 1 is never closed."
    )


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a*)*b", "(a|aa)+b", "(?R)"])
def test_a_catastrophic_pattern_does_not_hang(pattern: str) -> None:
    try:
        matched = matches(pattern, "a" * 120 + "!")
    except PatternTimeoutError:
        matched = False

    assert not matched


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(b", "The bracket opened at position 2 is never closed."),
        (r"\((a[(]", "The bracket opened at position 3 is never closed."),
        ("(a)([^]]", "The bracket opened at position 4 is never closed."),
        ("v[0-9", "The bracket opened at position 2 is never closed."),
        ("[]a", "The bracket opened at position 1 is never closed."),
        ("a)", "The bracket closed at position 2 was never opened."),
        ("*", "The repetition at position 1 has nothing to repeat."),
        ("a**", "The repetition at position 3 repeats another repetition."),
        ("a{2,1}", "The repetition at position 2 has a least count above its greatest."),
        ("v[9-0]", "The range that ends at position 5 is the wrong way round."),
        ("a\\", "The backslash at the end has nothing to escape."),
        (r"\p{Foo}", "The pattern is not valid before position 8: unknown property."),
    ],
)
def test_an_error_in_a_pattern_is_told_in_plain_words_with_its_position(
    pattern: str, message: str
) -> None:
    assert check_pattern(pattern) == message


@pytest.mark.parametrize("pattern", ["", "latest", r"v?\d+\.\d+\.\d+", "[0-9a-f]{40}", "a" * 256])
def test_a_usable_pattern_has_no_error(pattern: str) -> None:
    assert check_pattern(pattern) is None


def test_a_pattern_of_more_than_256_characters_is_refused() -> None:
    assert check_pattern("a" * 257) == "The pattern has 257 characters; at most 256 are allowed."


@pytest.mark.parametrize("count", ["{100}", "{100,}", "{100,100}", "{ 100 }"])
def test_counts_that_would_fill_the_memory_are_refused(count: str) -> None:
    pattern = f"((((a{count}){count}){count}){count}){count}"

    assert check_pattern(pattern) == "The counted repetitions multiply to more than 100,000."


@given(st.text(alphabet="ab()[]{}*+?|^$\\.-,0 9\n", max_size=12))
def test_any_text_is_either_matched_or_told_what_is_wrong(pattern: str) -> None:
    message = check_pattern(pattern)

    if message is None:
        assert matches(pattern, "ab") in {True, False}
    else:
        assert message.endswith(".")
