"""The spellings of a repository that people paste."""

from __future__ import annotations

import pytest

from endpoints.clients.base import Invalid
from endpoints.clients.repository_address import (
    RepositoryAddress,
    parse_image_name,
    parse_repository_url,
)

BASE = "https://hub.docker.com"


def parse(text: str) -> RepositoryAddress:
    return parse_repository_url(text, default_base=f"{BASE}/")


@pytest.mark.parametrize(
    "text",
    [
        "acme/web",
        " Acme/web ",
        "acme/web:1.2",
        "docker.io/acme/web",
        "docker.io/acme/web:1.2@sha256:abc",
        "index.docker.io/acme/web",
        "registry-1.docker.io/acme/web",
        "https://registry-1.docker.io/v2/acme/web",
        "hub.docker.com/r/acme/web",
        "https://hub.docker.com/r/acme/web/",
        "https://hub.docker.com/r/acme/web/tags?page=2#x",
        "https://hub.docker.com/repository/docker/acme/web",
        "https://hub.docker.com/repository/docker/acme/web/general",
        "https://hub.docker.com/repository/registry-1.docker.io/acme/web",
        "https://cloud.docker.com/repository/docker/acme/web/general",
        "https://cloud.docker.com/v2/repositories/acme/web/webhook_pipeline/",
        "https://hub.docker.com/v2/repositories/acme/web/",
        "https://hub.docker.com/v2/namespaces/acme/repositories/web/tags",
        "https://hub.docker.com/layers/acme/web/1.2/images/sha256-abc",
        "https://registry.hub.docker.com/u/acme/web/",
        "HTTPS://HUB.DOCKER.COM/r/acme/web",
        "HUB.DOCKER.COM/R/ACME/WEB",
        "https://cloud.docker.com/u/acme/repository/docker/acme/web/general",
        "https://hub.docker.com/r/acme/web@sha256:abc",
        "hub.docker.com/repository/docker/acme/web",
        "docker pull acme/web",
        "docker pull acme/web:1.2",
        "$ docker  image pull --platform=linux/arm64 -q acme/web@sha256:abc",
        "docker push docker.io/acme/web:tagname",
        "acme/web?tab=tags",
    ],
)
def test_every_spelling_of_a_docker_hub_repository_is_understood(text: str) -> None:
    expected = RepositoryAddress(base_url=BASE, namespace="acme", repository="web")
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hub.docker.com/_/busybox",
        "https://hub.docker.com/_/busybox/tags",
        "_/busybox",
        "docker.io/busybox:1.36",
    ],
)
def test_an_official_image_belongs_to_library(text: str) -> None:
    assert str(parse(text)) == "library/busybox"


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("docker pull acme/web:1", f"{BASE}/r/acme/web"),
        ("_/busybox", f"{BASE}/r/library/busybox"),
        ("registry.local:5000/demo/web", "https://registry.local:5000/r/demo/web"),
        ("https://dtr.example.com/repositories/r/web/tags", "https://dtr.example.com/r/r/web"),
        ("https://hub.docker.com/r/r/web", f"{BASE}/r/r/web"),
        ("https://hub.docker.com/r/u/web/tags", f"{BASE}/r/u/web"),
    ],
)
def test_one_spelling_stands_for_all_and_means_the_same(text: str, page: str) -> None:
    assert parse(text).page == page
    assert parse(page) == parse(text)


@pytest.mark.parametrize("text", ["docker run acme/web", "docker pull", "docker pull  "])
def test_another_command_is_no_address(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


@pytest.mark.parametrize("name", ["r/web", "u/web", "repository/web", "layers/web"])
def test_a_namespace_may_be_called_like_a_part_of_a_page_address(name: str) -> None:
    assert str(parse(f"docker.io/{name}")) == name


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://127.0.0.1:8001/r/demo/web", "http://127.0.0.1:8001"),
        ("https://Registry.Example.com/demo/web", "https://registry.example.com"),
        ("registry.local:5000/demo/web", "https://registry.local:5000"),
        ("localhost/demo/web", "https://localhost"),
        ("http://[::1]:8001/demo/web", "http://[::1]:8001"),
    ],
)
def test_any_other_origin_is_the_base_itself(text: str, base: str) -> None:
    assert parse(text) == RepositoryAddress(base_url=base, namespace="demo", repository="web")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "https://hub.docker.com",
        "https://hub.docker.com/r/",
        "https://hub.docker.com/r/acme",
        "https://hub.docker.com/u/acme",
        "https://hub.docker.com/repositories/acme",
        "https://hub.docker.com/orgs/acme",
        "ftp://hub.docker.com/r/acme/web",
        "https://me:secret@hub.docker.com/r/acme/web",
        "https://hub.docker.com:99999/r/acme/web",
        "acme/we b",
        "acme/../web",
        "acme/%2e%2e",
        "https://[broken/acme/web",
    ],
)
def test_what_names_no_repository_is_invalid_with_words(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert "secret" not in refused.value.user_message


@pytest.mark.parametrize(
    ("text", "base", "name"),
    [
        (
            "registry.example.com:5000/team/sub/app",
            "https://registry.example.com:5000",
            "team/sub/app",
        ),
        ("registry.example.com/app", "https://registry.example.com", "app"),
        ("ghcr.io/Acme/Web:1.2", "https://ghcr.io", "acme/web"),
        ("docker pull quay.io/acme/web@sha256:abc", "https://quay.io", "acme/web"),
        ("http://localhost:5000/team/app:1.2@sha256:abc", "http://localhost:5000", "team/app"),
        ("localhost/app", "https://localhost", "app"),
    ],
)
def test_a_repository_of_another_registry_has_any_number_of_parts(
    text: str, base: str, name: str
) -> None:
    address = parse_image_name(text)
    assert (address.base_url, str(address)) == (base, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "team/app",
        "registry.example.com",
        "registry.example.com:5000/",
        "registry.example.com/team//app",
        "registry.example.com/team/-app",
        "https://ann:pw@registry.example.com/team/app",
        "ftp://registry.example.com/team/app",
    ],
)
def test_what_names_no_repository_of_another_registry_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_image_name(text)
