"""Who the operator is: its service account in a cluster, else the kubeconfig of whoever starts it."""

import kopf

from adutora.errors import ConfigError


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Return where the API server is and a fresh token or certificate. Raises ConfigError where nothing says so."""
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        hint = "run in a pod with a service account, or set KUBECONFIG"
        raise ConfigError("nothing says where the API server is", hint=hint)
    return info
