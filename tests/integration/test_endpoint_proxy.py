"""A cluster behind an HTTP proxy, and the pod's own service account as the login of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from pytest_django.fixtures import Settings

from codestream.core.errors import Refused
from codestream.core.http import AddressRefused
from codestream.core.http import Proxy as HttpProxy
from codestream.sandbox.http_server import Application, HttpServer, Request, Response, json_response
from codestream.sandbox.kubernetes import KubernetesServer
from endpoints.clients.base import Blocked, Unauthorized, Unreachable
from endpoints.clients.kubernetes import ClusterAccess, Kubernetes
from endpoints.kinds import cluster_access, kubernetes
from endpoints.models import Endpoint
from endpoints.services import validate_endpoint
from tests.certificates import Identity, make_identity, server_context
from tests.contracts.kubernetes.manifests import config_map
from tests.factories import KubernetesFactory, PipelineFactory, VariableFactory
from tests.integration.cast import Cast, opened
from tests.integration.deploys import run
from tests.integration.test_kubernetes_actions import source_of, task
from tests.proxy import Proxy, running_proxy

pytestmark = pytest.mark.django_db
TOKEN = "cluster-token-0815"
PASSWORD = "proxy-pass-0815"
NAME = "kubernetes.inside.example"
NEW = "/endpoints/new/"


@pytest.fixture
def identity() -> Identity:
    return make_identity("kube-apiserver", host=NAME)


@pytest.fixture
def cluster(tmp_path: Path, identity: Identity) -> Iterator[KubernetesServer]:
    with KubernetesServer(token=TOKEN, tls=server_context(identity, tmp_path)) as server:
        yield server


@pytest.fixture
def proxy(cluster: KubernetesServer, settings: Settings) -> Iterator[Proxy]:
    """The only way to the cluster: nobody but the proxy knows its name, nor may be called."""
    with running_proxy(cluster.url, account=f"robot:{PASSWORD}") as proxy:
        settings.OUTGOING_ALLOW = [urlsplit(proxy.url).netloc]
        yield proxy


@pytest.fixture
def endpoint(cast: Cast, proxy: Proxy, identity: Identity) -> Endpoint:
    made: Endpoint = KubernetesFactory.create(
        project=cast.project,
        name="cluster",
        properties={
            "kubernetesURL": f"https://{NAME}:6443",
            "authType": "token",
            "certAuthorityData": identity.certificate_data,
            "proxyURL": proxy.url,
        },
        credentials={"token": TOKEN, "proxyUsername": "robot", "proxyPassword": PASSWORD},
    )
    return made


def entered(proxy: Proxy, identity: Identity, **others: str) -> dict[str, str]:
    return {
        "type": "k8s",
        "project": "Shop",
        "name": "cluster",
        "cluster_url": f"https://{NAME}:6443",
        "authority": identity.certificate_data,
        "auth_type": "token",
        "token": TOKEN,
        "proxy_url": proxy.url,
        "proxy_username": "robot",
        "proxy_password": PASSWORD,
    } | others


def said_by(endpoint: Endpoint) -> tuple[str, str]:
    validate_endpoint(endpoint=endpoint)
    return endpoint.last_check_status, endpoint.last_check_message


def test_validate_goes_through_the_proxy_and_no_secret_is_seen_there(
    endpoint: Endpoint, proxy: Proxy
) -> None:
    assert said_by(endpoint)[0] == "PASSED"

    assert set(proxy.asked) == {f"CONNECT {NAME}:6443"}
    assert TOKEN not in "".join(proxy.heads)


def test_a_task_applies_through_the_proxy(cast: Cast, endpoint: Endpoint, proxy: Proxy) -> None:
    source = source_of(task("Send", "APPLY", config_map("default", colour="blue")))
    pipeline = PipelineFactory.create(project=cast.project, source=source)

    execution = run(pipeline)

    assert execution.status == "COMPLETED", execution.message
    assert proxy.asked


def test_a_plain_cluster_is_asked_through_the_proxy_too(settings: Settings) -> None:
    with KubernetesServer(token=TOKEN) as server, running_proxy(server.url) as proxy:
        settings.OUTGOING_ALLOW = [urlsplit(proxy.url).netloc]
        found = said_by(
            KubernetesFactory.create(
                properties={
                    "kubernetesURL": f"http://{NAME}",
                    "authType": "token",
                    "proxyURL": proxy.url,
                },
                credentials={"token": TOKEN},
            )
        )

    assert found[0] == "PASSED", found
    assert proxy.asked[0] == f"GET http://{NAME}/version"


def test_a_wrong_account_at_the_proxy_is_told_from_one_at_the_cluster(
    endpoint: Endpoint, proxy: Proxy
) -> None:
    endpoint.credentials = endpoint.credentials | {"proxyPassword": "wrong"}

    with kubernetes(endpoint) as client, pytest.raises(Unauthorized) as refused:
        client.version()

    assert "answered 407" in refused.value.user_message
    assert "the proxy's user name and password" in refused.value.user_message
    assert "wrong" not in refused.value.user_message


@pytest.mark.parametrize(("refusal", "error"), [(403, Blocked), (502, Unreachable)])
def test_a_refusal_of_the_proxy_is_told_with_its_status(
    settings: Settings, refusal: int, error: type[Exception]
) -> None:
    with running_proxy("http://127.0.0.1:1", refusal=refusal) as proxy:
        settings.OUTGOING_ALLOW = [urlsplit(proxy.url).netloc]
        access = ClusterAccess(url=f"https://{NAME}", proxy=HttpProxy(url=proxy.url))
        with Kubernetes(access) as client, pytest.raises(error, match=f"answered {refusal}"):
            client.version()


def test_a_proxy_that_is_away_is_named(settings: Settings) -> None:
    settings.OUTGOING_ALLOW = ["127.0.0.1:1"]
    access = ClusterAccess(url=f"https://{NAME}", proxy=HttpProxy(url="http://127.0.0.1:1"))

    with Kubernetes(access) as client, pytest.raises(Unreachable, match="the proxy of the end"):
        client.version()


@pytest.mark.parametrize("url", ["https://169.254.169.254", "http://127.0.0.1:1"])
def test_a_proxy_is_no_way_around_the_guard(settings: Settings, url: str) -> None:
    with running_proxy("http://127.0.0.1:1") as proxy:
        settings.OUTGOING_ALLOW = [urlsplit(proxy.url).netloc]
        access = ClusterAccess(url=url, proxy=HttpProxy(url=proxy.url))
        with Kubernetes(access) as client, pytest.raises(AddressRefused):
            client.version()
        settings.OUTGOING_ALLOW = []
        access = ClusterAccess(url=f"https://{NAME}", proxy=HttpProxy(url=proxy.url))
        with Kubernetes(access) as client, pytest.raises(AddressRefused):
            client.version()

    assert proxy.asked == []


# The form


def test_the_form_saves_and_shows_the_proxy_without_its_password(
    cast: Cast, proxy: Proxy, identity: Identity
) -> None:
    client = cast.client("member")

    saved = client.post(NEW, entered(proxy, identity))

    endpoint = Endpoint.objects.get()
    assert saved.status_code == 302
    assert endpoint.properties["proxyURL"] == proxy.url
    assert endpoint.credentials["proxyPassword"] == PASSWORD
    pages = client.get(f"/endpoints/{endpoint.pk}/").text, client.get("/endpoints/").text
    assert all(proxy.url in page and PASSWORD not in page for page in pages)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"proxy_url": "http://10.0.0.9:3128"}, ["proxy_password", "token"]),
        ({"proxy_url": "", "proxy_username": ""}, ["token"]),
        ({"proxy_username": "eve"}, ["proxy_password", "token"]),
    ],
)
def test_through_another_proxy_goes_no_stored_secret(
    cast: Cast,
    endpoint: Endpoint,
    proxy: Proxy,
    identity: Identity,
    change: dict[str, str],
    asked: list[str],
) -> None:
    sent = entered(proxy, identity, token="", proxy_password="") | change | opened(endpoint)

    answer = cast.client("member").post(f"/endpoints/{endpoint.pk}/", sent)

    assert answer.status_code == 422
    assert sorted(answer.context["form"].errors) == asked


def test_stored_secrets_stay_while_the_proxy_does(
    cast: Cast, endpoint: Endpoint, proxy: Proxy, identity: Identity
) -> None:
    sent = entered(proxy, identity, token="", proxy_password="") | opened(endpoint)

    answer = cast.client("member").post(f"/endpoints/{endpoint.pk}/", sent)

    endpoint.refresh_from_db()
    assert answer.status_code == 302
    assert endpoint.credentials["proxyPassword"] == PASSWORD


@pytest.mark.parametrize(
    "url", ["http://robot:secret@proxy:3128", "socks5://proxy:1080", "https://proxy", "nonsense"]
)
def test_what_is_no_plain_address_of_a_proxy_is_refused(
    cast: Cast, proxy: Proxy, identity: Identity, url: str
) -> None:
    answer = cast.client("member").post(NEW, entered(proxy, identity, proxy_url=url))

    assert list(answer.context["form"].errors) == ["proxy_url"]


def test_a_user_name_without_a_proxy_is_refused(
    cast: Cast, proxy: Proxy, identity: Identity
) -> None:
    answer = cast.client("member").post(NEW, entered(proxy, identity, proxy_url=""))

    assert list(answer.context["form"].errors) == ["proxy_url"]


@pytest.mark.parametrize("secret", [PASSWORD, "${var.at-proxy}"])
def test_the_certificate_is_looked_at_through_the_proxy(
    cast: Cast, proxy: Proxy, identity: Identity, secret: str
) -> None:
    VariableFactory.create(project=cast.project, name="at-proxy", type="SECRET", value=PASSWORD)
    sent = entered(proxy, identity, authority="", look="certificate", proxy_password=secret)

    answer = cast.client("member").post(NEW, sent)

    assert answer.context["certificate"].data == identity.certificate_data
    assert PASSWORD not in answer.text


def test_the_certificate_is_looked_at_with_the_stored_account_of_the_same_proxy_only(
    cast: Cast, endpoint: Endpoint, proxy: Proxy, identity: Identity
) -> None:
    client, page = cast.client("member"), f"/endpoints/{endpoint.pk}/"
    sent = entered(proxy, identity, look="certificate", proxy_password="")

    shown = client.post(page, sent)
    refused = client.post(page, sent | {"proxy_url": proxy.url.replace("127.0.0.1", "localhost")})

    assert shown.context["certificate"].data == identity.certificate_data
    assert list(refused.context["form"].errors) == ["cluster_url"]


def test_a_kubeconfig_brings_its_proxy(cast: Cast, proxy: Proxy, identity: Identity) -> None:
    account = proxy.url.replace("http://", f"http://robot:{PASSWORD}@")
    server = {"server": f"https://{NAME}", "proxy-url": account}
    pasted = yaml.safe_dump(
        {
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        }
    )
    base = {"type": "k8s", "project": "Shop", "name": "cluster", "kubeconfig": pasted}
    client = cast.client("member")

    filled = client.post(NEW, base | {"fill": "1"})
    client.post(NEW, base)

    form = filled.context["form"]
    assert (form["proxy_url"].value(), form["proxy_username"].value()) == (proxy.url, "robot")
    assert Endpoint.objects.get().credentials["proxyPassword"] == PASSWORD


# The service account of the pod


@pytest.fixture
def pod(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A pod as Kubernetes makes it: its server's address, its authority, and its token."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    identity = make_identity("kube-apiserver")
    (folder / "ca.crt").write_bytes(identity.certificate)
    (folder / "token").write_text("the-first-token\n")
    with HttpServer(_who(folder), tls=server_context(identity, tmp_path)) as server:
        settings.POD_SERVICE_ACCOUNT = True
        settings.POD_API_SERVER = server.url
        settings.POD_ACCOUNT_FOLDER = str(folder)
        settings.OUTGOING_ALLOW = [urlsplit(server.url).netloc]
        yield folder


def _who(folder: Path) -> Application:
    """An API server that accepts the mounted token alone."""

    def answer(request: Request) -> Response:
        token = (folder / "token").read_text().strip()
        if request.headers["Authorization"] != f"Bearer {token}":
            return json_response({"kind": "Status", "message": "Unauthorized"}, 401)
        if request.method == "POST":
            return json_response({"status": {"allowed": True}})
        return json_response({"gitVersion": "v1.31.0"})

    return answer


ACCOUNT = {"type": "k8s", "project": "Shop", "name": "own", "auth_type": "serviceAccount"}


def test_the_own_account_signs_in_with_the_token_that_is_mounted_now(cast: Cast, pod: Path) -> None:
    client = cast.client("member")
    client.post(NEW, ACCOUNT)
    endpoint = Endpoint.objects.get()

    with kubernetes(endpoint) as cluster:
        before = cluster.version()
        (pod / "token").write_text("the-token-of-the-next-hour")
        after = cluster.version()

    assert before == after == "v1.31.0"
    assert endpoint.credentials == {}
    assert said_by(endpoint)[0] == "PASSED"


def test_the_own_account_is_sent_to_the_own_cluster_only(cast: Cast, pod: Path) -> None:
    elsewhere = {"cluster_url": "https://evil.example", "proxy_url": "http://evil.example:1"}
    cast.client("member").post(NEW, ACCOUNT | elsewhere | {"authority": "Y2E="})
    endpoint = Endpoint.objects.get()
    Endpoint.objects.update(properties=endpoint.properties | {"kubernetesURL": "https://evil"})

    access = cluster_access(Endpoint.objects.get())

    assert "evil" not in str(endpoint.properties)
    assert access.url.startswith("https://127.0.0.1:")
    assert access.proxy is None
    assert access.ca_data == (pod / "ca.crt").read_text()


def test_without_the_switch_the_own_account_is_refused_in_words(
    cast: Cast, pod: Path, settings: Settings
) -> None:
    client = cast.client("member")
    client.post(NEW, ACCOUNT)
    settings.POD_SERVICE_ACCOUNT = False

    refused = client.post(NEW, ACCOUNT | {"name": "another"})

    assert "POD_SERVICE_ACCOUNT" in refused.context["form"].errors["auth_type"][0]
    assert 'value="serviceAccount"' not in client.get(f"{NEW}?type=k8s").text
    assert "POD_SERVICE_ACCOUNT" in said_by(Endpoint.objects.get())[1]
    with pytest.raises(Refused):
        cluster_access(Endpoint.objects.get())


def test_outside_a_pod_there_is_no_account(cast: Cast, settings: Settings) -> None:
    settings.POD_SERVICE_ACCOUNT, settings.POD_API_SERVER = True, ""

    refused = cast.client("member").post(NEW, ACCOUNT)

    assert "does not run in a pod" in refused.context["form"].errors["auth_type"][0]


def test_a_token_that_is_not_mounted_is_told(cast: Cast, pod: Path) -> None:
    cast.client("member").post(NEW, ACCOUNT)
    (pod / "token").unlink()

    assert "token cannot be read" in said_by(Endpoint.objects.get())[1]
