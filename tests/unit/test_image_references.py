"""References to images, and when two of them mean one repository."""

from __future__ import annotations

import pytest

from endpoints.clients.base import Invalid
from endpoints.clients.image_references import ImageReference, parse_image_reference

DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("acme/web:1.2", "docker.io", "acme/web", "1.2"),
        ("docker.io/acme/web:1.2", "docker.io", "acme/web", "1.2"),
        ("index.docker.io/acme/web", "docker.io", "acme/web", "latest"),
        ("nginx:1", "docker.io", "nginx", "1"),
        ("docker.io/library/nginx:1", "docker.io", "nginx", "1"),
        ("localhost/web:1", "localhost", "web", "1"),
        ("Registry.example.com:5000/team/app:v1", "registry.example.com:5000", "team/app", "v1"),
    ],
)
def test_a_reference_names_registry_repository_and_tag(
    text: str, registry: str, repository: str, tag: str
) -> None:
    found = parse_image_reference(text)

    assert found == ImageReference(registry=registry, repository=repository, tag=tag)


def test_a_digest_is_kept() -> None:
    found = parse_image_reference(f"acme/web:1.2@{DIGEST}")

    assert (found.digest, str(found)) == (DIGEST, "acme/web:1.2")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "acme/web:",
        "acme//web:1",
        "Acme/web:1",
        "acme/web:1:2",
        "acme/web:********",
        f"acme/web:{'1' * 129}",
        "acme/web@sha256:00",
        "hub:5000/",
        "acme/" + "a" * 300,
    ],
)
def test_what_names_no_image_is_refused_in_words(text: str) -> None:
    with pytest.raises(Invalid, match="cannot be the name of an image"):
        parse_image_reference(text)
