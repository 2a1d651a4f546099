"""What the card says about Docker Hub, and its buttons; hooks that outlive their webhook."""

from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest

from codestream.core.clock import now
from codestream.core.http import Response
from codestream.core.words import Words
from endpoints.clients.dockerhub_answers import refusal
from tests.integration.cast import Cast, get, statuses
from tests.integration.test_pages_webhooks import HTMX, LIST, page_of
from webhooks.mirror_sight import Drift
from webhooks.models import DockerWebhook, RemoteHook
from webhooks.services import delete_webhook

MANUAL = DockerWebhook.MirrorMode.MANUAL


def stands(**changes: object) -> None:
    """The hook stands in Docker Hub and was looked at an hour ago."""
    found = {
        "actual": RemoteHook.Presence.PRESENT,
        "epoch": 1,
        "wake_at": now() + timedelta(hours=6),
        "checked_at": now() - timedelta(hours=1),
    }
    RemoteHook.objects.update(**{**found, **changes})


def leave(webhook: DockerWebhook, **changes: object) -> RemoteHook:
    """Delete the webhook, so that its hook is left over in some state."""
    stands()
    delete_webhook(webhook=webhook)
    RemoteHook.objects.update(**changes)
    return RemoteHook.objects.get()


def hook_page(hook: RemoteHook, name: str) -> str:
    return f"/triggers/docker/hooks/{hook.pk}/{name}/"


def test_a_hook_in_order_can_be_checked_and_needs_no_repair(
    cast: Cast, webhook: DockerWebhook
) -> None:
    stands()
    html = get(cast, LIST)
    assert "In sync" in html
    assert "Last look at Docker Hub" in html
    assert page_of(webhook, "check") in html
    assert page_of(webhook, "repair") not in html


def test_a_check_makes_the_card_live(cast: Cast, webhook: DockerWebhook) -> None:
    stands()
    html = cast.client("member").post(page_of(webhook, "check"), follow=True).content.decode()
    assert "Being checked in Docker Hub" in html
    assert 'hx-trigger="every 1s"' in html


@pytest.mark.parametrize("drift", [Drift.MISSING, Drift.CHANGED, Drift.DOUBLED])
def test_drift_is_said_with_what_a_repair_would_do(
    cast: Cast, webhook: DockerWebhook, drift: Drift
) -> None:
    stands(drift=drift)
    html = get(cast, LIST)
    assert 'data-status="drift"' in html
    assert "Repair" in html
    assert page_of(webhook, "repair") in html
    html = cast.client("member").post(page_of(webhook, "repair"), follow=True).content.decode()
    assert "Being repaired in Docker Hub" in html


def test_a_viewer_sees_how_it_stands_and_no_button(cast: Cast, webhook: DockerWebhook) -> None:
    stands(drift=Drift.MISSING)
    html = get(cast, LIST, "viewer")
    assert "Removed in Docker Hub" in html
    assert page_of(webhook, "repair") not in html


def test_by_hand_the_card_shows_the_steps_until_it_is_pasted(
    cast: Cast, webhook: DockerWebhook
) -> None:
    client = cast.client("member")
    html = client.post(page_of(webhook, "keep"), {"keeper": MANUAL}, follow=True).content.decode()
    name = RemoteHook.objects.get().remote_name
    assert "To be pasted into Docker Hub" in html
    assert "https://hub.docker.com/repository/docker/demo/web/webhooks" in html
    assert f"<code>{name}</code>" in html
    assert html.count("<li><div>") == 4
    assert page_of(webhook, "url") in html

    html = client.post(page_of(webhook, "pasted"), follow=True).content.decode()

    assert "Kept by hand" in html
    assert "It is pasted" not in html
    assert "Let Codestream keep it" in html


def test_a_webhook_kept_by_hand_before_that_was_written_down_shows_its_url(
    cast: Cast, webhook: DockerWebhook
) -> None:
    webhook.mirror_mode = MANUAL
    webhook.save()
    RemoteHook.objects.all().delete()

    assert "Kept by hand" in get(cast, LIST)
    assert cast.client("member").post(page_of(webhook, "url")).status_code == 200


def test_a_refusal_offers_to_do_it_by_hand(cast: Cast, webhook: DockerWebhook) -> None:
    RemoteHook.objects.update(error_code="blocked", message="Turned away.", wake_at=None)
    html = get(cast, LIST)
    assert "Not created in Docker Hub" in html
    assert "Paste it into Docker Hub by hand" in html
    assert "Keep it by hand" in html


def test_why_docker_hub_refused_is_read_in_the_readers_language(
    cast: Cast, webhook: DockerWebhook
) -> None:
    wish = Words("list the webhooks of %(place)s", {"place": "demo/web"})
    answer = Response(status=403, headers={}, body=b'{"detail": "no admin"}')
    refused = refusal(answer, wish, now=now())
    RemoteHook.objects.update(error_code=refused.code, message=refused.words, wake_at=None)

    german, italian = (
        unescape(get(cast, LIST, **{"Accept-Language": language})) for language in ("de", "it")
    )

    assert "Docker Hub did not list the webhooks of demo/web: no admin. Make the" in german
    assert "Docker Hub non ha eseguito l'operazione “" in italian
    assert "Rendere l'account dell'endpoint amministratore" in italian
    assert "Docker Hub did not" not in italian


def test_a_keeper_that_is_none_is_refused_in_words(cast: Cast, webhook: DockerWebhook) -> None:
    answer = cast.client("member").post(page_of(webhook, "keep"), {"keeper": "x"}, follow=True)
    assert "Choose who keeps the webhook in Docker Hub." in answer.content.decode()


def test_the_live_part_offers_giving_up_to_an_administrator_only(
    cast: Cast, webhook: DockerWebhook
) -> None:
    stands(desired=RemoteHook.Presence.ABSENT, error_code="not_found", message="Gone.")
    url = page_of(webhook, "mirror")
    for role, offered in (("owner", True), ("member", False)):
        html = cast.client(role).get(url, headers=HTMX).content.decode()
        assert "The old one is not removed from Docker Hub" in html
        assert ("I removed it by hand" in html) == offered


def test_a_hook_that_outlives_its_webhook_is_listed_with_its_reason(
    cast: Cast, webhook: DockerWebhook
) -> None:
    hook = leave(webhook, error_code="not_found", message="No such repository.", wake_at=None)

    html = get(cast, LIST)

    assert "Webhooks that are still in Docker Hub" in html
    assert hook.remote_name in html
    assert "Not removed from Docker Hub" in html
    assert "No such repository." in html
    assert hook_page(hook, "retry") in html
    assert hook_page(hook, "forget") not in html
    assert hook_page(hook, "forget") in get(cast, LIST, "owner")
    assert hook.remote_name not in get(cast, LIST, "outsider")


def test_nothing_left_over_is_not_spoken_of(cast: Cast, webhook: DockerWebhook) -> None:
    assert "still in Docker Hub" not in get(cast, LIST)


def test_who_retries_and_who_gives_up_what_is_left(cast: Cast, webhook: DockerWebhook) -> None:
    hook = leave(webhook, error_code="not_found", message="x", wake_at=None)
    assert cast.answers("POST", hook_page(hook, "retry")) == statuses(302, 302, 403, 404)
    assert cast.client("member").get(hook_page(hook, "forget")).status_code == 405
    assert cast.client("member").get(hook_page(hook, "retry")).status_code == 405

    refused = {"member": 403, "viewer": 403, "outsider": 404, "anonymous": 302}
    for role, status in refused.items():
        assert cast.client(role).post(hook_page(hook, "forget")).status_code == status
    assert RemoteHook.objects.exists()

    html = cast.client("owner").post(hook_page(hook, "forget"), follow=True).content.decode()
    assert "no longer minds" in html
    assert not RemoteHook.objects.exists()


def test_who_kept_it_by_hand_says_that_it_is_gone(cast: Cast, webhook: DockerWebhook) -> None:
    hook = leave(webhook, kept_by=MANUAL, wake_at=None)
    assert "To be removed from Docker Hub by hand" in get(cast, LIST)
    assert cast.client("viewer").post(hook_page(hook, "forget")).status_code == 403
    assert cast.client("member").post(hook_page(hook, "forget")).status_code == 302
    assert not RemoteHook.objects.exists()


def test_a_hook_in_use_is_not_given_up(cast: Cast, webhook: DockerWebhook) -> None:
    hook = RemoteHook.objects.get()
    html = cast.client("owner").post(hook_page(hook, "forget"), follow=True).content.decode()
    assert "is in use" in html
    assert RemoteHook.objects.exists()
