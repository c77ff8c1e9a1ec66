"""The operator's own settings, as its Deployment has them: the values of the chart that shape plans."""

import argparse
from typing import NoReturn

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec
from dueby_operator import paths
from dueby_operator.kube.client import parse_list
from dueby_operator.options import add_options, settings_of
from dueby_operator.preview.reading import UsersKube
from dueby_operator.settings import OperatorSettings

_DEPLOYMENTS = paths.custom_path("apps/v1", "deployments")
# How the chart labels the Deployment, and what it calls the operator's container.
_LABEL, _CONTAINER = "app.kubernetes.io/name=dueby", "operator"


class _Started(LenientSpec, frozen=True, kw_only=True):
    """A container, and what it is started with."""

    name: str = ""
    args: tuple[str, ...] = ()


class _StartedPod(LenientSpec, frozen=True, kw_only=True):
    containers: tuple[_Started, ...] = ()


class _StartedTemplate(LenientSpec, frozen=True, kw_only=True):
    spec: _StartedPod = _StartedPod()


class _DeploymentSpec(LenientSpec, frozen=True, kw_only=True):
    template: _StartedTemplate = _StartedTemplate()


class _OperatorDeployment(LenientSpec, frozen=True, kw_only=True):
    spec: _DeploymentSpec = _DeploymentSpec()


class _Arguments(argparse.ArgumentParser):
    """Raises what is wrong with arguments that nobody has typed here."""

    def error(self, message: str) -> NoReturn:
        raise Invalid("the operator's Deployment", message)


async def read_settings(kube: UsersKube, namespace: str) -> OperatorSettings | None:
    """Return the settings of the operator that watches the namespace; None if none is found, or may be read.

    Raise Invalid if its arguments are none that this version knows.
    """
    deployments = await parse_list(kube, _DEPLOYMENTS, _OperatorDeployment, labelSelector=_LABEL)
    pods = [deployment.spec.template.spec for deployment in deployments]
    for container in (container for pod in pods for container in pod.containers if container.name == _CONTAINER):
        settings = _settings_of(container)
        if not settings.watch_namespaces or namespace in settings.watch_namespaces:
            return settings
    return None


def _settings_of(container: _Started) -> OperatorSettings:
    parser = _Arguments(argument_default=argparse.SUPPRESS, add_help=False)
    add_options(parser)
    # Another version's operator may have options that this one doesn't know.
    options, _ = parser.parse_known_args(container.args)
    return settings_of(options)
