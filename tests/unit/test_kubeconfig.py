"""A pasted kubeconfig: what is read of it, what is refused by its name, and hostile ones."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from endpoints.kubeconfig import ClusterLogin, KubeconfigError, parse_kubeconfig

CLUSTER = {"server": "https://10.0.0.1:6443", "certificate-authority-data": "Y2E="}


def kubeconfig(
    *,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    current: str = "dev",
    **top: Any,
) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "clusters": [{"name": "c", "cluster": {**CLUSTER, **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
    }
    return yaml.safe_dump({**document, **top})


def login(text: str, context: str = "") -> ClusterLogin:
    return parse_kubeconfig(text).login(context)


def test_a_token_and_its_cluster_are_read() -> None:
    found = login(kubeconfig(context={"namespace": "shop"}))

    assert found == ClusterLogin(
        server="https://10.0.0.1:6443", ca_data="Y2E=", namespace="shop", token="t0ken"
    )
    assert found.auth_type == "token"


@pytest.mark.parametrize(
    ("user", "auth_type"),
    [
        ({"username": "robot", "password": "pass"}, "basicAuth"),
        ({"client-certificate-data": "Yw==", "client-key-data": "aw=="}, "certificate"),
        ({"token": "t", "username": "robot", "password": "pass"}, "token"),
    ],
)
def test_each_way_to_sign_in_is_recognised(user: dict[str, Any], auth_type: str) -> None:
    assert login(kubeconfig(user=user)).auth_type == auth_type


def test_the_trust_settings_are_read() -> None:
    found = login(kubeconfig(cluster={"tls-server-name": "kube", "insecure-skip-tls-verify": True}))

    assert (found.tls_server_name, found.skips_verification) == ("kube", True)


def test_json_is_read_as_well_and_a_number_may_be_a_password() -> None:
    text = (
        '{"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],'
        ' "clusters": [{"name": "c", "cluster": {"server": "https://k"}}],'
        ' "users": [{"name": "u", "user": {"username": "a", "password": 12345}}]}'
    )

    assert login(text).password == "12345"


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("user", "exec"),
        ("user", "auth-provider"),
        ("user", "tokenFile"),
        ("user", "client-certificate"),
        ("user", "client-key"),
        ("user", "as"),
        ("user", "as-groups"),
        ("cluster", "certificate-authority"),
    ],
)
def test_what_would_run_read_or_pretend_is_refused_by_name(part: str, key: str) -> None:
    value: Any = {"command": "aws"} if key in ("exec", "auth-provider") else "/etc/passwd"
    settings: Any = {key: value} if part == "cluster" else {"token": "t", key: value}

    with pytest.raises(KubeconfigError, match=f"“{key}”") as refused:
        login(kubeconfig(**dict.fromkeys([part], settings)))

    assert "/etc/passwd" not in refused.value.user_message
    assert len(refused.value.user_message) > 50


def test_another_context_of_the_same_file_may_hold_what_is_refused() -> None:
    text = kubeconfig(
        users=[
            {"name": "u", "user": {"token": "t"}},
            {"name": "other", "user": {"exec": {"command": "aws"}}},
        ]
    )

    assert login(text).token == "t"


def two_contexts(**top: Any) -> str:
    contexts = [
        {"name": name, "context": {"cluster": "c", "user": "u", "namespace": name}}
        for name in ("dev", "prod")
    ]
    return kubeconfig(contexts=contexts, **top)


def test_of_several_contexts_the_current_one_counts_or_the_chosen() -> None:
    text = two_contexts()

    assert parse_kubeconfig(text).contexts == ("dev", "prod")
    assert login(text).namespace == "dev"
    assert login(text, "prod").namespace == "prod"


def test_without_a_current_context_one_has_to_be_chosen() -> None:
    text = two_contexts(current="")

    with pytest.raises(KubeconfigError, match="choose one"):
        login(text)
    assert login(text, "prod").namespace == "prod"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no kubeconfig"),
        ("just words", "no kubeconfig"),
        ("- a\n- b", "no kubeconfig"),
        ("apiVersion: v1\nkind: Pod", "no kubeconfig"),
        ("a: b\n---\nc: d", "no kubeconfig"),
        ("clusters: []", "no context"),
        ("clusters: [", "Line 1"),
        ("!!python/object/apply:os.system ['true']", "Line 1"),
        (kubeconfig(current="gone"), "no entry “gone”"),
        (kubeconfig(contexts=[{"name": "dev"}]), "no entry “dev”"),
        (kubeconfig(users=[]), "no entry “u”"),
        (kubeconfig(users="u"), "no entry “u”"),
        (kubeconfig(clusters=[{"name": "c", "cluster": ["server"]}]), "no entry “c”"),
        (kubeconfig(cluster={"server": ""}), "no server"),
        (kubeconfig(cluster={"server": ["https://k"]}), "“server”"),
        (kubeconfig(user={"token": {"a": "b"}}), "“token”"),
        (kubeconfig(user={"token": True}), "“token”"),
        (kubeconfig(user={}), "neither a token"),
    ],
)
def test_what_cannot_be_used_says_why(text: str, said: str) -> None:
    with pytest.raises(KubeconfigError, match=said):
        login(text)


def test_a_bomb_of_aliases_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    with pytest.raises(KubeconfigError, match="aliases"):
        parse_kubeconfig("\n".join([*lines, "clusters: []"]))


@pytest.mark.parametrize("text", ["x" * 300_000, "[" * 10_000, "{a: " * 1_000])
def test_what_is_huge_or_deep_is_refused(text: str) -> None:
    with pytest.raises(KubeconfigError):
        parse_kubeconfig(text)


def test_a_value_does_not_show_in_what_is_said() -> None:
    with pytest.raises(KubeconfigError) as refused:
        login(kubeconfig(user={"token": ["s3cret-token"]}))

    assert "s3cret" not in refused.value.user_message
    assert "s3cret" not in repr(parse_kubeconfig(kubeconfig(user={"token": "s3cret"})))


def test_a_proxy_and_its_account_are_read_apart() -> None:
    found = login(kubeconfig(cluster={"proxy-url": "http://jo:p%40ss@proxy.example:3128/"}))

    assert found.proxy_url == "http://proxy.example:3128"
    assert (found.proxy_username, found.proxy_password) == ("jo", "p@ss")
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("url", ["socks5://proxy:1080", "https://jo:secret@proxy", "proxy:3128"])
def test_another_kind_of_proxy_is_refused_without_its_account(url: str) -> None:
    with pytest.raises(KubeconfigError, match="“proxy-url”") as refused:
        login(kubeconfig(cluster={"proxy-url": url}))

    assert "secret" not in refused.value.user_message
