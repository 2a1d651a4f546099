"""The forms of endpoints: checked before they are saved, filled from elsewhere, tied to a host."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from django.test import Client
from pytest_django.fixtures import Settings

from codestream.accounts.models import ServiceRole
from codestream.core.clock import now
from codestream.core.errors import Refused
from codestream.projects.models import Variable
from codestream.sandbox.dockerhub import DockerHubServer
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.credentials import credentials_of
from endpoints.kinds import cluster_access
from endpoints.models import Endpoint, EndpointKind
from endpoints.usage import users_of
from executions.models import Execution
from executions.states import Status
from tests.certificates import Identity, make_identity, server_context
from tests.factories import (
    DockerRegistryFactory,
    DockerWebhookFactory,
    ExecutionFactory,
    KubernetesFactory,
    PipelineFactory,
    UserFactory,
    VariableFactory,
)
from tests.integration.cast import Cast, opened, statuses

PASSWORD = "hub-pass-0815"
TOKEN = "cluster-token-0815"
NEW = "/endpoints/new/"
HUB = {
    "type": "dockerRegistry",
    "project": "Shop",
    "name": "hub",
    "server_type": "DockerHub",
    "repository_url": "acme/web",
    "username": "robot",
    "password": PASSWORD,
}
CLUSTER = {
    "type": "k8s",
    "project": "Shop",
    "name": "cluster",
    "cluster_url": "https://10.0.0.1:6443",
    "auth_type": "token",
    "token": TOKEN,
}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def hub(settings: Settings) -> Iterator[DockerHubServer]:
    stand_in = DockerHubServer(
        username="robot", password=PASSWORD, repositories=["acme/web", "acme/api"]
    )
    with stand_in as server:
        settings.DOCKER_HUB_URL = server.url
        settings.OUTGOING_ALLOW = [server.url.removeprefix("http://")]
        yield server


@pytest.fixture
def stored_hub(cast: Cast) -> Endpoint:
    made: Endpoint = DockerRegistryFactory.create(
        project=cast.project,
        name="stored-hub",
        properties={"serverType": "DockerHub", "repoURL": "hub.docker.com/r/acme/web"},
        credentials={"username": "robot", "password": PASSWORD},
    )
    return made


@pytest.fixture
def stored_cluster(cast: Cast) -> Endpoint:
    made: Endpoint = KubernetesFactory.create(
        project=cast.project,
        name="stored-cluster",
        properties={"kubernetesURL": CLUSTER["cluster_url"], "authType": "token"},
        credentials={"token": TOKEN},
    )
    return made


def page_of(endpoint: Endpoint) -> str:
    return f"/endpoints/{endpoint.pk}/"


# Who


def staff(role: ServiceRole) -> Client:
    client = Client()
    client.force_login(UserFactory.create(service_role=role))
    return client


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [
        (ServiceRole.ADMINISTRATOR, 200, 200),
        (ServiceRole.DEVELOPER, 200, 200),
        (ServiceRole.EXECUTOR, 200, 403),
        (ServiceRole.VIEWER, 200, 403),
    ],
)
def test_a_service_role_reads_every_endpoint_and_not_everyone_writes(
    cast: Cast, stored_hub: Endpoint, role: ServiceRole, reads: int, writes: int
) -> None:
    client = staff(role)

    assert client.get("/endpoints/").status_code == reads
    assert stored_hub.name in client.get("/endpoints/").text
    for url in (NEW, page_of(stored_hub), "/variables/dialog/"):
        assert client.get(url).status_code == writes
    for button in ("validate", "look", "fill", "accept"):
        answer = client.post(page_of(stored_hub), {button: "1"})
        assert (answer.status_code == 403) == (writes == 403)


@pytest.mark.parametrize("button", ["validate", "look", "fill", "accept", "switch"])
def test_every_button_of_the_form_is_for_those_who_may_write(
    cast: Cast, stored_cluster: Endpoint, button: str
) -> None:
    entered = {button: "k8s", "type": "k8s", "cluster_url": ""}

    made = cast.answers("POST", NEW, **entered)
    changed = cast.answers("POST", page_of(stored_cluster), **entered)

    assert [made[role] for role in ("viewer", "outsider", "anonymous")] == [403, 403, 302]
    assert [changed[role] for role in ("viewer", "outsider", "anonymous")] == [403, 404, 302]
    assert {made["member"], changed["member"]} <= {200, 422}


def test_an_address_is_spelled_out_for_everybody_who_is_signed_in(cast: Cast) -> None:
    assert cast.answers("GET", "/endpoints/address/") == statuses(200, 200, 200, 200)


# The address


def test_an_address_is_stored_in_one_spelling(cast: Cast) -> None:
    entered = HUB | {"repository_url": "docker pull docker.io/acme/web:1.2"}

    cast.client("member").post(NEW, entered)

    stored = Endpoint.objects.get(name="hub").properties["repoURL"]
    assert stored == "https://hub.docker.com/r/acme/web"


def test_the_field_answers_with_the_spelling_or_what_is_wrong(cast: Cast) -> None:
    client = cast.client("member")

    good = client.get("/endpoints/address/", {"repository_url": "acme/web?tab=tags"})
    bad = client.get("/endpoints/address/", {"repository_url": "acme"})

    assert 'value="https://hub.docker.com/r/acme/web"' in good.text
    assert "names no repository" in bad.text
    assert 'value="acme"' in bad.text


# Validate, before anything is saved


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "Signed in; the repository acme/web is there."),
        ({"password": "wrong"}, "Docker Hub refused the user name, password or access token"),
        ({"repository_url": "acme/gone"}, "acme/gone"),
    ],
)
def test_validate_tells_what_works_and_saves_nothing(
    cast: Cast, hub: DockerHubServer, change: dict[str, str], said: str
) -> None:
    answer = cast.client("member").post(NEW, HUB | change | {"validate": "1"}, headers=HTMX)

    assert answer.status_code == 200
    assert said in answer.text
    assert PASSWORD not in answer.text
    assert "<html" not in answer.text
    assert not Endpoint.objects.exists()


def test_validate_speaks_the_language_of_the_person(cast: Cast, hub: DockerHubServer) -> None:
    wrong = HUB | {"password": "wrong", "validate": "1"}

    answer = cast.client("member").post(NEW, wrong, headers=HTMX | {"Accept-Language": "it"})

    assert "Docker Hub ha rifiutato il nome utente" in answer.text
    assert "Check the user name" not in answer.text


def test_validate_first_asks_for_what_is_missing(cast: Cast, hub: DockerHubServer) -> None:
    answer = cast.client("member").post(NEW, HUB | {"username": "", "validate": "1"})

    assert answer.status_code == 422
    assert "result" not in answer.context


def test_validate_of_a_stored_endpoint_tries_what_is_entered_and_keeps_what_is_stored(
    cast: Cast, hub: DockerHubServer, stored_hub: Endpoint
) -> None:
    entered = HUB | {"repository_url": "acme/gone", "password": "", "validate": "1"}

    answer = cast.client("member").post(page_of(stored_hub), entered | opened(stored_hub))

    assert answer.context["result"].status == "FAILED"
    assert Endpoint.objects.get().properties == stored_hub.properties


# A stored password goes to no other host


@pytest.mark.parametrize("button", ["save", "validate"])
def test_another_host_gets_no_stored_password(
    cast: Cast, settings: Settings, stored_hub: Endpoint, button: str
) -> None:
    with DockerHubServer(username="robot", password=PASSWORD, repositories=["acme/web"]) as evil:
        settings.OUTGOING_ALLOW = [evil.url.removeprefix("http://")]
        settings.DOCKER_HUB_STAND_INS = [evil.url]
        entered = HUB | {"repository_url": f"{evil.url}/r/acme/web", "password": "", button: "1"}

        answer = cast.client("member").post(page_of(stored_hub), entered | opened(stored_hub))

    assert answer.status_code == 422
    assert answer.context["form"].errors == {
        "password": ["Enter it again: the endpoint points somewhere else now."]
    }


def test_another_repository_of_the_same_registry_keeps_the_password(
    cast: Cast, stored_hub: Endpoint
) -> None:
    entered = HUB | {"repository_url": "docker.io/acme/api", "password": ""}

    cast.client("member").post(page_of(stored_hub), entered | opened(stored_hub))

    stored_hub.refresh_from_db()
    assert stored_hub.properties["repoURL"] == "https://hub.docker.com/r/acme/api"
    assert stored_hub.credentials["password"] == PASSWORD


@pytest.mark.parametrize("button", ["save", "validate"])
@pytest.mark.parametrize(
    "change",
    [
        {"cluster_url": "https://10.0.0.2:6443"},
        {"authority": "Y2E="},
        {"server_name": "elsewhere"},
    ],
)
def test_another_cluster_or_trust_gets_no_stored_token(
    cast: Cast, stored_cluster: Endpoint, change: dict[str, str], button: str
) -> None:
    entered = CLUSTER | {"token": "", button: "1"} | change

    answer = cast.client("member").post(page_of(stored_cluster), entered | opened(stored_cluster))

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["token"]


def test_a_final_slash_is_no_other_cluster(cast: Cast, stored_cluster: Endpoint) -> None:
    entered = CLUSTER | {"token": "", "cluster_url": f"{CLUSTER['cluster_url']}/"}

    assert (
        cast.client("member")
        .post(page_of(stored_cluster), entered | opened(stored_cluster))
        .status_code
        == 302
    )


# Variables in place of secrets


def test_a_reference_is_kept_shown_and_resolved_at_the_moment_of_use(cast: Cast) -> None:
    VariableFactory.create(
        project=cast.project, name="hub-password", type=Variable.Type.SECRET, value=PASSWORD
    )
    client = cast.client("member")

    client.post(NEW, HUB | {"password": "${var.hub-password}"})

    endpoint = Endpoint.objects.get(name="hub")
    assert endpoint.credentials["password"] == "${var.hub-password}"
    assert credentials_of(endpoint) == {"username": "robot", "password": PASSWORD}
    assert 'value="${var.hub-password}"' in client.get(page_of(endpoint)).text
    assert PASSWORD not in client.get(page_of(endpoint)).text


def test_a_reference_signs_in(cast: Cast, hub: DockerHubServer) -> None:
    VariableFactory.create(project=cast.project, name="pw", type="SECRET", value=PASSWORD)

    answer = cast.client("member").post(NEW, HUB | {"password": "${var.pw}", "validate": "1"})

    assert answer.context["result"].has_passed


def test_a_password_may_look_a_little_like_an_expression(cast: Cast) -> None:
    cast.client("member").post(NEW, HUB | {"password": "a${var.b}c$"})

    endpoint = Endpoint.objects.get(name="hub")
    assert credentials_of(endpoint)["password"] == "a${var.b}c$"


def test_an_unknown_variable_and_one_of_another_project_are_refused(cast: Cast) -> None:
    VariableFactory.create(name="foreign", type="SECRET", value=PASSWORD)

    answer = cast.client("member").post(NEW, HUB | {"password": "${var.foreign}"})

    assert answer.context["form"].errors == {"password": ["The project has no variable “foreign”."]}


def test_a_restricted_variable_opens_a_restricted_endpoint_only(cast: Cast) -> None:
    VariableFactory.create(project=cast.project, name="key", type="RESTRICTED", value=PASSWORD)
    entered = HUB | {"password": "${var.key}"}
    restricted = entered | {"is_restricted": "on"}

    answers = [
        cast.client("member").post(NEW, entered),
        cast.client("member").post(NEW, restricted),
        cast.client("owner").post(NEW, entered),
    ]

    assert [list(each.context["form"].errors) for each in answers] == [["is_restricted"]] * 3
    assert cast.client("owner").post(NEW, restricted).status_code == 302
    assert credentials_of(Endpoint.objects.get())["password"] == PASSWORD


@pytest.mark.parametrize("fate", ["restricted", "deleted"])
def test_a_variable_that_is_restricted_or_deleted_later_opens_nothing(
    cast: Cast, stored_hub: Endpoint, fate: str
) -> None:
    variable = VariableFactory.create(project=cast.project, name="key", type="SECRET")
    stored_hub.credentials = {"username": "robot", "password": "${var.key}"}
    if fate == "restricted":
        Variable.objects.update(type=Variable.Type.RESTRICTED)
    else:
        variable.delete()

    with pytest.raises(Refused, match="key"):
        credentials_of(stored_hub)


# The certificate of a cluster


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity("kube-apiserver")


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path, identity: Identity) -> Iterator[KubernetesServer]:
    with KubernetesServer(token=TOKEN, tls=server_context(identity, tmp_path)) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("https://")]
        yield server


def test_a_certificate_is_shown_accepted_and_then_trusted(
    cast: Cast, cluster: KubernetesServer, identity: Identity
) -> None:
    client, entered = cast.client("member"), CLUSTER | {"cluster_url": cluster.url}

    unknown = client.post(NEW, entered | {"validate": "1"})
    shown = client.post(NEW, entered | {"look": "certificate"})
    facts = shown.context["certificate"]
    accepted = client.post(NEW, entered | {"accept": facts.data})
    known = client.post(NEW, entered | {"authority": facts.data, "validate": "1"})

    assert "certificate" in unknown.context["result"].message
    assert facts.fingerprint in shown.text
    assert "CN=kube-apiserver" in shown.text
    assert accepted.context["form"]["authority"].value() == identity.certificate_data
    assert TOKEN not in shown.text + accepted.text + known.text
    assert known.context["result"].has_passed, known.context["result"].message
    assert "v1.31.0" in known.text


@pytest.mark.parametrize("url", ["http://10.0.0.1", "https://127.0.0.1:1", "", "nonsense"])
def test_where_no_certificate_is_to_be_seen_the_field_says_why(cast: Cast, url: str) -> None:
    entered = CLUSTER | {"cluster_url": url, "look": "certificate"}

    answer = cast.client("member").post(NEW, entered)

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["cluster_url"]


def test_what_is_no_certificate_is_refused_beside_its_field(cast: Cast) -> None:
    answer = cast.client("member").post(NEW, CLUSTER | {"authority": "no base64 at all!"})

    assert list(answer.context["form"].errors) == ["authority"]


def test_missing_rights_are_named(cast: Cast, settings: Settings) -> None:
    with KubernetesServer(token=TOKEN, forbidden=["create secrets"]) as server:
        settings.OUTGOING_ALLOW = [server.url.removeprefix("http://")]
        entered = CLUSTER | {"cluster_url": server.url, "validate": "1"}

        result = cast.client("member").post(NEW, entered).context["result"]

    assert not result.has_passed
    assert "v1.31.0" in result.message
    assert "create secrets." in result.message


# A kubeconfig


def kubeconfig(*, contexts: tuple[str, ...] = ("dev",), **user: object) -> str:
    return yaml.safe_dump(
        {
            "current-context": contexts[0] if len(contexts) == 1 else "",
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": "u", "namespace": name}}
                for name in contexts
            ],
            "clusters": [
                {"name": name, "cluster": {"server": f"https://{name}.example:6443"}}
                for name in contexts
            ],
            "users": [{"name": "u", "user": user or {"token": TOKEN}}],
        }
    )


EMPTY = {"type": "k8s", "project": "Shop", "name": "cluster"}


def values(answer: object, *names: str) -> list[str]:
    form = answer.context["form"]  # type: ignore[attr-defined]
    return [form[name].value() for name in names]


def test_a_kubeconfig_fills_the_fields_and_its_secrets_stay_in_the_page(cast: Cast) -> None:
    entered = EMPTY | {"kubeconfig": kubeconfig(), "fill": "1"}

    answer = cast.client("member").post(NEW, entered, headers=HTMX)

    assert answer.status_code == 200
    assert values(answer, "name", "cluster_url", "auth_type", "namespace") == [
        "cluster",
        "https://dev.example:6443",
        "token",
        "dev",
    ]
    assert TOKEN not in answer.text
    assert not Endpoint.objects.exists()


def test_a_filled_form_is_saved_as_it_was_corrected(cast: Cast) -> None:
    client, pasted = cast.client("member"), kubeconfig()
    filled = client.post(NEW, EMPTY | {"kubeconfig": pasted, "fill": "1"})
    mark = values(filled, "filled_from")[0]

    client.post(
        NEW,
        EMPTY
        | {"kubeconfig": pasted, "filled_from": mark, "auth_type": "token"}
        | {"cluster_url": "https://10.0.0.9:6443"},
    )

    endpoint = Endpoint.objects.get(kind=EndpointKind.KUBERNETES)
    assert endpoint.properties["kubernetesURL"] == "https://10.0.0.9:6443"
    assert endpoint.credentials == {"token": TOKEN}


def test_a_filled_form_keeps_an_accepted_certificate(
    cast: Cast, cluster: KubernetesServer, identity: Identity
) -> None:
    client = cast.client("member")
    document = yaml.safe_load(kubeconfig())
    document["clusters"][0]["cluster"]["server"] = cluster.url
    sent = EMPTY | {"kubeconfig": yaml.safe_dump(document)}

    shown = client.post(NEW, sent | {"look": "certificate"})
    assert shown.context["certificate"].data == identity.certificate_data
    names = ("cluster_url", "auth_type", "filled_from")
    sent |= dict(zip(names, values(shown, *names), strict=True))
    accepted = client.post(NEW, sent | {"accept": identity.certificate_data})
    sent["authority"] = values(accepted, "authority")[0]
    result = client.post(NEW, sent | {"validate": "1"}).context["result"]

    assert sent["authority"] == identity.certificate_data
    assert result.has_passed, result.message


def test_a_kubeconfig_that_was_only_pasted_is_saved_as_it_says(
    cast: Cast, stored_cluster: Endpoint
) -> None:
    pasted = kubeconfig(username="robot", password=PASSWORD)

    cast.client("member").post(
        page_of(stored_cluster), CLUSTER | {"kubeconfig": pasted} | opened(stored_cluster)
    )

    stored_cluster.refresh_from_db()
    access = cluster_access(stored_cluster)
    assert access.url == "https://dev.example:6443"
    assert (access.username, access.password, access.token) == ("robot", PASSWORD, "")


def test_of_several_contexts_one_is_chosen(cast: Cast) -> None:
    client = cast.client("member")
    pasted = EMPTY | {"kubeconfig": kubeconfig(contexts=("dev", "prod")), "fill": "1"}

    asked = client.post(NEW, pasted)
    chosen = client.post(NEW, pasted | {"context": "prod"})

    assert asked.status_code == 422
    assert "choose one" in asked.context["form"].errors["context"][0]
    assert '<option value="prod">' in asked.text
    assert values(chosen, "cluster_url", "context") == ["https://prod.example:6443", "prod"]


@pytest.mark.parametrize("button", ["fill", "save", "validate"])
def test_what_a_kubeconfig_may_not_use_is_refused_by_name(cast: Cast, button: str) -> None:
    pasted = kubeconfig(exec={"command": "aws"}, token=TOKEN)

    answer = cast.client("member").post(NEW, CLUSTER | {"kubeconfig": pasted, button: "1"})

    assert answer.status_code == 422
    assert "“exec”" in answer.context["form"].errors["kubeconfig"][0]
    assert TOKEN not in answer.text
    assert not Endpoint.objects.exists()


# What uses an endpoint


SOURCE = """\
kind: PIPELINE
name: web-cd
stageOrder: [Deploy]
stages:
  Deploy:
    taskOrder: [apply]
    tasks:
      apply:
        type: K8S
        endpoints: {kubernetesServer: stored-cluster}
        input:
          action: APPLY
          yaml: |
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: web}
"""


def test_an_endpoint_that_a_pipeline_names_is_not_deleted(
    cast: Cast, stored_cluster: Endpoint
) -> None:
    PipelineFactory.create(project=cast.project, name="web-cd", source=SOURCE)
    client = cast.client("member")

    page = client.get(page_of(stored_cluster)).text
    answer = client.post(f"{page_of(stored_cluster)}delete/", follow=True)

    assert "pipeline web-cd" in page
    assert "/delete/" not in page
    assert "in use by pipeline web-cd" in answer.text
    assert Endpoint.objects.filter(pk=stored_cluster.pk).exists()


def test_a_pipeline_that_only_mentions_the_name_does_not_use_it(
    cast: Cast, stored_cluster: Endpoint
) -> None:
    source = SOURCE.replace("kubernetesServer: stored-cluster", "kubernetesServer: another")
    source = source.replace("{name: web}", "{name: stored-cluster}")
    PipelineFactory.create(project=cast.project, name="web-cd", source=source)

    cast.client("member").post(f"{page_of(stored_cluster)}delete/")

    assert not Endpoint.objects.filter(pk=stored_cluster.pk).exists()


def test_a_new_name_says_which_pipelines_look_for_the_old_one(
    cast: Cast, stored_cluster: Endpoint
) -> None:
    PipelineFactory.create(project=cast.project, name="web-cd", source=SOURCE)
    client, entered = cast.client("member"), CLUSTER | {"token": ""}

    renamed = client.post(
        page_of(stored_cluster), entered | {"name": "renamed"} | opened(stored_cluster), follow=True
    )
    again = client.post(
        page_of(stored_cluster), entered | {"name": "renamed"} | opened(stored_cluster), follow=True
    )

    assert "Still looking for stored-cluster: pipeline web-cd." in renamed.text
    assert "Still looking for" not in again.text


@pytest.mark.parametrize("name", ["it's new", 'a "b" c', "50% più", "ünï"])
def test_a_pipeline_is_found_whatever_the_name_looks_like(cast: Cast, name: str) -> None:
    cluster = KubernetesFactory.create(project=cast.project, name=name)
    document = yaml.safe_load(SOURCE)
    document["stages"]["Deploy"]["tasks"]["apply"]["endpoints"] = {"kubernetesServer": name}
    source = yaml.safe_dump(document, default_style="'", allow_unicode=True)
    PipelineFactory.create(project=cast.project, name="web-cd", source=source)

    assert "pipeline web-cd" in users_of(cluster)


def test_an_execution_under_way_keeps_the_endpoint_though_its_pipeline_is_deleted(
    cast: Cast, stored_cluster: Endpoint
) -> None:
    pipeline = PipelineFactory.create(project=cast.project, name="web-cd", source=SOURCE)
    running = ExecutionFactory.create(pipeline=pipeline, status=Status.RUNNING)
    pipeline.delete()

    refused = cast.client("member").post(f"{page_of(stored_cluster)}delete/", follow=True)

    assert "executions of web-cd that are not over" in refused.text
    Execution.objects.filter(pk=running.pk).update(status=Status.COMPLETED, finished_at=now())
    assert users_of(stored_cluster) == []


def test_a_webhook_that_uses_the_endpoint_is_named_on_its_page(
    cast: Cast, stored_hub: Endpoint
) -> None:
    DockerWebhookFactory.create(project=cast.project, endpoint=stored_hub, name="release-hook")

    assert "release-hook" in cast.client("member").get(page_of(stored_hub)).text


# Secrets


def test_no_secret_reaches_a_log(
    cast: Cast, hub: DockerHubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = cast.client("member")

    for button in ("validate", "save"):
        client.post(NEW, HUB | {"password": f"{PASSWORD}x", button: "1"})
        client.post(NEW, HUB | {button: "1"})
    client.post(NEW, EMPTY | {"kubeconfig": kubeconfig(), "fill": "1"})

    assert Endpoint.objects.exists()
    assert PASSWORD not in caplog.text
    assert TOKEN not in caplog.text


def test_a_digest_in_the_address_is_no_name_and_password(cast: Cast) -> None:
    asked = {"repository_url": f"docker.io/acme/web@sha256:{'a' * 64}"}

    html = cast.client("member").get("/endpoints/address/", asked).text

    assert 'value="https://hub.docker.com/r/acme/web"' in html
    assert 'aria-invalid="true"' not in html


def test_a_password_in_the_address_is_refused(cast: Cast) -> None:
    asked = {"repository_url": "https://me:pw@hub.docker.com/r/acme/web"}

    assert 'aria-invalid="true"' in cast.client("member").get("/endpoints/address/", asked).text
