"""Connection to the REST API of Kubeflow Pipelines, v2beta1.

The API server is found by its URL, by a context of a kubeconfig file, or from within the cluster. Credentials come from
the environment or a file, never from the command line, which every user of the machine can read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from cluster.engines import EngineError, first_line
from pipeline.config import ConfigError
from pipeline.deployment import AccessSettings

API = "apis/v2beta1"
SECONDS = 30.0
TOKEN, COOKIE = "KUBEFLOW_TOKEN", "KUBEFLOW_COOKIE"
SYSTEM_NAMESPACE = "kubeflow"  # of Kubeflow's own services
IN_CLUSTER = f"http://ml-pipeline.{SYSTEM_NAMESPACE}.svc.cluster.local:8888"
BY_KUBERNETES = f"api/v1/namespaces/{SYSTEM_NAMESPACE}/services/ml-pipeline:http/proxy"


class KubeflowApi:
    """A session with the API server.

    Args:
        host: URL of the API server; may be empty.
        access: kubeconfig context, token and certificates.

    Attributes:
        address: URL of the API server.
        pages: URL of the user interface; empty if it cannot be reached from here.

    Raises:
        ConfigError: the address of the API server is missing or invalid.
        EngineError: a kubeconfig or token file cannot be read.
    """

    def __init__(self, host: str, access: AccessSettings):
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"
        if access.ca_file:
            self._session.verify = access.ca_file
        self.pages = ""
        if host:
            self.address = self.pages = _checked_url(host)
            self._name = f"--host {host}"
        elif access.kube_context:
            self.address = self._use_kubeconfig(access.kube_context)
            self._name = f"context {access.kube_context}"
        elif "KUBERNETES_SERVICE_HOST" in os.environ:
            self.address = self._name = IN_CLUSTER
        else:
            raise ConfigError(
                "--host is missing: expected the URL of Kubeflow Pipelines, such as http://localhost:8080, or "
                "--set deployment.access.kube_context=NAME for a context of kubectl"
            )
        if token := _token(access.token_file):
            self._session.headers["Authorization"] = f"Bearer {token}"
        if cookie := os.environ.get(COOKIE):
            self._session.headers["Cookie"] = cookie

    def call(
        self, method: str, path: str, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Sends a request and returns the JSON object in the response.

        Raises:
            EngineError: the server cannot be reached, or refuses the request.
        """
        url = f"{self.address}/{API}/{path}"
        try:
            response = self._session.request(
                method, url, params=query, json=body, timeout=SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise EngineError(f"{self._name} cannot be reached: {_reason(error)}") from None
        log_in = f"log in with {TOKEN}, {COOKIE} or a token file, see docs/deploy.md"
        if response.is_redirect:
            target = urlsplit(response.headers["Location"]).netloc or "a login page"
            raise EngineError(f"{self._name} redirects to {target}: {log_in}")
        try:
            content = response.json()
        except ValueError:
            content = None
        if not response.ok:
            message = content.get("message") or content.get("error") if isinstance(content, dict) else ""
            detail = f": {first_line(str(message))}" if message else ""
            advice = f": {log_in}" if response.status_code in (401, 403) else ""
            raise EngineError(f"{self._name} returns {response.status_code} {response.reason}{detail}{advice}")
        if not isinstance(content, dict):
            raise self._not_kubeflow()
        return content

    def id_of(self, record: dict[str, Any], key: str) -> str:
        """Returns the ID in a record.

        Raises:
            EngineError: the record has no ID, so it does not come from Kubeflow Pipelines.
        """
        value = record.get(key)
        if not isinstance(value, str) or not value:
            raise self._not_kubeflow()
        return value

    def _not_kubeflow(self) -> EngineError:
        return EngineError(
            f"{self._name} responds, but not as Kubeflow Pipelines, and nothing was started; it may be a login page or "
            "another service. `kubectl port-forward` reaches Kubeflow directly"
        )

    def _use_kubeconfig(self, context: str) -> str:
        """Adds the credentials of a context to the session, and returns the URL through the Kubernetes API server."""
        import kubernetes

        config = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_kube_config(client_configuration=config, context=context)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise EngineError(f"deployment.access.kube_context {context}: {first_line(str(error))}") from None
        if self._session.verify is True:
            self._session.verify = config.ssl_ca_cert or config.verify_ssl
        if config.cert_file:
            self._session.cert = (config.cert_file, config.key_file)
        if authorization := config.get_api_key_with_prefix("authorization"):
            self._session.headers["Authorization"] = authorization
        return f"{config.host.rstrip('/')}/{BY_KUBERNETES}"


def _checked_url(host: str) -> str:
    try:
        parts = urlsplit(host)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return host.rstrip("/")
    except ValueError:  # A port over 65535, or an invalid IPv6 address.
        pass
    raise ConfigError(f"--host {host}: expected the URL of Kubeflow Pipelines, such as http://localhost:8080")


def _token(file: str) -> str:
    """Returns the bearer token from the environment or a file; empty if there is none."""
    if token := os.environ.get(TOKEN):
        return token.strip()
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise EngineError(f"deployment.access.token_file {file}: {reason}") from None


def _reason(error: requests.RequestException) -> str:
    """Returns one line that says why a request failed."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; set deployment.access.ca_file to the authority's certificate"
    if isinstance(error, requests.Timeout):
        return f"no response within {SECONDS:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        arguments = [argument for argument in cause.args if isinstance(argument, BaseException)]
        cause = cause.__cause__ or cause.__context__ or getattr(cause, "reason", None) or next(iter(arguments), None)
    return first_line(str(error))
