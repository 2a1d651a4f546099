"""What workers write down is read in the language of the reader, and by programs in English."""

from __future__ import annotations

from html import unescape

import pytest

from codestream.accounts.services import issue_token
from codestream.core.words import Words
from endpoints.clients.base import Invalid
from endpoints.models import CheckStatus, Endpoint
from executions.models import Execution
from executions.runners.base import TaskFailedError
from executions.services import cancel_execution
from executions.worker import drain
from tests.factories import DockerRegistryFactory
from tests.integration.cast import Cast, get
from tests.integration.puppets import Puppets, pipeline_of, start, task_of, working

pytestmark = pytest.mark.django_db
ITALIAN = {"Accept-Language": "it"}
NO_ENDPOINT = Words("The project has no endpoint “%(name)s” of this kind.", {"name": "dev"})
NESSUN_ENDPOINT = "Il progetto non ha alcun endpoint “dev” di questo tipo."


@pytest.fixture
def failed(cast: Cast, puppets: Puppets) -> Execution:
    """An execution whose task found no endpoint."""
    puppets.acts["a"] = TaskFailedError(NO_ENDPOINT)
    return start(pipeline_of("Main: a", project=cast.project))


def page_of(cast: Cast, execution: Execution, **headers: str) -> str:
    return unescape(get(cast, f"/executions/{execution.pk}/", **headers))


def test_why_an_execution_failed_is_read_in_italian(cast: Cast, failed: Execution) -> None:
    italian = page_of(cast, failed, **ITALIAN)

    assert f"Main.a: {NESSUN_ENDPOINT}" in italian
    assert NO_ENDPOINT not in italian
    assert f"Main.a: {NO_ENDPOINT}" in page_of(cast, failed)
    assert f"Main.a: {NESSUN_ENDPOINT}" in unescape(get(cast, "/executions/", **ITALIAN))


def test_programs_and_the_search_get_english(cast: Cast, failed: Execution) -> None:
    token = issue_token(owner=cast.users["member"], name="program")[1]
    headers = {"Authorization": f"Bearer {token}", **ITALIAN}

    answer = cast.client("").get(f"/codestream/api/executions/{failed.pk}", headers=headers)

    assert answer.json()["statusMessage"] == f"Main.a: {NO_ENDPOINT}"
    assert "scripted" in get(cast, "/executions/?q=Main.a: The project has no endpoint", **ITALIAN)


def test_who_canceled_is_read_in_italian(cast: Cast, puppets: Puppets) -> None:
    puppets.acts["a"] = working()
    execution = start(pipeline_of("Main: a", project=cast.project))
    cancel_execution(execution=execution, by=cast.users["member"])
    drain()

    execution.refresh_from_db()
    assert (execution.message, execution.words.values["user"]) == (
        "Execution canceled by member.",
        "member",
    )
    assert task_of(execution, "a").words.text == "Canceled by %(name)s."
    assert "Annullata da member." in page_of(cast, execution, **ITALIAN)


def test_what_a_check_came_to_is_read_in_italian(cast: Cast) -> None:
    words = Words("Signed in; the repository %(name)s is there.", {"name": "demo/web"})
    DockerRegistryFactory(
        project=cast.project, last_check_status=CheckStatus.PASSED, last_check_message=words
    )

    assert Endpoint.objects.get().last_check_message == words
    assert "Accesso riuscito; il repository demo/web esiste." in get(cast, "/endpoints/", **ITALIAN)
    assert words in get(cast, "/endpoints/")


def test_the_advice_of_an_outside_system_is_said_apart() -> None:
    error = Invalid(NO_ENDPOINT, advice=Words("Canceled by %(name)s.", {"name": "ann"}))

    assert error.user_message == f"{NO_ENDPOINT} Canceled by ann."
