"""A half-filled webhook form, kept while its endpoint is made on another page.

It lies in the person's session, encrypted, since it may hold a token. The fields of secrets give
none back to the page: a form that is sent with an empty one is completed from here.
"""

from __future__ import annotations

from django.contrib.sessions.backends.base import SessionBase
from django.http import QueryDict

from codestream.core.crypto import decrypt, encrypt
from codestream.core.references import variable_name

SECRETS = ("api_token", "secret_token")
_KEY = "webhook-draft"
_LEFT_OUT = ("csrfmiddlewaretoken", "endpoint", "draft")


def keep_draft(session: SessionBase, entered: QueryDict) -> None:
    """Keep what was entered so far, in place of an earlier draft."""
    kept = with_secrets(session, entered)
    for name in _LEFT_OUT:
        kept.pop(name, None)
    session[_KEY] = encrypt(kept.urlencode())


def is_kept(session: SessionBase) -> bool:
    """Whether there is a draft."""
    return _KEY in session


def read_draft(session: SessionBase) -> QueryDict:
    """What was kept; empty where nothing was."""
    return QueryDict(decrypt(session[_KEY]) if is_kept(session) else "")


def kept_secrets(session: SessionBase) -> list[str]:
    """The fields whose values the draft has and the page does not show."""
    draft = read_draft(session)
    return [name for name in SECRETS if draft.get(name) and not variable_name(draft[name])]


def with_secrets(session: SessionBase, entered: QueryDict) -> QueryDict:
    """What was entered, with the secrets of the draft that it goes on with."""
    complete = entered.copy()
    if "draft" in entered:
        draft = read_draft(session)
        for name in SECRETS:
            complete[name] = entered.get(name) or draft.get(name, "")
    return complete


def forget_draft(session: SessionBase) -> None:
    """Drop it: the webhook is saved."""
    session.pop(_KEY, None)
