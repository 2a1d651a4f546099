"""The page at ``/`` of the stand-in cluster: what is deployed, for a person to see. No secrets."""

from __future__ import annotations

from html import escape

from codestream.sandbox.kubernetes_pods import is_ready, waiting_reason
from codestream.sandbox.kubernetes_resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICES, Body
from codestream.sandbox.kubernetes_store import Store

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>Stand-in cluster</title>
<style>
:root {{ color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }}
body {{ max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0; }}
th, td {{ text-align: left; padding: .4rem .6rem; vertical-align: top;
          border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }}
td {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>Stand-in cluster</h1>
<p>A local stand-in for a Kubernetes API server. Namespaces: {namespaces}. Services: {services}.</p>
<table>
<caption>Deployments</caption>
<thead><tr><th scope="col">Deployment</th><th scope="col">Image</th><th scope="col">Ready</th>
<th scope="col">Pods</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def cluster_page(store: Store) -> str:
    """The page as HTML."""
    with store.lock:
        deployments, pods = store.every(DEPLOYMENTS), store.every(PODS)
        namespaces, services = store.every(NAMESPACES), store.every(SERVICES)
    rows = [_row(deployment, pods) for deployment in deployments]
    return PAGE.format(
        namespaces=_names(namespaces),
        services=_names(services),
        rows="\n".join(rows) or '<tr><td colspan="4">Nothing is deployed yet.</td></tr>',
    )


def _row(deployment: Body, pods: list[Body]) -> str:
    meta, spec = deployment["metadata"], deployment["spec"]
    images = ", ".join(item["image"] for item in spec["template"]["spec"]["containers"])
    wanted = spec["selector"]["matchLabels"].items()
    own = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == meta["namespace"]
        and wanted <= (pod["metadata"].get("labels") or {}).items()
    ]
    ready = deployment.get("status", {}).get("readyReplicas", 0)
    return (
        f"<tr><th scope='row'>{escape(meta['namespace'])}/{escape(meta['name'])}</th>"
        f"<td><code>{escape(images)}</code></td><td>{ready} of {spec['replicas']}</td>"
        f"<td>{'<br>'.join(map(_pod, own)) or 'none'}</td></tr>"
    )


def _pod(pod: Body) -> str:
    reason, _ = waiting_reason(pod)
    state = "Ready" if is_ready(pod) else reason or pod.get("status", {}).get("phase", "Pending")
    return f"{escape(pod['metadata']['name'])} {escape(state)}"


def _names(bodies: list[Body]) -> str:
    return escape(", ".join(body["metadata"]["name"] for body in bodies)) or "none"
