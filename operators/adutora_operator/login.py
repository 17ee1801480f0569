"""Who the operator is: its service account in a cluster, else the kubeconfig of whoever starts it."""

import kopf
import yaml

from adutora.errors import ConfigError


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Return where the API server is and a fresh token or certificate. Raises ConfigError where nothing says so."""
    hint = "run in a pod with a service account, or set KUBECONFIG"
    try:
        info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except FileNotFoundError as error:
        raise ConfigError(f"nothing says where the API server is: there is no {error.filename}", hint=hint) from error
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, kopf.LoginError) as error:
        raise ConfigError(f"what says where the API server is cannot be read: {error!r}", hint=hint) from error
    if info is None:
        raise ConfigError("nothing says where the API server is", hint=hint)
    return info
