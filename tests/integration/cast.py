"""The people of an access matrix: a project's administrator, member, viewer, and an outsider."""

from __future__ import annotations

from dataclasses import dataclass

from django.test import Client

from codestream.accounts.models import User
from codestream.core.models import Timestamped
from codestream.projects.models import Membership, Project
from tests.factories import MembershipFactory, ProjectFactory, UserFactory

ROLES = ("owner", "member", "viewer", "outsider", "anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """One project and the clients of everybody around it."""

    project: Project
    users: dict[str, User]

    def client(self, role: str) -> Client:
        client = Client()
        if role in self.users:
            client.force_login(self.users[role])
        return client

    def answers(self, method: str, url: str, **data: str) -> dict[str, int]:
        """The status that everybody gets for the same request; nothing is followed."""
        return {role: self._ask(role, method, url, data) for role in ROLES}

    def _ask(self, role: str, method: str, url: str, data: dict[str, str]) -> int:
        client = self.client(role)
        answer = client.get(url, data) if method == "GET" else client.post(url, data)
        return answer.status_code


def make_cast() -> Cast:
    project = ProjectFactory.create(name="Shop")
    roles = {
        "owner": Membership.Role.ADMINISTRATOR,
        "member": Membership.Role.MEMBER,
        "viewer": Membership.Role.VIEWER,
    }
    users = {name: UserFactory.create(username=name) for name in (*roles, "outsider")}
    for name, role in roles.items():
        MembershipFactory.create(project=project, user=users[name], role=role)
    return Cast(project=project, users=users)


def statuses(owner: int, member: int, viewer: int, outsider: int) -> dict[str, int]:
    """The expected row of the matrix; who is not signed in is always sent to the sign-in."""
    return dict(zip(ROLES, (owner, member, viewer, outsider, 302), strict=True))


def opened(row: Timestamped) -> dict[str, str]:
    """What the form of a row that was opened just now carries besides its fields."""
    stored = type(row)._default_manager.get(pk=row.pk)
    return {"version": stored.updated_at.isoformat()}


def get(cast: Cast, url: str, role: str = "member", **headers: str) -> str:
    """The page as somebody of the cast sees it."""
    return cast.client(role).get(url, headers=headers).content.decode()
