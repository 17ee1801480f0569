"""Keys, certificates and kubeconfigs of a cluster, by the openssl program. Made once; `up` keeps what is there."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

from tests.cluster.paths import Site

DAYS = "3650"
# user: (common name, organization). Kubernetes takes them as user and group.
CLIENTS = {
    "admin": ("adutora-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "netpol": ("netpol", ""),
    "hostpath": ("hostpath", ""),
    "apiserver-to-kubelet": ("apiserver-to-kubelet", "system:masters"),
}


def write(site: Site) -> None:
    """Fill `pki/` and `kubeconfigs/` of the run folder, and the kubeconfig for the host."""
    pki = site.folder / "pki"
    if (pki / "complete").exists():
        return
    for folder in (pki, site.folder / "kubeconfigs"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    _openssl("genrsa", "-out", pki / "service-accounts.key", "2048")
    _authority(pki)
    _signed(pki, "apiserver", "kube-apiserver", usage="serverAuth", names=_api_names(site))
    _signed(pki, "kubelet", f"system:node:{site.name}", "system:nodes", "serverAuth,clientAuth", _node_names(site))
    for user, (common_name, organization) in CLIENTS.items():
        _signed(pki, user, common_name, organization)
    for user in ("kubelet", *CLIENTS):
        _kubeconfig(site, user)
    site.kubeconfig.write_bytes((site.folder / "kubeconfigs" / "admin").read_bytes())
    site.kubeconfig.chmod(0o600)
    (pki / "complete").touch()


def _api_names(site: Site) -> str:
    names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ]
    addresses = [site.node_ip, site.service(1), "127.0.0.1"]
    return ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])


def _node_names(site: Site) -> str:
    return f"DNS:{site.name},IP:{site.node_ip}"


def _authority(pki: Path) -> None:
    _key(pki / "ca.key")
    _openssl(
        "req", "-x509", "-new", "-key", pki / "ca.key", "-subj", "/CN=adutora-tests", "-days", DAYS, "-out", pki / "ca.crt",
        "-addext", "keyUsage=critical,keyCertSign,digitalSignature",
    )  # fmt: skip


def _signed(
    pki: Path, name: str, common_name: str, organization: str = "", usage: str = "clientAuth", names: str = ""
) -> None:
    """A key and a certificate signed by the authority. `names`: subject alternative names as openssl writes them."""
    _key(pki / f"{name}.key")
    subject = f"/O={organization}/CN={common_name}" if organization else f"/CN={common_name}"
    request, extensions = pki / f"{name}.csr", pki / f"{name}.ext"
    extensions.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
    _openssl("req", "-new", "-key", pki / f"{name}.key", "-subj", subject, "-out", request)
    _openssl(
        "x509", "-req", "-in", request, "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-CAcreateserial",
        "-days", DAYS, "-extfile", extensions, "-out", pki / f"{name}.crt",
    )  # fmt: skip
    request.unlink()
    extensions.unlink()


def _kubeconfig(site: Site, user: str) -> None:
    pki, file = site.folder / "pki", site.folder / "kubeconfigs" / user

    def packed(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": site.server, "certificate-authority-data": packed("ca.crt")}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": packed(f"{user}.crt"),
                    "client-key-data": packed(f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": f"adutora-{site.name}", "context": {"cluster": "c", "user": user}}],
        "current-context": f"adutora-{site.name}",
    }
    file.write_text(json.dumps(content, indent=1))  # JSON is YAML
    file.chmod(0o600)


def _key(file: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)
    file.chmod(0o600)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"openssl {arguments[0]}: {done.stderr.strip()}")
