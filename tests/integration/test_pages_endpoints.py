from __future__ import annotations

import re

import pytest
from django.db import IntegrityError
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from codestream.core.errors import Refused
from endpoints import services
from endpoints.clients.base import Unauthorized
from endpoints.kinds import cluster_access, docker_hub, kind_named
from endpoints.models import CheckStatus, Endpoint, EndpointKind
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    KubernetesFactory,
    UserFactory,
)
from tests.integration.cast import Cast, opened, statuses

PASSWORD = "hub-pass-0815"
HUB = {
    "type": "dockerRegistry",
    "project": "Shop",
    "name": "hub",
    "server_type": "DockerHub",
    "repository_url": "https://hub.docker.com/r/acme/web",
    "username": "robot",
    "password": PASSWORD,
}
CLUSTER = {
    "type": "k8s",
    "project": "Shop",
    "name": "cluster",
    "cluster_url": "https://10.0.0.1:6443",
    "auth_type": "token",
    "token": "cluster-token-0815",
}


@pytest.fixture
def hub(cast: Cast) -> Endpoint:
    made: Endpoint = DockerRegistryFactory.create(
        project=cast.project,
        properties={"serverType": "DockerHub", "repoURL": HUB["repository_url"]},
        credentials={"username": "robot", "password": PASSWORD},
    )
    return made


def test_who_reads_and_who_writes_an_endpoint(cast: Cast, hub: Endpoint) -> None:
    assert cast.answers("GET", "/endpoints/") == statuses(200, 200, 200, 200)
    assert cast.answers("GET", f"/endpoints/{hub.pk}/") == statuses(200, 200, 403, 404)
    assert cast.answers("POST", f"/endpoints/{hub.pk}/") == statuses(422, 422, 403, 404)
    assert cast.answers("GET", "/endpoints/new/") == statuses(200, 200, 403, 403)


def test_a_restricted_endpoint_is_written_by_administrators_only(cast: Cast) -> None:
    url = f"/endpoints/{DockerRegistryFactory.create(project=cast.project, is_restricted=True).pk}/"

    assert cast.answers("GET", url) == statuses(200, 403, 403, 404)
    assert cast.client("member").post(f"{url}delete/").status_code == 403
    assert cast.client("member").post(f"{url}validate/").status_code == 403


def test_a_member_does_not_mark_an_endpoint_restricted(cast: Cast) -> None:
    answer = cast.client("member").post("/endpoints/new/", HUB | {"is_restricted": "on"})

    assert answer.status_code == 422
    assert "Only an administrator" in answer.text


def test_a_docker_registry_is_stored_with_its_secret_apart(cast: Cast) -> None:
    cast.client("member").post("/endpoints/new/", HUB)

    endpoint = Endpoint.objects.get(project=cast.project, name="hub")
    assert endpoint.properties == {"serverType": "DockerHub", "repoURL": HUB["repository_url"]}
    assert endpoint.credentials == {"username": "robot", "password": PASSWORD}


def test_a_cluster_is_stored_with_the_secrets_of_its_sign_in_only(cast: Cast) -> None:
    cast.client("member").post("/endpoints/new/", CLUSTER | {"password": "left over"})

    endpoint = Endpoint.objects.get(kind=EndpointKind.KUBERNETES)
    assert endpoint.credentials == {"token": "cluster-token-0815"}


@pytest.mark.parametrize(
    ("auth_type", "missing"),
    [("token", "token"), ("basicAuth", "username"), ("certificate", "key")],
)
def test_each_way_to_sign_in_names_what_it_misses(cast: Cast, auth_type: str, missing: str) -> None:
    entered = CLUSTER | {"token": "", "auth_type": auth_type}

    answer = cast.client("member").post("/endpoints/new/", entered)

    assert answer.status_code == 422
    assert missing in answer.context["form"].errors


def test_an_address_without_a_repository_is_refused_in_words(cast: Cast) -> None:
    answer = cast.client("member").post("/endpoints/new/", HUB | {"repository_url": "///"})

    assert answer.status_code == 422
    assert "repository_url" in answer.context["form"].errors


@pytest.mark.parametrize(
    ("entered", "field"),
    [
        (HUB | {"repository_url": "https://robot:pw@hub.docker.com/r/acme/web"}, "repository_url"),
        (CLUSTER | {"cluster_url": "https://robot:pw@10.0.0.1:6443"}, "cluster_url"),
    ],
)
def test_an_address_does_not_carry_a_password(
    cast: Cast, entered: dict[str, str], field: str
) -> None:
    answer = cast.client("member").post("/endpoints/new/", entered)

    assert answer.status_code == 422
    assert field in answer.context["form"].errors


def test_the_secret_is_not_sent_back_after_an_error(cast: Cast) -> None:
    answer = cast.client("member").post("/endpoints/new/", HUB | {"name": ""})

    assert answer.status_code == 422
    assert PASSWORD not in answer.text


def test_a_stored_secret_reaches_no_page(cast: Cast, hub: Endpoint) -> None:
    client = cast.client("owner")

    pages = [client.get("/endpoints/"), client.get(f"/endpoints/{hub.pk}/")]

    assert all(PASSWORD not in answer.text for answer in pages)


def test_an_empty_secret_keeps_the_stored_one(cast: Cast, hub: Endpoint) -> None:
    cast.client("member").post(
        f"/endpoints/{hub.pk}/", HUB | {"password": "", "description": "changed"} | opened(hub)
    )

    hub.refresh_from_db()
    assert (hub.description, hub.credentials["password"]) == ("changed", PASSWORD)


@pytest.mark.parametrize(
    "change",
    [
        {"repository_url": "https://registry.evil.example/acme/web"},
        {"server_type": "Docker_Trusted_Registry"},
        {"username": "another"},
    ],
)
def test_pointing_somewhere_else_asks_for_the_secret_again(
    cast: Cast, hub: Endpoint, change: dict[str, str]
) -> None:
    answer = cast.client("member").post(
        f"/endpoints/{hub.pk}/", HUB | {"password": ""} | change | opened(hub)
    )

    assert answer.status_code == 422
    assert "Enter it again" in answer.text


def test_the_kind_brings_its_fields_as_a_page_and_as_a_fragment(cast: Cast) -> None:
    client = cast.client("member")

    whole = client.get("/endpoints/new/?type=k8s")
    part = client.get("/endpoints/new/?type=k8s", headers={"HX-Request": "true"})

    assert "Kubernetes cluster URL" in whole.text
    assert "Kubernetes cluster URL" in part.text
    assert "<html" in whole.text
    assert "<html" not in part.text


def test_the_way_back_in_the_browser_brings_the_whole_page(cast: Cast) -> None:
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}

    assert "<html" in cast.client("member").get("/endpoints/new/", headers=headers).text


def test_two_endpoints_of_a_project_have_two_names(cast: Cast, hub: Endpoint) -> None:
    answer = cast.client("member").post("/endpoints/new/", HUB | {"name": hub.name})

    assert answer.status_code == 422
    assert "an endpoint with this name" in answer.text


def test_a_check_that_fails_is_written_down_in_words(
    cast: Cast, hub: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(endpoint: Endpoint) -> str:
        raise Unauthorized("Docker Hub refused the password.")

    monkeypatch.setattr(services, "check", refuse)

    answer = cast.client("member").post(
        f"/endpoints/{hub.pk}/validate/", headers={"HX-Request": "true"}
    )

    hub.refresh_from_db()
    assert hub.last_check_status == CheckStatus.FAILED
    assert "Docker Hub refused the password." in answer.text
    assert "<html" not in answer.text


def test_a_check_that_passes_says_so_on_the_list(
    cast: Cast, hub: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "check", lambda _endpoint: "All is well.")

    answer = cast.client("member").post(f"/endpoints/{hub.pk}/validate/", follow=True)

    assert "All is well." in answer.text


def test_a_viewer_does_not_check_and_sees_no_button(cast: Cast, hub: Endpoint) -> None:
    client = cast.client("viewer")

    assert client.post(f"/endpoints/{hub.pk}/validate/").status_code == 403
    assert "/validate/" not in client.get("/endpoints/").text


def test_an_endpoint_without_users_is_deleted(cast: Cast, hub: Endpoint) -> None:
    cast.client("member").post(f"/endpoints/{hub.pk}/delete/")

    assert not Endpoint.objects.exists()


def test_an_endpoint_in_use_says_who_uses_it(cast: Cast, hub: Endpoint) -> None:
    webhook = DockerWebhookFactory.create(project=cast.project, endpoint=hub, name="release-hook")

    with pytest.raises(Refused, match=webhook.name):
        services.delete_endpoint(endpoint=hub)


def test_the_list_asks_the_same_however_long(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        DockerRegistryFactory.create(project=cast.project)
        KubernetesFactory.create(project=cast.project)
    client = cast.client("member")

    with django_assert_num_queries(5):
        client.get("/endpoints/")


def test_the_endpoints_of_others_are_not_listed(cast: Cast) -> None:
    DockerRegistryFactory.create(name="private-hub")

    assert "private-hub" not in cast.client("owner").get("/endpoints/").text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("docker-registry", EndpointKind.DOCKER_REGISTRY),
        ("docker.DockerRegistry", EndpointKind.DOCKER_REGISTRY),
        ("k8s.KubernetesServer", EndpointKind.KUBERNETES),
        ("jenkins", None),
    ],
)
def test_imported_type_names_are_understood(name: str, kind: str | None) -> None:
    found = kind_named(name)

    assert (found.kind if found else None) == kind


def test_the_administration_shows_no_credential(client: Client, hub: Endpoint) -> None:
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))

    answer = client.get(f"/admin/endpoints/endpoint/{hub.pk}/change/")

    assert answer.status_code == 200
    assert PASSWORD not in answer.text


def test_the_database_itself_keeps_names_apart(cast: Cast, hub: Endpoint) -> None:
    with pytest.raises(IntegrityError):
        DockerRegistryFactory.create(project=cast.project, name=hub.name)


def test_only_docker_hub_itself_has_a_client(cast: Cast) -> None:
    endpoint = DockerRegistryFactory.create(
        project=cast.project, properties={"serverType": "Docker_Trusted_Registry"}
    )

    with pytest.raises(Refused, match="DockerHub only"):
        docker_hub(endpoint)


def test_a_cluster_is_not_taken_for_a_registry(cast: Cast) -> None:
    with pytest.raises(Refused):
        docker_hub(KubernetesFactory.create(project=cast.project))


def test_imported_keys_of_a_cluster_are_understood(cast: Cast) -> None:
    endpoint = KubernetesFactory.create(
        project=cast.project, credentials={"bearerToken": "t", "userName": "u"}
    )

    access = cluster_access(endpoint)

    assert (access.token, access.username) == ("t", "u")


def test_an_unknown_type_is_not_found(cast: Cast) -> None:
    assert cast.client("member").get("/endpoints/new/?type=jenkins").status_code == 404


KEPT = {"project": "Shop", "name": "main", "description": "ours"}


def test_another_type_keeps_what_was_entered(cast: Cast) -> None:
    client = cast.client("member")

    by_address = client.get("/endpoints/new/", {"type": "k8s", **KEPT})
    by_button = client.post("/endpoints/new/", HUB | KEPT | {"switch": "k8s"})

    for answer in (by_address, by_button):
        assert answer.status_code == 200
        assert "Kubernetes cluster URL" in answer.text
        assert {name: answer.context["form"][name].value() for name in KEPT} == KEPT
        assert PASSWORD not in answer.text
    assert not Endpoint.objects.exists()


def test_a_new_endpoint_marks_its_secret_as_required_and_a_stored_one_does_not(
    cast: Cast, hub: Endpoint
) -> None:
    client = cast.client("member")
    marked = re.compile(r'<input[^>]*name="password"[^>]*aria-required="true"')

    assert marked.search(client.get("/endpoints/new/").text)
    assert not marked.search(client.get(f"/endpoints/{hub.pk}/").text)


def test_an_error_elsewhere_asks_for_the_secret_again(cast: Cast) -> None:
    html = cast.client("member").post("/endpoints/new/", HUB | {"name": ""}).text

    assert 'id="id_password_again"' in html
    assert 'aria-describedby="id_password_helptext id_password_again"' in html


def test_saving_says_so(cast: Cast) -> None:
    answer = cast.client("member").post("/endpoints/new/", HUB, follow=True)

    assert "Endpoint hub saved." in answer.text
