"""Starts etcd, the API server, the controllers and the scheduler, and plays the nodes."""

from __future__ import annotations

import base64
import os
import pwd
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.cluster.certificates import Authority, Identity, signing_key
from tests.cluster.kubeconfig import read_kubeconfig, write_kubeconfig
from tests.cluster.nodes import Api, Nodes

START_SECONDS = 90.0
STOP_SECONDS = 20.0
RESTART_SECONDS = 1.0
NO_PORTS = ("--port=0", "--secure-port=0")
# Without these the controllers hold themselves back, and tests wait for them.
UNLIMITED = ("--kube-api-qps=300", "--kube-api-burst=600")
MASTERS = "system:masters"
READERS = "readers"
GROUPS = {"admin": MASTERS, "reader": READERS, "nobody": "nobodies"}


def cache() -> Path:
    """Where ``deploy/build-cluster`` keeps what it has built; also without HOME."""
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path(home) / ".cache")
    return Path(os.environ.get("CLUSTER_CACHE") or default / "codestream" / "cluster")


def binaries() -> Path:
    """Where the programs are."""
    return cache() / "bin"


@contextmanager
def running_cluster(folder: Path) -> Iterator[Path]:
    """A whole cluster while the block runs; gives the path of its kubeconfig.

    Its contexts: ``admin``, ``reader`` and ``nobody`` (without rights) by token, and
    ``certificate`` (an administrator).
    """
    etcd, peer, api, kubelet = _free_ports(4)
    authority = Authority()
    server = authority.server()
    files = _write_files(folder, authority, server)
    kubeconfig = _write_kubeconfig(folder, authority, f"https://127.0.0.1:{api}")
    controllers = [f"--kubeconfig={kubeconfig}", "--leader-elect=false", *NO_PORTS, *UNLIMITED]
    with ExitStack() as stack:
        stack.enter_context(_program(folder, "etcd", *_etcd_options(folder, etcd, peer)))
        options = _api_server_options(files, etcd=etcd, api=api)
        stack.enter_context(_program(folder, "kube-apiserver", *options))
        access = read_kubeconfig(kubeconfig)["admin"]
        client = Api(access.url, access.token, authority.certificate)
        _wait_until_ready(client, folder)
        stack.enter_context(
            _program(
                folder,
                "kube-controller-manager",
                *controllers,
                f"--service-account-private-key-file={files['accounts']}",
                f"--root-ca-file={files['ca']}",
                # The nodes here are played and send no heartbeats.
                "--node-monitor-grace-period=8760h",
            )
        )
        stack.enter_context(_program(folder, "kube-scheduler", *controllers))
        _let_readers_read(client)
        stack.enter_context(Nodes(client, server, port=kubelet))
        yield kubeconfig


def _etcd_options(folder: Path, port: int, peer: int) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
    ]


def _api_server_options(files: dict[str, Path], *, etcd: int, api: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--secure-port={api}",
        "--bind-address=127.0.0.1",
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={files['certificate']}",
        f"--tls-private-key-file={files['key']}",
        f"--client-ca-file={files['ca']}",
        f"--token-auth-file={files['tokens']}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={files['accounts']}",
        f"--service-account-key-file={files['accounts']}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _write_files(folder: Path, authority: Authority, server: Identity) -> dict[str, Path]:
    tokens = {name: secrets.token_hex(16) for name in GROUPS}
    lines = [f'{token},{name},{name},"{GROUPS[name]}"' for name, token in tokens.items()]
    contents = {
        "ca": authority.certificate,
        "certificate": server.certificate,
        "key": server.key,
        "accounts": signing_key(),
        "tokens": "\n".join(lines).encode(),
    }
    files = {name: folder / name for name in contents}
    for name, file in files.items():
        file.touch(mode=0o600)
        file.write_bytes(contents[name])
    return files


def _write_kubeconfig(folder: Path, authority: Authority, url: str) -> Path:
    lines = (folder / "tokens").read_text().splitlines()
    users = {name: {"token": token} for token, name, *_ in (line.split(",") for line in lines)}
    person = authority.person("certificate", MASTERS)
    users["certificate"] = {
        "client-certificate-data": _base64(person.certificate),
        "client-key-data": _base64(person.key),
    }
    file = folder / "kubeconfig"
    write_kubeconfig(file, url, _base64(authority.certificate), users)
    return file


def _wait_until_ready(client: Api, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not client.is_ready():
        if time.monotonic() > deadline:
            raise RuntimeError((folder / "kube-apiserver.log").read_text()[-4000:])
        time.sleep(0.2)


def _let_readers_read(client: Api) -> None:
    client.call(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "readers"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": READERS}
            ],
        },
    )


@contextmanager
def _program(folder: Path, name: str, *options: str) -> Iterator[None]:
    """Run a program, and start it anew when it was killed, as a kubelet does.

    Its process number is in ``NAME.pid``, its output in ``NAME.log``.
    """
    command = [str(binaries() / name), *options]
    with (folder / f"{name}.log").open("w") as log:
        running = [_started(folder, name, command, log)]
        stopping = threading.Event()

        def watch() -> None:
            while not stopping.is_set():
                running[0].wait()
                if not stopping.wait(RESTART_SECONDS):
                    running[0] = _started(folder, name, command, log)

        watcher = threading.Thread(target=watch, name=name)
        watcher.start()
        try:
            yield
        finally:
            stopping.set()
            _end(running[0])
            watcher.join()


def _started(folder: Path, name: str, command: list[str], log: IO[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    (folder / f"{name}.pid").write_text(str(process.pid))
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
