"""The node's programs and their command lines, in the order of their start."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.paths import INSIDE, Site

PKI, CONFIG, KUBECONFIGS = (INSIDE / folder for folder in ("pki", "config", "kubeconfigs"))


def etcd(site: Site) -> list[str]:
    """The store. It does not wait for the disk: a killed process loses nothing, and tests do not outlive the machine."""
    return [f"--data-dir={INSIDE}/etcd", f"--name={site.name}", "--unsafe-no-fsync", "--log-level=warn"]


def containerd(_: Site) -> list[str]:
    """The container runtime of the system's package, with our configuration, folders and socket."""
    return [f"--config={CONFIG}/containerd.toml"]


def apiserver(site: Site) -> list[str]:
    """The API server: RBAC and Node authorizers, Kubernetes' own choice of admission plugins, and NodeRestriction."""
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={site.node_ip}",
        f"--service-cluster-ip-range={site.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        f"--kubelet-client-certificate={PKI}/apiserver-to-kubelet.crt",
        f"--kubelet-client-key={PKI}/apiserver-to-kubelet.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/service-accounts.key",
        f"--service-account-signing-key-file={PKI}/service-accounts.key",
        "--endpoint-reconciler-type=master-count",  # one server: its service needs no lease that outlives a restart
        "--profiling=false",
    ]


def controller_manager(site: Site) -> list[str]:
    """Every controller, each with its own service account."""
    return [
        f"--kubeconfig={KUBECONFIGS}/kube-controller-manager",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={PKI}/service-accounts.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        f"--service-cluster-ip-range={site.services}",
        "--leader-elect=false",
        "--kube-api-qps=500",  # of 20 a second the start of its forty controllers takes 4 s
        "--kube-api-burst=1000",
        "--profiling=false",
    ]


def scheduler(_: Site) -> list[str]:
    """The scheduler; alone, so it need not be elected."""
    return [f"--kubeconfig={KUBECONFIGS}/kube-scheduler", "--leader-elect=false", "--profiling=false"]


def kubelet(site: Site) -> list[str]:
    """The kubelet; what has a place in its configuration is there."""
    return [
        f"--config={CONFIG}/kubelet.yaml",
        f"--kubeconfig={KUBECONFIGS}/kubelet",
        f"--root-dir={INSIDE}/kubelet",
        f"--hostname-override={site.name}",
        f"--node-ip={site.node_ip}",
    ]


def proxy(site: Site) -> list[str]:
    """Services' addresses, by iptables."""
    return [f"--config={CONFIG}/kube-proxy.yaml", f"--hostname-override={site.name}"]


def netpol(site: Site) -> list[str]:
    """NetworkPolicies."""
    return [f"-kubeconfig={KUBECONFIGS}/netpol", f"-node={site.name}"]


def hostpath(site: Site) -> list[str]:
    """Volumes of the default StorageClass."""
    return [f"-kubeconfig={KUBECONFIGS}/hostpath", f"-node={site.name}", f"-folder={INSIDE}/volumes"]


COMPONENTS: dict[str, Callable[[Site], list[str]]] = {
    "etcd": etcd,
    "containerd": containerd,
    "kube-apiserver": apiserver,
    "kube-controller-manager": controller_manager,
    "kube-scheduler": scheduler,
    "kubelet": kubelet,
    "kube-proxy": proxy,
    "netpol": netpol,
    "hostpath": hostpath,
}
