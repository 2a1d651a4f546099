"""The client of Docker Hub: signs in, and lists, creates and deletes the webhooks of a repository.

The webhook routes are those of Docker Hub's own pages and not a public interface: there is no
update, a webhook's id is its slug, and every path ends with a slash.
"""

from __future__ import annotations

from types import TracebackType
from urllib.parse import parse_qsl, quote, urlsplit

from codestream.core.clock import now
from codestream.core.http import Reach, Response, open_session, origin
from codestream.core.json_types import Json
from codestream.core.words import Words, gettext_noop
from endpoints.clients.base import NotFound, Protocol, ServerFault
from endpoints.clients.dockerhub_answers import (
    HubRepository,
    HubTag,
    HubWebhook,
    ask,
    read_object,
    read_repository,
    read_tags,
    read_webhook,
    refusal,
)
from endpoints.clients.dockerhub_errors import TokenRefused
from endpoints.clients.dockerhub_login import Login
from endpoints.clients.repository_address import RepositoryAddress, parse_repository_url

__all__ = [
    "DockerHub",
    "HubRepository",
    "HubTag",
    "HubWebhook",
    "RepositoryAddress",
    "parse_repository_url",
]

PAGE_SIZE = 100
MOST_PAGES = 50
MOST_READINGS = 5


class DockerHub:
    """Docker Hub, or what speaks like it, at ``base_url``.

    ``secret`` is a password, a personal or an organisation access token. Every method raises a
    ClientError; a write that raises Unreachable, ServerFault or Protocol may be done all the same.
    """

    def __init__(self, base_url: str, username: str, secret: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = open_session(Reach.ENDPOINT)
        self._login = Login(self._session, self._base_url, username, secret)

    def log_in(self) -> None:
        """Sign in anew. Raises Unauthorized when the account is refused."""
        self._login.sign_in_anew()

    def list_webhooks(self, namespace: str, repository: str) -> tuple[HubWebhook, ...]:
        """All webhooks of the repository, each once.

        A list of several pages may change between two of them and hide what moved from one to
        the other, so it is read until two readings agree.
        """
        pages = self._read_pages(namespace, repository)
        for _ in range(MOST_READINGS):
            if len(pages) == 1:
                return tuple(pages[0])
            before, pages = pages, self._read_pages(namespace, repository)
            if before == pages:
                found = {hook.slug: hook for page in pages for hook in page}
                return tuple(found.values())
        words = gettext_noop("The list of webhooks of %(place)s changes while it is read.")
        raise ServerFault(Words(words, {"place": f"{namespace}/{repository}"}))

    def find_webhook(self, namespace: str, repository: str, hook_url: str) -> HubWebhook | None:
        """The webhook that calls ``hook_url``: the way to learn what became of a lost answer."""
        for hook in self.list_webhooks(namespace, repository):
            if hook_url in hook.hook_urls:
                return hook
        return None

    def create_webhook(
        self, namespace: str, repository: str, name: str, hook_url: str
    ) -> HubWebhook:
        """Create a webhook; names are unique in a repository.

        Raises Conflict for a name that is taken and Invalid for a URL that is refused. Sent once
        only: after Unreachable, ServerFault or Protocol look with ``find_webhook``.
        """
        wish = Words(
            gettext_noop("create the webhook %(name)s in %(place)s"),
            {"name": name, "place": f"{namespace}/{repository}"},
        )
        body = {
            "name": name,
            "expect_final_callback": False,
            "webhooks": [{"name": name, "hook_url": hook_url}],
            "registry": "registry-1.docker.io",
        }
        response = self._call("POST", self._webhooks_url(namespace, repository), json=body)
        if response.status not in (200, 201):
            raise refusal(response, wish, now=now(), secrets=_secrets_of(hook_url))
        created = read_webhook(read_object(response, wish))
        return HubWebhook(slug=created.slug, name=created.name, hook_urls=(hook_url,))

    def delete_webhook(self, namespace: str, repository: str, slug: str) -> None:
        """Delete a webhook; one that is gone already is fine."""
        url = f"{self._webhooks_url(namespace, repository)}{quote(slug, safe='')}/"
        response = self._call("DELETE", url)
        if response.status not in (200, 202, 204, 404):
            wish = Words(
                gettext_noop("delete the webhook %(name)s in %(place)s"),
                {"name": slug, "place": f"{namespace}/{repository}"},
            )
            raise refusal(response, wish, now=now())

    def repository(self, namespace: str, repository: str) -> HubRepository:
        """The repository and whether this account may manage it. Raises NotFound."""
        wish = Words(
            gettext_noop("show the repository %(place)s"), {"place": f"{namespace}/{repository}"}
        )
        body = self._get(self._repository_url(namespace, repository), wish)
        return read_repository(body, repository)

    def latest_tags(self, namespace: str, repository: str) -> tuple[HubTag, ...]:
        """The tags that were pushed last, at most a page of them, in one call."""
        url = f"{self._repository_url(namespace, repository)}tags/"
        query = f"?page_size={PAGE_SIZE}&ordering=last_updated"
        wish = Words(
            gettext_noop("list the tags of %(place)s"), {"place": f"{namespace}/{repository}"}
        )
        return read_tags(self._get(f"{url}{query}", wish))

    def close(self) -> None:
        """Close the connections; the token stays for the next client of this account."""
        self._session.close()

    def __enter__(self) -> DockerHub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_pages(self, namespace: str, repository: str) -> list[list[HubWebhook]]:
        wish = Words(
            gettext_noop("list the webhooks of %(place)s"), {"place": f"{namespace}/{repository}"}
        )
        url = f"{self._webhooks_url(namespace, repository)}?page_size={PAGE_SIZE}"
        pages: list[list[HubWebhook]] = []
        for _ in range(MOST_PAGES):
            try:
                page = self._get(url, wish)
            except NotFound:
                if not pages:
                    raise
                # The list has grown shorter since the page before promised this one.
                return pages
            results, following = page.get("results"), page.get("next")
            if not isinstance(results, list):
                raise Protocol(gettext_noop("Docker Hub's list of webhooks has no results."))
            pages.append([read_webhook(result) for result in results])
            if not following:
                return pages
            url = self._own(following)
        words = gettext_noop("Docker Hub's list of webhooks has more than %(number)s pages.")
        raise Protocol(Words(words, {"number": MOST_PAGES}))

    def _own(self, url: Json) -> str:
        """``url`` if it stays at this Docker Hub: the token goes nowhere else."""
        if not isinstance(url, str) or origin(url) != origin(self._base_url):
            raise Protocol(
                gettext_noop("Docker Hub's list of webhooks continues at another address.")
            )
        return url

    def _get(self, url: str, wish: Words) -> dict[str, Json]:
        response = self._call("GET", url)
        if response.status != 200:
            raise refusal(response, wish, now=now())
        return read_object(response, wish)

    def _call(self, method: str, url: str, *, json: object = None) -> Response:
        """Call with a token; a refused one is renewed once, because it may just have ended."""
        token = self._login.token()
        response = ask(self._session, method, url, token=token, json=json)
        if response.status == 401:
            token = self._login.token(instead_of=token)
            response = ask(self._session, method, url, token=token, json=json)
            if response.status == 401:
                raise TokenRefused(
                    gettext_noop("Docker Hub signed the account in and then refused its token.")
                )
        return response

    def _repository_url(self, namespace: str, repository: str) -> str:
        place = f"{quote(namespace.lower(), safe='')}/{quote(repository, safe='')}"
        return f"{self._base_url}/v2/repositories/{place}/"

    def _webhooks_url(self, namespace: str, repository: str) -> str:
        return f"{self._repository_url(namespace, repository)}webhook_pipeline/"


def _secrets_of(hook_url: str) -> list[str]:
    """The URL and the values of its query, which Docker Hub's answers may echo."""
    return [hook_url, *(value for _, value in parse_qsl(urlsplit(hook_url).query))]
