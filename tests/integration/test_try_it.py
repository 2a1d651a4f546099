"""Try it: what the form or a webhook would say of a push; nothing is started."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executions.models import Execution
from executions.worker import drain
from tests.factories import DockerRegistryFactory, DockerWebhookFactory, RegistryEventFactory
from tests.integration.cast import Cast, get
from tests.integration.test_pages_webhooks import HTMX, NEW, page_of
from webhooks import services, trying
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RegistryEvent
from webhooks.patterns import check_pattern
from webhooks.trying import try_out

pytestmark = pytest.mark.django_db
TRY_NEW = f"{NEW}try/"
NAMES = st.sampled_from(["demo/web", "demo/api", "Demo/Web", "library/web", "web", "demo"])
TAGS = st.sampled_from(["1.2.3", "1.2", "latest", "v1", "1.2.3-rc.1", "x y", "ä"])
PATTERNS = st.sampled_from(
    [
        "",
        "demo/.*",
        "demo/web",
        r"\d+\.\d+",
        r"\d+\.\d+\.\d+",
        "latest|v.*",
        ".+",
        "x",
        "(?i)DEMO/web",
    ]
) | st.from_regex(r"\A[a-z0-9./\\+*?()|^$-]{0,6}\Z").filter(
    lambda text: check_pattern(text) is None
)


def sent(endpoint_pk: object, **changes: str) -> dict[str, str]:
    """The part of the form that is tried."""
    return {"endpoint": str(endpoint_pk), "image_pattern": "", "tag_pattern": "", **changes}


def deliver(webhook: DockerWebhook, image: str, tag: str) -> RegistryEvent:
    namespace, _, name = image.rpartition("/")
    body = {
        "push_data": {"tag": tag},
        "repository": {"repo_name": image, "namespace": namespace, "name": name},
    }
    event = services.receive_event(
        webhook=webhook, body=json.dumps(body).encode(), headers={}, remote_addr=None
    )
    drain()
    event.refresh_from_db()
    return event


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(image=NAMES, tag=TAGS, image_pattern=PATTERNS, tag_pattern=PATTERNS, enabled=st.booleans())
def test_trying_and_judging_never_disagree(
    db: None, image: str, tag: str, image_pattern: str, tag_pattern: str, enabled: bool
) -> None:
    webhook = DockerWebhookFactory.create(
        image_pattern=image_pattern, tag_pattern=tag_pattern, enabled=enabled
    )
    typed = try_out(webhook, f"{image}:{tag}").asked

    event = deliver(webhook, image, tag)

    (picked,) = try_out(webhook, "").recent
    assert typed is not None
    assert typed.would_start == picked.would_start == (event.verdict == Verdict.TRIGGERED)
    for tried in (typed, picked):
        told = [(step.name, step.outcome, str(step.detail)) for step in tried.judgement.steps]
        steps = [(step["name"], step["outcome"], step["detail"]) for step in event.steps]
        assert told == steps[1 : 1 + len(told)]


def test_the_registry_is_named_as_in_the_form_of_the_endpoint(webhook: DockerWebhook) -> None:
    tried = try_out(webhook, "demo/web:1").asked

    assert tried is not None
    assert tried.judgement.steps[1].detail == "The push comes from DockerHub."


def test_the_patterns_count_as_they_stand_in_the_form(cast: Cast, webhook: DockerWebhook) -> None:
    RegistryEventFactory(webhook=webhook, tag="1.2.3")
    RegistryEventFactory(webhook=webhook, tag="latest")
    asked = sent(webhook.endpoint_id, tag_pattern=r"\d.*", push="demo/web:7.0")

    html = cast.client("member").post(f"{page_of(webhook, 'edit')}try/", asked, headers=HTMX).text

    assert "Would start the pipeline" in html
    assert _marks(html) == {"demo/web:1.2.3": "Starts", "demo/web:latest": "Does not"}
    webhook.refresh_from_db()
    assert webhook.tag_pattern == ""
    assert not Execution.objects.exists()


def test_one_of_the_last_deliveries_is_picked(cast: Cast, webhook: DockerWebhook) -> None:
    asked = sent(webhook.endpoint_id, push="demo/web:typed", picked="demo/api:9")

    html = cast.client("member").post(f"{page_of(webhook, 'edit')}try/", asked, headers=HTMX).text

    assert "Would start nothing" in html
    assert "the endpoint&#x27;s repository is" in html
    assert "<code>demo/api:9</code>" in html


def test_the_form_of_a_webhook_begins_with_its_last_deliveries(
    cast: Cast, webhook: DockerWebhook
) -> None:
    RegistryEventFactory(webhook=webhook, tag="1.2.3")

    html = cast.client("member").get(page_of(webhook, "edit")).text

    assert _marks(html) == {"demo/web:1.2.3": "Starts"}


def test_a_new_webhook_is_tried_on_the_pushes_of_its_endpoint(
    cast: Cast, webhook: DockerWebhook
) -> None:
    RegistryEventFactory(webhook=webhook, tag="1.2.3")
    RegistryEventFactory(
        webhook=DockerWebhookFactory(project=cast.project), image="demo/other", tag="9"
    )

    html = cast.client("member").post(TRY_NEW, sent(webhook.endpoint_id), headers=HTMX).text

    assert _marks(html) == {"demo/web:1.2.3": "Starts"}


def test_the_last_fifty_are_shown(cast: Cast, webhook: DockerWebhook) -> None:
    for number in range(52):
        RegistryEventFactory(webhook=webhook, tag=f"t{number}")

    marks = _marks(get(cast, page_of(webhook, "try"), "viewer"))

    assert len(marks) == 50
    assert "demo/web:t51" in marks
    assert "demo/web:t1" not in marks


def test_deliveries_without_an_image_are_passed_over(
    cast: Cast, webhook: DockerWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "LOOKED_AT", 3)
    for image in ("demo/lost", "demo/web", "", ""):
        RegistryEventFactory(webhook=webhook, image=image, tag="1" if image else "")

    assert [tried.name for tried in try_out(webhook, "").recent] == ["demo/web:1"]


@pytest.mark.parametrize("pattern", ["image_pattern", "tag_pattern"])
def test_a_pattern_that_is_none_is_explained_beside_its_field(
    cast: Cast, webhook: DockerWebhook, pattern: str
) -> None:
    asked = sent(webhook.endpoint_id, push="demo/web:1") | {pattern: "(1"}
    client = cast.client("member")

    fragment = client.post(TRY_NEW, asked, headers=HTMX)
    whole = client.post(TRY_NEW, asked)

    assert fragment.status_code == 422
    assert 'id="pattern-problems" hx-swap-oob="true"' in fragment.text
    for html in (fragment.text, whole.text):
        assert "The bracket opened at position 1 is never closed." in html
        assert "Would start" not in html
    assert 'value="(1"' in whole.text


def test_a_pattern_that_is_too_slow_is_tried_once(cast: Cast, webhook: DockerWebhook) -> None:
    for number in range(5):
        RegistryEventFactory(webhook=webhook, tag=f"{'a' * 40}{number}")
    asked = sent(webhook.endpoint_id, tag_pattern="(a|a|aa)+b")

    html = cast.client("member").post(f"{page_of(webhook, 'edit')}try/", asked, headers=HTMX).text

    assert len(_marks(html)) == 1


@pytest.mark.parametrize("text", ["demo/web", "demo/web:", ":1.2", "registry.example.com:5000/app"])
def test_a_push_without_image_or_tag_is_explained(
    cast: Cast, webhook: DockerWebhook, text: str
) -> None:
    answer = cast.client("member").get(page_of(webhook, "try"), {"push": text})
    assert "Write it like acme/web:1.2." in answer.text


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("docker.io/demo/web:1", True),
        ("index.docker.io/demo/web:1", True),
        ("x.io/demo/web:1", False),
    ],
)
def test_the_host_of_docker_hub_may_stand_before_the_image(
    db: None, text: str, starts: bool
) -> None:
    trial = try_out(DockerWebhookFactory(), text)

    assert trial.asked is not None
    assert trial.asked.would_start == starts


def test_the_host_of_another_registry_may_stand_before_the_image(cast: Cast) -> None:
    place = {"serverType": "Harbor", "repoURL": "https://registry.example.com:5000/team/app"}
    webhook = DockerWebhookFactory(project=cast.project, endpoint__properties=place)

    for text in ("team/app:1", "registry.example.com:5000/team/app:1"):
        trial = try_out(webhook, text)
        assert trial.asked is not None
        assert trial.asked.would_start


def test_without_a_script_the_page_comes_back_with_everything_entered(
    cast: Cast, webhook: DockerWebhook
) -> None:
    client = cast.client("member")
    secret = "a-secret-of-twenty-letters"
    asked = sent(webhook.endpoint_id, name="half", push="demo/web:1", secret_token=secret)

    html = client.post(TRY_NEW, asked).text

    assert "Would start the pipeline" in html
    assert 'value="half"' in html
    assert f'value="{webhook.endpoint_id}" selected' in html
    assert 'name="draft" value="1"' in html
    assert secret not in html
    assert "checked" not in next(part for part in html.split("<") if 'name="pin_digest"' in part)


def test_nobody_tries_on_an_endpoint_of_another_project(cast: Cast) -> None:
    foreign = DockerRegistryFactory(name="foreign-hub")

    answer = cast.client("member").post(TRY_NEW, sent(foreign.pk, push="demo/web:1"), headers=HTMX)

    assert answer.status_code == 422
    assert "foreign-hub" not in answer.text


def _marks(html: str) -> dict[str, str]:
    """What stands beside each of the last deliveries."""
    rows = re.findall(r'<li class="row">(.*?)</li>', html, re.DOTALL)
    marks = {}
    for row in rows:
        name = re.search(r"<code>(.*?)</code>", row)
        assert name is not None
        marks[name[1]] = "Starts" if "Starts" in row else "Does not"
    return marks
