"""The chart's objects under another name, and what is added to the operator's pod; no cluster is asked."""

from typing import Any

import pytest

from support.kind.chart import of_kind, rendered
from support.kind.cluster import CHART, OPERATOR_NAMESPACE, call

pytestmark = pytest.mark.cluster
EVERYTHING: dict[str, Any] = {
    "watchNamespaces": ["team"],
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "crds": {"enabled": False},
}


def test_every_object_is_named_after_fullname_override() -> None:
    documents = rendered(fullnameOverride="photos", **EVERYTHING)
    assert len(documents) > 20
    assert {document["metadata"]["name"].partition("-")[0] for document in documents} == {"photos"}
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:photos-operator"
    assert account in str(of_kind(documents, "ValidatingAdmissionPolicy"))
    (deployment,) = of_kind(documents, "Deployment").values()
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] in {name for _, name in of_kind(documents, "ServiceAccount")}
    assert f"--lease={OPERATOR_NAMESPACE}/photos-operator" in pod["containers"][0]["args"]


def test_without_it_names_are_the_releases() -> None:
    assert {document["metadata"]["name"].partition("-")[0] for document in rendered(**EVERYTHING)} == {"dueby"}


def test_labels_and_variables_are_added_to_the_pod_and_change_none_of_the_charts() -> None:
    variable = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    labels = {"team": "vision", "app.kubernetes.io/name": "other"}
    (deployment,) = of_kind(rendered(podLabels=labels, extraEnv=[variable]), "Deployment").values()
    template = deployment["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "vision"
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "dueby"
    assert variable in template["spec"]["containers"][0]["env"]
    assert {found["name"] for found in template["spec"]["containers"][0]["env"]} == {"POD_UID", "HTTPS_PROXY"}


@pytest.mark.prometheus
def test_prometheus_takes_the_alerts_and_the_rule_has_them_as_they_are() -> None:
    assert "SUCCESS" in call("promtool", "check", "rules", str(CHART / "files" / "alerts.yaml"))
    (rule,) = of_kind(rendered(prometheusRule={"enabled": True}), "PrometheusRule").values()
    (group,) = rule["spec"]["groups"]
    assert "{{ $labels.inferencejob }}" in group["rules"][0]["annotations"]["summary"]
