"""The cluster for tests is a real one: pods, DNS, volumes, policies, restarts; and it leaves nothing behind."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster import cgroups, clusters
from tests.cluster.conftest import Kubectl, Pod
from tests.cluster.node import Node
from tests.cluster.paths import Site
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.slow]

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"


def connect(host: str, port: int) -> tuple[str, ...]:
    """A command that ends with 0 if a connection is made within two seconds."""
    return ("python3", "-c", CONNECT, host, str(port))


def server(kubectl: Kubectl, pod: Pod) -> None:
    """A Redis and its service, both named `server`."""
    command = ("redis-server", "--protected-mode", "no", "--save", "")
    service = {"selector": {"app": "server"}, "ports": [{"port": 6379}]}
    kubectl.apply(
        pod("server", *command, labels={"app": "server"}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}, "spec": service},
    )
    kubectl("wait", "--for=condition=Ready", "pod/server", "--timeout=60s")


def test_a_pod_succeeds_and_its_log_is_read(kubectl: Kubectl, pod: Pod) -> None:
    kubectl.apply(pod("hello", "python3", "-c", "print('hello')"))
    kubectl.phase("hello", "Succeeded")
    assert kubectl("logs", "hello") == "hello\n"


def test_a_failed_pod_tells_its_exit_code(kubectl: Kubectl, pod: Pod) -> None:
    kubectl.apply(pod("fails", "sh", "-c", "exit 7"))
    kubectl.phase("fails", "Failed")
    path = "{.status.containerStatuses[0].state.terminated.exitCode}"
    assert kubectl("get", "pod", "fails", f"-o=jsonpath={path}") == "7"


def test_a_pod_over_its_memory_is_killed(kubectl: Kubectl, pod: Pod) -> None:
    greedy = pod("greedy", "python3", "-c", "x = bytearray(200_000_000); print(len(x))")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    kubectl.apply(greedy)
    kubectl.phase("greedy", "Failed")
    path = "{.status.containerStatuses[0].state.terminated.reason}"
    assert kubectl("get", "pod", "greedy", f"-o=jsonpath={path}") == "OOMKilled"


def test_dns_knows_a_service_and_answers_at_once_for_the_world(kubectl: Kubectl, pod: Pod) -> None:
    server(kubectl, pod)
    script = "import socket; print(socket.gethostbyname('server'))"
    world = "import socket\ntry: socket.gethostbyname('example.com')\nexcept socket.gaierror as e: print(e.errno)"
    kubectl.apply(pod("asks", "python3", "-c", script), pod("world", "python3", "-c", world))
    kubectl.phase("asks", "Succeeded")
    address = kubectl("get", "service", "server", "-o=jsonpath={.spec.clusterIP}")
    assert kubectl("logs", "asks").strip() == address
    kubectl.phase("world", "Succeeded", 15)
    assert kubectl("logs", "world").strip() == "-2"  # there is no such name


def test_which_pod_has_which_address_is_known_of_this_node_alone(kubectl: Kubectl, pod: Pod, cluster: Node) -> None:
    kubectl.apply(pod("addressed", "sleep", "600"))
    kubectl.phase("addressed", "Running")
    known = "grep -l addressed /var/lib/cni/results/* | wc -l"
    assert int(cluster.namespaces.run("sh", "-c", known)) >= 1
    kept = Path("/var/lib/cni/results")
    assert not [file.name for file in kept.glob("*") if "addressed" in file.read_text()]


def test_a_claim_binds_keeps_what_is_written_and_is_removed(kubectl: Kubectl, pod: Pod, cluster: Node) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
        pod("writes", "sh", "-c", "echo kept > /data/file", volumes=volumes, mounts=mounts),
    )
    kubectl.phase("writes", "Succeeded")
    kubectl.apply(pod("reads", "cat", "/data/file", volumes=volumes, mounts=mounts))
    kubectl.phase("reads", "Succeeded")
    assert kubectl("logs", "reads") == "kept\n"
    folder = cluster.site.folder / "volumes" / kubectl("get", "pvc", "data", "-o=jsonpath={.spec.volumeName}")
    assert folder.is_dir()
    kubectl("delete", "pod/writes", "pod/reads", "pvc/data")
    wait_until(lambda: not folder.exists())


def test_a_policy_denies_from_a_pods_first_packet_on(kubectl: Kubectl, pod: Pod) -> None:
    server(kubectl, pod)
    friends = {"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}]}
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], "ingress": [friends]}
    kubectl.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    )
    time.sleep(0.5)  # the enforcer watches
    kubectl.apply(
        pod("friend", *connect("server", 6379), labels={"friend": "yes"}), pod("stranger", *connect("server", 6379))
    )
    kubectl.phase("friend", "Succeeded")
    kubectl.phase("stranger", "Failed")


def test_a_policy_denies_what_a_pod_asks_of_others(kubectl: Kubectl, pod: Pod, cluster: Node) -> None:
    dns = {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}
    spec = {"podSelector": {"matchLabels": {"jailed": "yes"}}, "policyTypes": ["Egress"], "egress": [dns]}
    kubectl.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    )
    time.sleep(0.5)
    jailed = {"jailed": "yes"}
    kubectl.apply(
        pod("free", *connect("kubernetes.default", 443)),
        pod("jailed", *connect("kubernetes.default", 443), labels=jailed),
        pod("asks-dns", *connect("kube-dns.kube-system", 53), labels=jailed),
    )
    kubectl.phase("free", "Succeeded")
    kubectl.phase("asks-dns", "Succeeded")
    kubectl.phase("jailed", "Failed")


def test_pod_security_refuses_root(kubectl: Kubectl, pod: Pod) -> None:
    root = pod("root", "true")
    root["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        kubectl.apply(root)


@pytest.mark.parametrize("name", ["kube-apiserver", "kubelet", "containerd", "etcd"])
def test_a_killed_component_starts_again_and_pods_run_on(kubectl: Kubectl, pod: Pod, cluster: Node, name: str) -> None:
    kubectl.apply(pod("runs", "sleep", "600"))
    kubectl("wait", "--for=condition=Ready", "pod/runs", "--timeout=60s")
    cluster.stop(name, kill=True)
    assert cluster.dead(*cluster.components) == name
    cluster.up()
    # A kubelet that has just come back reports itself once more before the node is Ready for good.
    until(cluster.healthy, f"no healthy node after {name}", seconds=60)
    kubectl.apply(pod("after", "true"))
    kubectl.phase("after", "Succeeded")
    restarts = "{.status.phase} {.status.containerStatuses[0].restartCount}"
    assert kubectl("get", "pod", "runs", f"-o=jsonpath={restarts}") == "Running 0"


def test_the_host_reaches_pods_and_services(kubectl: Kubectl, pod: Pod) -> None:
    server(kubectl, pod)
    for kind, path in (("service", "{.spec.clusterIP}"), ("pod", "{.status.podIP}")):
        subprocess.run([*connect(kubectl("get", kind, "server", f"-o=jsonpath={path}"), 6379)], check=True)


@pytest.mark.usefixtures("our_node")
def test_a_second_cluster_vanishes_without_a_trace_and_heals_before() -> None:
    node = clusters.create("pytest-second")
    assert isinstance(node, Node)
    try:
        node.up()
        spaces = namespaces(node)
        assert len(traces(node.site, spaces)) == len(TRACES)
        node.namespaces.destroy()  # as when the machine starts again: no process, no mount, no network
        assert not traces(node.site, spaces)
        assert not node.healthy()
        node.up()
        assert node.healthy()
        spaces = namespaces(node)
    finally:
        node.down()
    assert not traces(node.site, spaces)
    assert not node.site.folder.exists()


@pytest.mark.usefixtures("our_node")
def test_an_up_that_fails_ends_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    node = clusters.create("pytest-fails")
    assert isinstance(node, Node)
    spaces: set[str] = set()

    def fail(_: Node) -> None:
        spaces.update(namespaces(node))
        raise SystemExit("kubectl apply: no")

    monkeypatch.setattr(Node, "_apply", fail)
    try:
        with pytest.raises(SystemExit, match="kubectl apply: no"):
            node.up()
        assert spaces
        assert not traces(node.site, spaces)
    finally:
        node.down()


TRACES = ("processes", "link", "routes", "groups")


def namespaces(node: Node) -> set[str]:
    """The names of the node's process and network namespaces."""
    assert node.namespaces.init
    return {str(Path(f"/proc/{node.namespaces.init.pid}/ns/{kind}").readlink()) for kind in ("pid", "net")}


def traces(site: Site, spaces: set[str]) -> dict[str, list[str]]:
    """What there is of a cluster on the machine: its mounts and iptables rules may not be seen here at all."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def inside(process: Path) -> bool:
        try:
            return any(str((process / "ns" / kind).readlink()) in spaces for kind in ("pid", "net"))
        except OSError:  # it has ended
            return False

    found = {
        "processes": [process.name for process in Path("/proc").glob("[0-9]*") if inside(process)],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/run/{site.name}" in line],
        "link": [line for line in lines("ip", "-oneline", "link") if f" {site.link}@" in line],
        "routes": [line for line in lines("ip", "route") if site.node_ip in line or site.link in line],
        "rules": [line for line in lines("iptables-save") if site.pods in line or site.services in line],
        "groups": [str(top / site.cgroup) for top in cgroups.hierarchies() if (top / site.cgroup).exists()],
    }
    return {name: rows for name, rows in found.items() if rows}


def wait_until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
