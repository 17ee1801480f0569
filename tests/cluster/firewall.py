"""What is shown to the enforcer of NetworkPolicies: the first packet of each connection of a pod, address translation done."""

from __future__ import annotations

from tests.cluster.namespaces import Namespaces

QUEUE = "100"


def apply(namespaces: Namespaces) -> None:
    """Set the rules, once for the namespace's life. Where the enforcer does not run, such packets are dropped."""
    pods = namespaces.site.pods
    first = f"-m conntrack --ctstate NEW -j NFQUEUE --queue-num {QUEUE}"
    rules = [
        # the node itself (the kubelet's probes) may reach every pod, as Kubernetes says; the host is the world outside
        "-t mangle -A POSTROUTING -m addrtype --src-type LOCAL -j RETURN",
        f"-t mangle -A POSTROUTING -s {pods} {first}",
        f"-t mangle -A POSTROUTING -d {pods} {first}",
        f"-t mangle -A INPUT -s {pods} {first}",
    ]
    namespaces.run("sh", "-ec", "\n".join(f"iptables -w {rule}" for rule in rules))
