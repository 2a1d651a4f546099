"""The page of the Docker Hub stand-in: what it holds, and a form that plays ``docker push``."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from codestream.sandbox.dockerhub_repositories import Hook, Repository

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 2rem; }
header { border-bottom: 3px solid #0072a3; margin-bottom: 1.5rem; }
section { border: 1px solid #8886; border-radius: 4px; padding: 0 1rem 1rem; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8883;
  overflow-wrap: anywhere; vertical-align: top; }
label { margin-right: .8rem; } input { font: inherit; padding: .2rem .4rem; }
button { font: inherit; padding: .25rem .9rem; }
code { font-size: 13px; }
"""


def render(repositories: Iterable[Repository], example: str) -> str:
    """The whole page; ``example`` is put into the form as the image."""
    sections = "".join(map(_repository, repositories)) or "<p>No repository yet.</p>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Local Docker Hub</title><style>{STYLE}</style></head><body>"
        "<header><h1>Local Docker Hub</h1><p>A stand-in that runs on this machine. "
        "Pushing here notifies the webhooks below, as Docker Hub would.</p></header><main>"
        f"{_form(example)}{sections}</main></body></html>"
    )


def _form(example: str) -> str:
    return (
        '<form method="post" action="/push"><h2>Push an image</h2>'
        f'<label>Image <input name="image" required value="{escape(example)}"></label>'
        '<label>Tag <input name="tag" required placeholder="1.2.3"></label>'
        "<button>Push</button></form>"
    )


def _repository(repository: Repository) -> str:
    kind = "private" if repository.is_private else "public"
    newest_first = sorted(
        repository.tags.items(), key=lambda item: item[1].last_updated, reverse=True
    )
    tags = _table(
        ("Tag", "Digest", "Pushed"),
        [(name, tag.digest[:19] + "…", _time(tag.last_updated)) for name, tag in newest_first],
        "No tag was pushed yet.",
    )
    hooks = _table(
        ("Webhook", "URL", "Latest calls"),
        [(hook.name, hook.masked_url, _calls(hook)) for hook in repository.hooks],
        "No webhook.",
    )
    return (
        f"<section><h2>{escape(repository.full_name)} <small>({kind})</small></h2>"
        f"<h3>Tags</h3>{tags}<h3>Webhooks</h3>{hooks}</section>"
    )


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]], empty: str) -> str:
    if not rows:
        return f"<p>{empty}</p>"
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _calls(hook: Hook) -> str:
    latest = [f"{_time(call.created)} {call.status}" for call in reversed(hook.history[-5:])]
    return ", ".join(latest) or "never called"


def _time(text: str) -> str:
    return text[:19].replace("T", " ") + " UTC"
