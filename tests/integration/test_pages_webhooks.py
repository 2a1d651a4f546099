from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from codestream.accounts.models import ApiToken
from codestream.accounts.services import issue_token, revoke_token
from codestream.core.clock import now
from codestream.projects.models import Variable
from endpoints.models import Endpoint
from tests.factories import (
    PIPELINE_SOURCE,
    DockerRegistryFactory,
    DockerWebhookFactory,
    PipelineFactory,
    RegistryEventFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, get, opened, statuses
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, HookReveal, RegistryEvent, RemoteHook

HTMX = {"HX-Request": "true"}
LIST = "/triggers/docker/webhooks/"
NEW = f"{LIST}new/"
ACTIVITY = "/triggers/docker/activity/"
PUSHES = {"settle_seconds": "10", "pin_digest": "on", "recovery": "OFF"}


@pytest.fixture
def entered(cast: Cast, token: str) -> dict[str, str]:
    """What a person enters for a new webhook."""
    return {
        "project": "Shop",
        "name": "release",
        "endpoint": str(DockerRegistryFactory.create(project=cast.project).pk),
        "pipeline": str(PipelineFactory.create(project=cast.project).pk),
        "api_token": token,
        "image_pattern": "demo/web",
        "tag_pattern": r"\d+\.\d+",
        "mirror_mode": "AUTO",
        **PUSHES,
        "input-replicas": "3",
    }


def page_of(webhook: DockerWebhook, name: str) -> str:
    return f"{LIST}{webhook.pk}/{name}/"


def fail_mirror(webhook: DockerWebhook) -> None:
    webhook.remote_hooks.update(
        error_code="forbidden", message="Docker Hub refused the account.", wake_at=later()
    )


def later() -> object:
    return now() + timedelta(minutes=15)


def mirror_now(webhook: DockerWebhook) -> None:
    webhook.remote_hooks.update(actual=RemoteHook.Presence.PRESENT)


def test_who_reads_and_who_writes_webhooks(cast: Cast, webhook: DockerWebhook) -> None:
    fail_mirror(webhook)

    assert cast.answers("GET", LIST) == statuses(200, 200, 200, 200)
    assert cast.answers("GET", NEW) == statuses(200, 200, 403, 403)
    assert cast.answers("POST", NEW) == statuses(422, 422, 403, 403)
    assert cast.answers("GET", page_of(webhook, "mirror")) == statuses(302, 302, 302, 404)
    assert cast.answers("GET", page_of(webhook, "edit")) == statuses(200, 200, 403, 404)
    assert cast.answers("POST", page_of(webhook, "edit")) == statuses(422, 422, 403, 404)
    assert cast.answers("POST", page_of(webhook, "enabled")) == statuses(302, 302, 403, 404)
    assert cast.answers("POST", page_of(webhook, "url")) == statuses(200, 200, 403, 404)
    for button in ("retry", "check", "repair", "keep", "pasted"):
        assert cast.answers("POST", page_of(webhook, button)) == statuses(302, 302, 403, 404)


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 302), ("member", 302), ("viewer", 403), ("outsider", 404)]
)
def test_who_deletes_a_webhook(cast: Cast, webhook: DockerWebhook, role: str, status: int) -> None:
    assert cast.client(role).post(page_of(webhook, "delete")).status_code == status
    assert DockerWebhook.objects.exists() == (status != 302)


@pytest.mark.parametrize(
    "action",
    ["enabled", "delete", "retry", "check", "repair", "keep", "pasted", "url"],
)
def test_a_link_alone_changes_nothing(cast: Cast, webhook: DockerWebhook, action: str) -> None:
    assert cast.client("member").get(page_of(webhook, action)).status_code == 405


def test_nobody_sees_the_webhooks_of_strangers(cast: Cast, event: RegistryEvent) -> None:
    assert "release" not in get(cast, LIST, "outsider")
    assert "demo/web" not in get(cast, ACTIVITY, "outsider")


def test_a_viewer_is_offered_nothing_to_change(cast: Cast, webhook: DockerWebhook) -> None:
    fail_mirror(webhook)
    html = get(cast, LIST, "viewer")

    assert "release" in html
    assert not [word for word in ("Disable", "Retry", "Reveal URL", "Delete") if word in html]


def test_a_saved_webhook_is_enabled_and_being_mirrored(cast: Cast, entered: dict[str, str]) -> None:
    answer = cast.client("member").post(NEW, entered, follow=True)

    webhook = DockerWebhook.objects.get()
    assert webhook.enabled
    assert webhook.inputs == {"replicas": "3"}
    assert webhook.token_set_by == webhook.edited_by == cast.users["member"]
    html = answer.content.decode()
    assert answer.redirect_chain == [(f"{LIST}#hook-{webhook.pk}", 302)]
    assert "Being created in Docker Hub" in html
    assert 'hx-trigger="every 1s"' in html


def test_no_secret_is_in_any_page(
    cast: Cast, webhook: DockerWebhook, event: RegistryEvent, token: str
) -> None:
    secret = webhook.secrets.get().secret
    client = cast.client("owner")
    urls = [LIST, NEW, ACTIVITY, page_of(webhook, "edit"), f"{ACTIVITY}{event.pk}/"]

    pages = [client.get(url).content.decode() for url in urls]

    assert not [url for url, html in zip(urls, pages, strict=True) if secret in html]
    assert not [url for url, html in zip(urls, pages, strict=True) if token in html]


def test_a_refused_form_does_not_give_the_token_back(
    cast: Cast, entered: dict[str, str], token: str
) -> None:
    answer = cast.client("member").post(NEW, {**entered, "name": ""})

    assert answer.status_code == 422
    assert token not in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "Elsewhere"),
        ("name", ""),
        ("tag_pattern", r"^(\d+"),
        ("image_pattern", "x" * 300),
        ("api_token", ""),
        ("api_token", "cs_rt_made_up"),
        ("api_token", "${var.absent}"),
        ("pipeline", ""),
        ("secret_token", "too-short"),
        ("secret_token", "twenty letters with blanks"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    cast: Cast, entered: dict[str, str], field: str, value: str
) -> None:
    answer = cast.client("member").post(NEW, {**entered, field: value})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]


def test_a_name_is_taken_once_in_a_project(
    cast: Cast, webhook: DockerWebhook, entered: dict[str, str]
) -> None:
    answer = cast.client("member").post(NEW, entered)

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["name"]


def test_the_owner_of_the_token_must_be_able_to_run_pipelines(
    cast: Cast, entered: dict[str, str]
) -> None:
    weak = issue_token(owner=cast.users["viewer"], name="weak")[1]

    answer = cast.client("owner").post(NEW, {**entered, "api_token": weak})

    assert "may not run pipelines" in answer.context["form"].errors["api_token"][0]


def test_a_token_may_lie_in_a_variable(cast: Cast, entered: dict[str, str], token: str) -> None:
    VariableFactory(project=cast.project, name="hub", type=Variable.Type.SECRET, value=token)

    cast.client("member").post(NEW, {**entered, "api_token": "${var.hub}"})

    assert DockerWebhook.objects.get().api_token == "${var.hub}"
    assert "runs as member" in get(cast, LIST)


@pytest.mark.parametrize("part", ["endpoint", "pipeline"])
def test_what_belongs_to_another_project_cannot_be_used(
    cast: Cast, entered: dict[str, str], part: str
) -> None:
    factory = {"endpoint": DockerRegistryFactory, "pipeline": PipelineFactory}[part]
    foreign = factory.create()

    answer = cast.client("member").post(NEW, {**entered, part: str(foreign.pk)})

    assert answer.status_code == 422
    assert foreign.name not in answer.content.decode()


def test_an_empty_token_keeps_the_stored_one(
    cast: Cast, webhook: DockerWebhook, token: str
) -> None:
    changed = {
        "name": "renamed",
        "endpoint": str(webhook.endpoint_id),
        "pipeline": str(webhook.pipeline_id),
        "mirror_mode": "AUTO",
        **PUSHES,
    }

    answer = cast.client("member").post(page_of(webhook, "edit"), changed | opened(webhook))

    webhook.refresh_from_db()
    assert answer.status_code == 302
    assert (webhook.name, webhook.api_token) == ("renamed", token)


def test_the_chosen_pipeline_brings_a_field_for_each_input_that_no_push_fills(cast: Cast) -> None:
    pipeline = PipelineFactory.create(project=cast.project)

    html = get(cast, f"{NEW}?pipeline={pipeline.pk}", **HTMX)

    assert 'name="input-replicas"' in html
    assert 'placeholder="1"' in html
    assert "DOCKER_TAG" not in html
    assert "<html" not in html


def test_no_or_a_strangers_pipeline_brings_no_field(cast: Cast) -> None:
    stranger = PipelineFactory.create()

    for chosen in ("", "nonsense", str(stranger.pk)):
        html = get(cast, f"{NEW}?pipeline={chosen}", **HTMX)
        assert "Choose a pipeline first." in html
        assert "input-" not in html


def test_a_mandatory_input_without_a_value_of_its_own_has_to_be_given(
    cast: Cast, entered: dict[str, str]
) -> None:
    source = PIPELINE_SOURCE.format(name="strict").replace("replicas: '1'", "replicas: ''")
    strict = PipelineFactory.create(
        project=cast.project, source=source + "_inputMeta: {replicas: {mandatory: true}}\n"
    )
    given = {**entered, "pipeline": str(strict.pk), "input-replicas": ""}

    answer = cast.client("member").post(NEW, given)

    assert list(answer.context["form"].errors) == ["input-replicas"]


def test_an_empty_input_leaves_the_pipeline_its_own_value(
    cast: Cast, entered: dict[str, str]
) -> None:
    cast.client("member").post(NEW, {**entered, "input-replicas": "", "input-unknown": "1"})

    assert DockerWebhook.objects.get().inputs == {}


def test_a_stored_input_is_shown_again(cast: Cast, webhook: DockerWebhook) -> None:
    webhook.inputs = {"replicas": "7", "gone": "x"}
    webhook.save()

    html = get(cast, page_of(webhook, "edit"))

    assert 'name="input-replicas" value="7"' in html
    assert "gone" not in html


def test_a_chosen_secret_token_opens_the_webhook(cast: Cast, entered: dict[str, str]) -> None:
    secret = "chosen-by-hand-and-long-enough="

    cast.client("member").post(NEW, {**entered, "secret_token": secret})

    webhook = DockerWebhook.objects.get()
    assert [row.secret for row in webhook.secrets.all()] == [secret]
    assert webhook.remote_hooks.get().hook_url == webhook.hook_url(secret)


def test_another_secret_token_takes_the_place_of_the_old_one(
    cast: Cast, webhook: DockerWebhook, entered: dict[str, str]
) -> None:
    old, new = webhook.secrets.get().secret, "x" * 20
    changed = {**entered, "endpoint": str(webhook.endpoint_id), "api_token": ""}
    changed["pipeline"] = str(webhook.pipeline_id)

    for _ in range(2):  # the second time it is the stored one already
        cast.client("member").post(
            page_of(webhook, "edit"), {**changed, **opened(webhook), "secret_token": new}
        )

    assert webhook.secrets.get(retired_at=None).secret == new
    assert webhook.secrets.exclude(retired_at=None).get().secret == old
    assert webhook.remote_hooks.get(desired="PRESENT").hook_url == webhook.hook_url(new)


def test_a_secret_token_is_used_by_one_webhook(
    cast: Cast, webhook: DockerWebhook, entered: dict[str, str]
) -> None:
    taken = webhook.secrets.get().secret

    answer = cast.client("member").post(NEW, {**entered, "name": "other", "secret_token": taken})

    assert list(answer.context["form"].errors) == ["secret_token"]
    assert DockerWebhook.objects.count() == 1


def test_pipelines_that_take_a_push_come_first(cast: Cast) -> None:
    PipelineFactory.create(project=cast.project, name="another", injects_docker=False)
    PipelineFactory.create(project=cast.project, name="deploy")

    html = get(cast, NEW)

    assert html.index("deploy (Shop), Docker parameters") < html.index(
        "another (Shop), no Docker parameters"
    )


def test_a_webhook_is_switched_off_and_on(cast: Cast, webhook: DockerWebhook) -> None:
    client = cast.client("member")

    client.post(page_of(webhook, "enabled"), {"enabled": "off"})
    webhook.refresh_from_db()
    assert not webhook.enabled
    client.post(page_of(webhook, "enabled"), {"enabled": "on"})
    webhook.refresh_from_db()
    assert webhook.enabled


def test_a_failed_mirror_says_why_and_when_it_is_tried_again(
    cast: Cast, webhook: DockerWebhook
) -> None:
    fail_mirror(webhook)

    html = get(cast, LIST)

    assert "Docker Hub refused the account." in html
    assert "Next try" in html
    assert "Retry" in html
    assert "hx-trigger" not in html


def test_a_retry_makes_the_card_live_again(cast: Cast, webhook: DockerWebhook) -> None:
    fail_mirror(webhook)

    html = cast.client("member").post(page_of(webhook, "retry"), follow=True).content.decode()

    assert 'hx-trigger="every 1s"' in html


def test_the_mirror_is_asked_for_until_it_stands(cast: Cast, webhook: DockerWebhook) -> None:
    url = page_of(webhook, "mirror")
    client = cast.client("viewer")
    version = client.get(url, headers=HTMX).context["mirror"].version

    assert client.get(f"{url}?version={version}", headers=HTMX).status_code == 204
    mirror_now(webhook)
    html = client.get(f"{url}?version={version}", headers=HTMX).content.decode()
    assert "In sync" in html
    assert "hx-trigger" not in html


def test_the_url_is_masked_until_it_is_revealed_which_is_written_down(
    cast: Cast, webhook: DockerWebhook
) -> None:
    secret = webhook.secrets.get().secret
    client = cast.client("member")

    assert secret not in get(cast, LIST)
    answer = client.post(page_of(webhook, "url"), headers=HTMX)

    assert webhook.hook_url(secret) in answer.text
    assert "<html" not in answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    seen = HookReveal.objects.get()
    assert (seen.webhook, seen.actor, seen.remote_addr) == (webhook, "member", "127.0.0.1")
    assert "Who saw the URL" in get(cast, page_of(webhook, "edit"))
    assert secret not in get(cast, page_of(webhook, "edit"))


def test_without_a_script_the_url_is_a_page(cast: Cast, webhook: DockerWebhook) -> None:
    answer = cast.client("member").post(page_of(webhook, "url"))

    assert "<html" in answer.text
    assert webhook.secrets.get().secret in answer.text


def test_who_may_not_see_the_url_leaves_no_trace(cast: Cast, webhook: DockerWebhook) -> None:
    cast.client("viewer").post(page_of(webhook, "url"))

    assert not HookReveal.objects.exists()


def test_that_somebody_saw_the_url_outlives_the_webhook(cast: Cast, webhook: DockerWebhook) -> None:
    cast.client("member").post(page_of(webhook, "url"))

    cast.client("member").post(page_of(webhook, "delete"))

    assert HookReveal.objects.get().webhook_name == "release"


def create_endpoint(cast: Cast, entered: dict[str, str], url: str = f"{NEW}endpoint/") -> Client:
    """Press *Create endpoint* in a half-filled form, and make one."""
    client = cast.client("member")
    answer = client.post(url, entered)
    made = {
        "name": "made-on-the-way",
        "server_type": "DockerHub",
        "repository_url": "demo/web",
        "username": "robot",
        "password": "hub-password",
        "project": "Shop",
    }
    client.back = client.post(answer.headers["Location"], made).headers["Location"]  # type: ignore[attr-defined]
    return client


def test_a_new_endpoint_leads_back_to_the_form_with_everything_in_it(
    cast: Cast, entered: dict[str, str], token: str
) -> None:
    half = {**entered, "endpoint": "", "secret_token": "s" * 20}
    client = create_endpoint(cast, half)

    form = client.get(client.back)  # type: ignore[attr-defined]

    endpoint = Endpoint.objects.get(name="made-on-the-way")
    for value in ("release", "demo/web", str(endpoint.pk), entered["pipeline"]):
        assert value in form.text
    assert 'name="input-replicas" value="3"' in form.text
    assert token not in form.text
    assert token not in str(dict(client.session))
    again = {**half, "endpoint": str(endpoint.pk), "draft": "1"}
    del again["api_token"], again["secret_token"]
    assert client.post(client.back, again).status_code == 302  # type: ignore[attr-defined]
    webhook = DockerWebhook.objects.get()
    assert (webhook.endpoint, webhook.api_token) == (endpoint, token)
    assert webhook.secrets.get().secret == "s" * 20
    assert "webhook-draft" not in client.session


def test_a_reference_to_a_variable_is_no_secret_of_the_draft(
    cast: Cast, entered: dict[str, str]
) -> None:
    client = create_endpoint(cast, {**entered, "api_token": "${var.hub}"})

    form = client.get(client.back)  # type: ignore[attr-defined]

    assert "${var.hub}" in form.text
    assert "The secrets that you entered are kept" not in form.text


def test_a_stored_webhook_gets_a_new_endpoint_the_same_way(
    cast: Cast, webhook: DockerWebhook, entered: dict[str, str]
) -> None:
    edited = {**entered, "name": "renamed", "api_token": ""}

    client = create_endpoint(cast, edited, page_of(webhook, "edit/endpoint"))
    form = client.get(client.back)  # type: ignore[attr-defined]

    assert client.back.startswith(page_of(webhook, "edit"))  # type: ignore[attr-defined]
    assert 'value="renamed"' in form.text


def test_a_draft_is_only_gone_on_with_where_the_form_says_so(
    cast: Cast, entered: dict[str, str]
) -> None:
    client = create_endpoint(cast, entered)

    answer = client.post(NEW, {**entered, "api_token": ""})

    assert list(answer.context["form"].errors) == ["api_token"]
    form = client.get(NEW).text
    assert "release" not in form
    assert 'href="?draft=1"' in form


def test_a_new_endpoint_leads_to_no_other_site(cast: Cast) -> None:
    made = {"name": "x", "server_type": "DockerHub", "repository_url": "demo/web"}
    made |= {"username": "robot", "password": "hub-password", "project": "Shop"}

    answer = cast.client("member").post("/endpoints/new/?next=https://evil.example/", made)

    assert answer.headers["Location"] == "/endpoints/"


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "Expired"), (9, "Expires in 8 days"), (90, "Expires <time")]
)
def test_the_card_warns_before_the_token_expires(
    cast: Cast, webhook: DockerWebhook, days: int, words: str
) -> None:
    ApiToken.objects.update(expires_at=now() + timedelta(days=days))

    assert words in get(cast, LIST)


def test_the_card_says_that_a_token_is_revoked_or_unknown(
    cast: Cast, webhook: DockerWebhook
) -> None:
    revoke_token(token=ApiToken.objects.get())
    assert "Revoked" in get(cast, LIST)

    ApiToken.objects.all().delete()
    assert "Unknown" in get(cast, LIST)


def test_the_card_shows_the_last_push(cast: Cast, event: RegistryEvent) -> None:
    newer = RegistryEventFactory.create(webhook=event.webhook, verdict=Verdict.TRIGGERED)

    html = get(cast, LIST)

    assert f"{ACTIVITY}{newer.pk}/" in html
    assert f"{ACTIVITY}{event.pk}/" not in html


def test_more_cards_ask_the_database_no_more_often(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(4):
        webhook = DockerWebhookFactory.create(project=cast.project, api_token="${var.hub}")
        RegistryEventFactory.create(webhook=webhook)
    client = cast.client("member")

    with django_assert_num_queries(11):
        client.get(LIST)


@pytest.fixture
def administrator(db: None) -> Client:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize(
    "model",
    ["hookreveal", "listenersecret", "remotehook", "registryevent", "push", "refuseddelivery"],
)
def test_the_administration_shows_and_does_not_write(
    administrator: Client, event: RegistryEvent, model: str
) -> None:
    assert administrator.get(f"/admin/webhooks/{model}/").status_code == 200
    assert administrator.get(f"/admin/webhooks/{model}/add/").status_code == 403


def test_the_administration_shows_no_secret(
    administrator: Client, webhook: DockerWebhook, token: str
) -> None:
    secret = webhook.secrets.get()
    rows = {
        "dockerwebhook": webhook.pk,
        "listenersecret": secret.pk,
        "remotehook": webhook.remote_hooks.get().pk,
    }

    pages = [administrator.get(f"/admin/webhooks/{name}/{pk}/change/") for name, pk in rows.items()]

    assert [answer.status_code for answer in pages] == [200, 200, 200]
    html = "".join(answer.content.decode() for answer in pages)
    assert secret.secret not in html
    assert secret.lookup not in html
    assert token not in html


def test_deleting_from_the_card_is_asked_twice(cast: Cast, webhook: DockerWebhook) -> None:
    html = get(cast, LIST)

    opened = html.index("Delete this webhook</summary>")
    assert opened < html.index(page_of(webhook, "delete")) < html.index("</details>", opened)
