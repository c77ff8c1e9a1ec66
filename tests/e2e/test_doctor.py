"""`dueby doctor` beside a real cluster and its S3 server: each of its lines about them, for whoever asks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from dueby.cli.main import main
from dueby_worker.storage.stores import open_store
from support.kind.cluster import OPERATOR_NAMESPACE, Cluster
from support.kind.s3_in_cluster import s3_from_here, start_s3

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# The lines of a user who has one, between the verdict and what to do.
KINDS = "ok cluster: it has inferencejobs.dueby.dev and gpuprofiles.dueby.dev"
HIDDEN = (
    "absent operator: can't see the operator: deployments.apps is forbidden: "
    '{user} cannot list resource "deployments" in API group "apps" at the cluster scope -> ask whoever runs the '
    "cluster; jobs need no right to see it"
)
ROLES = "-> ask for Kubernetes' role edit in that namespace: docs/cluster.md"
MAY = "ok right to {verb}: you may {verb} InferenceJobs in doctor"
MAY_NOT = f"fails right to {{verb}}: you may not {{verb}} InferenceJobs in doctor {ROLES}"
NO_CREATION = (
    "fails right to create: can't create a job: "
    'inferencejobs.dueby.dev is forbidden: {user} cannot create resource "inferencejobs" in API group "dueby.dev" '
    f'in the namespace "doctor" {ROLES}'
)
# What follows the name, which the API server makes up.
NO_PODS = (
    "is forbidden: ValidatingAdmissionPolicy 'dueby-inferencejobs' with binding 'dueby-inferencejobs' denied request: "
    "an InferenceJob makes pods, and system:serviceaccount:doctor:{name} may not create pods in the namespace doctor: "
    "ask its administrator for that right (verb create, resource pods), or somebody who has it to apply the job "
    f"{ROLES}"
)
CREDENTIALS = "-> check the name and the credentials; docs/manifest.md says where they are looked for"

Doctor = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def doctor(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Run the command for this kubeconfig; return its exit code, and the lines about the cluster and the URIs."""
    monkeypatch.setenv("DUEBY_PROFILES", str(tmp_path / "profiles"))

    def run(*words: str, kubeconfig: Path = cluster.kubeconfig) -> tuple[int, list[str]]:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        code = main(["doctor", *words])
        lines = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
        subjects = ("cluster:", "operator:", "right", "s3:")
        return code, [line for line in lines if line.split(" ", 2)[1].startswith(subjects)]

    return run


def sign_in(cluster: Cluster, name: str, folder: Path) -> Path:
    """Make a user of the cluster, a service account, and return the kubeconfig of who signs in as it."""
    cluster.kubectl("create", "serviceaccount", name)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", name).strip()}
    path = folder / name
    path.write_text(yaml.safe_dump(config))
    return path


def test_who_runs_the_cluster_sees_all_of_it(cluster: Cluster, doctor: Doctor) -> None:
    mine = [MAY.format(verb=verb) for verb in ("create", "get", "delete")]
    assert doctor("-n", "doctor") == (0, [KINDS, f"ok operator: it is ready in {OPERATOR_NAMESPACE}", *mine])
    code, (*_, creation, _, _) = doctor("-n", "nowhere")
    assert (code, creation) == (
        1,
        'fails right to create: can\'t create a job: namespaces "nowhere" not found -> name another namespace with -n',
    )
    assert cluster.kubectl("get", "infj").strip() == ""


@pytest.mark.parametrize(
    ("name", "role", "lines"),
    [
        pytest.param("ann", "edit", [MAY, MAY, MAY], id="who may edit"),
        pytest.param("bob", "view", [NO_CREATION, MAY, MAY_NOT], id="who may view"),
        pytest.param("eve", None, [NO_CREATION, MAY_NOT, MAY_NOT], id="who may nothing"),
    ],
)
def test_a_tenant_sees_their_rights(
    cluster: Cluster, doctor: Doctor, tmp_path: Path, name: str, role: str | None, lines: list[str]
) -> None:
    kubeconfig = sign_in(cluster, name, tmp_path)
    if role is not None:
        cluster.kubectl(
            "create", "rolebinding", name, f"--clusterrole={role}", f"--serviceaccount={cluster.namespace}:{name}"
        )
    user = f'User "system:serviceaccount:doctor:{name}"'
    rights = [line.format(verb=verb, user=user) for line, verb in zip(lines, ("create", "get", "delete"))]
    expected = (int(lines != [MAY] * 3), [KINDS, HIDDEN.format(user=user), *rights])
    assert doctor("-n", "doctor", kubeconfig=kubeconfig) == expected


def test_the_charts_policy_is_asked_too(cluster: Cluster, doctor: Doctor, tmp_path: Path) -> None:
    """Who may create jobs and no pods is refused by it."""
    kubeconfig = sign_in(cluster, "jobs-only", tmp_path)
    rights = ("--verb=create,get,delete", "--resource=inferencejobs.dueby.dev")
    cluster.kubectl("create", "role", "jobs-only", *rights)
    cluster.kubectl("create", "rolebinding", "jobs-only", "--role=jobs-only", "--serviceaccount=doctor:jobs-only")
    code, (_, _, creation, *others) = doctor("-n", "doctor", kubeconfig=kubeconfig)
    assert (code, others) == (1, [MAY.format(verb="get"), MAY.format(verb="delete")])
    assert creation.endswith(NO_PODS.format(name="jobs-only"))


def test_who_is_not_signed_in_is_told_so(cluster: Cluster, doctor: Doctor, tmp_path: Path) -> None:
    kubeconfig = sign_in(cluster, "gone", tmp_path)
    cluster.kubectl("delete", "serviceaccount", "gone")
    assert doctor("-n", "doctor", kubeconfig=kubeconfig) == (
        0,
        [
            "absent cluster: can't reach a cluster: the cluster doesn't accept your credentials, which may have "
            "expired -> sign in, or choose one with kubectl config use-context"
        ],
    )


@pytest.fixture
def s3(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a folder with one photo, in the cluster's S3 server, reached from here."""
    (cluster.shared / "s3" / "doctor").mkdir(parents=True)
    start_s3(cluster, nodes=cluster.nodes, nodeSelector=cluster.node_selector)
    with s3_from_here(cluster) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        open_store("s3://doctor/photos").create("a.jpg", b"a photo")
        yield "s3://doctor/photos"
    cluster.kubectl("delete", "pod/s3", "service/s3", "--wait=false")


def test_places_in_s3_are_seen_with_the_credentials_of_who_asks(
    doctor: Doctor, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsure = "whether results can be written shows only when they are"
    listed = f"can be listed, with 1 name in it; {unsure}"
    code, lines = doctor(s3, f"{s3}/*.jpg", f"{s3}/a.jpg", "s3://doctor/rows", "s3://elsewhere/rows")
    assert (code, lines[:5]) == (
        1,
        [
            f"ok {s3}: {listed}",
            f"ok {s3}/*.jpg: {listed}",
            f"ok {s3}/a.jpg: can be read",
            f"ok s3://doctor/rows: the store answers; nothing is there yet; {unsure}",
            "fails s3://elsewhere/rows: s3://elsewhere/rows can't be listed: The specified bucket does not exist "
            f"{CREDENTIALS}",
        ],
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    code, (line, *_) = doctor(s3)
    assert (code, line) == (
        1,
        f"fails {s3}: {s3} can't be listed: The request signature we calculated does not match the signature you "
        f"provided. Check your key and signing method {CREDENTIALS}",
    )
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    # No machine of a cloud is asked whether it lends credentials.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert doctor(s3)[1][0] == f"fails {s3}: {s3} can't be listed: Unable to locate credentials {CREDENTIALS}"
