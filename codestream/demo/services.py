"""Creates the demo: a project with its people, endpoints, pipeline and webhook, by the same
services that the pages use. Where the stand-ins are comes from the caller.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from codestream.accounts.models import ServiceRole, User
from codestream.accounts.services import issue_token
from codestream.projects.models import Membership, Project, Variable
from endpoints.models import Endpoint, EndpointKind
from endpoints.services import save_endpoint
from pipelines.services import save_pipeline
from webhooks.models import DockerWebhook
from webhooks.services import save_webhook

ADMINISTRATOR = "admin"
PEOPLE = (ADMINISTRATOR, "member", "viewer", "outsider")
ROLES = dict(
    zip(
        PEOPLE[:3],
        (Membership.Role.ADMINISTRATOR, Membership.Role.MEMBER, Membership.Role.VIEWER),
        strict=True,
    )
)
SOURCE = Path(__file__).with_name("pipeline.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """Where the demo's Docker Hub and cluster are, and what opens them."""

    dockerhub_url: str
    dockerhub_user: str
    dockerhub_password: str
    kubernetes_url: str
    kubernetes_token: str


def new_password() -> str:
    """Return a password that can be typed."""
    return secrets.token_urlsafe(9)


@transaction.atomic
def create_demo(*, stand_ins: StandIns, password: str) -> Project:
    """Create the whole demo; all of it or nothing."""
    people = _create_people(password)
    project = Project.objects.create(name="Demo", description="Everything that `make run` shows.")
    for name, role in ROLES.items():
        Membership.objects.create(project=project, user=people[name], role=role)
    _create_variables(project, people[ADMINISTRATOR], stand_ins)
    _create_endpoints(project, stand_ins, people[ADMINISTRATOR])
    _create_webhook(project, people[ADMINISTRATOR])
    return project


@transaction.atomic
def set_demo_password(password: str) -> list[str]:
    """Give every demo account this password; return their names."""
    people = list(User.objects.filter(username__in=PEOPLE))
    for person in people:
        person.set_password(password)
        person.save(update_fields=["password"])
    return [person.username for person in people]


def _create_people(password: str) -> dict[str, User]:
    people = {name: User(username=name, email=f"{name}@demo.example") for name in PEOPLE}
    administrator = people[ADMINISTRATOR]
    administrator.is_staff = administrator.is_superuser = True
    administrator.service_role = ServiceRole.ADMINISTRATOR
    for person in people.values():
        person.set_password(password)
        person.save()
    return people


def _create_variables(project: Project, owner: User, stand_ins: StandIns) -> None:
    _, token = issue_token(owner=owner, name="docker-trigger")
    Variable.objects.create(
        project=project,
        name="docker-trigger-token",
        description="API token that the Docker webhook runs as.",
        type=Variable.Type.SECRET,
        value=token,
    )
    Variable.objects.create(
        project=project,
        name="registry-config",
        description="What the cluster needs to pull from the private repository.",
        type=Variable.Type.SECRET,
        value=_docker_config(stand_ins),
    )


def _docker_config(stand_ins: StandIns) -> str:
    login = f"{stand_ins.dockerhub_user}:{stand_ins.dockerhub_password}"
    auth = b64encode(login.encode()).decode("ascii")
    return json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}}})


def _create_endpoints(project: Project, stand_ins: StandIns, by: User) -> None:
    save_endpoint(
        endpoint=Endpoint(project=project, kind=EndpointKind.DOCKER_REGISTRY),
        name="demo-hub",
        description="The repository demo/web in the local Docker Hub.",
        is_restricted=False,
        properties={"serverType": "DockerHub", "repoURL": f"{stand_ins.dockerhub_url}/r/demo/web"},
        credentials={
            "username": stand_ins.dockerhub_user,
            "password": stand_ins.dockerhub_password,
        },
        by=by,
    )
    save_endpoint(
        endpoint=Endpoint(project=project, kind=EndpointKind.KUBERNETES),
        name="demo-cluster",
        description="The local cluster.",
        is_restricted=False,
        properties={"kubernetesURL": stand_ins.kubernetes_url, "authType": "token"},
        credentials={"token": stand_ins.kubernetes_token},
        by=by,
    )


def _create_webhook(project: Project, by: User) -> None:
    pipeline = save_pipeline(project=project, source=SOURCE.read_text("utf-8"), author=by)
    save_webhook(
        DockerWebhook(
            project=project,
            name="web-release",
            description="Every release of demo/web.",
            endpoint=project.endpoints.get(name="demo-hub"),
            pipeline=pipeline,
            image_pattern="demo/web",
            tag_pattern="",
            api_token="${var.docker-trigger-token}",  # noqa: S106 - a reference, not a secret
            recovery=DockerWebhook.Recovery.ON,
            token_set_by=by,
        ),
        by=by,
    )
