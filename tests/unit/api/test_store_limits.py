"""Which limits bind a job's workers, and what an image asks of a store."""

from fractions import Fraction
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.source import ReadLimits
from dueby_api.store_limits import StoreLimits, StoreList, limits_of, requests_per_image, store_root
from support.planner import job

OWN = "spec.source.limits"
SEEN = "s3://photos (as workers have seen it)"
BUCKET = StoreLimits(prefix="s3://photos/", requests_per_second=20_000)
FOLDER = StoreLimits(prefix="s3://photos/2026", bytes_per_second=10**9)
NO_LIMIT = StoreLimits(prefix="s3://")

Row = tuple[str, bool, int | None, int | None]


def limits(source: dict[str, Any], *stores: StoreLimits, **spec: Any) -> list[Row]:
    """Return (name, is its own, requests, bytes) of each limit that binds a job with this source."""
    found = limits_of(job(source=source, **spec).spec, stores)
    return [(each.name, each.is_own, each.requests_per_s, each.bytes_per_s) for each in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({"uri": "s3://photos/a/*.jpg"}, [("s3://photos", False, 5_500, None)], id="a bucket of S3's"),
        pytest.param({"uri": "s3://photos"}, [("s3://photos", False, 5_500, None)], id="all of it"),
        pytest.param({"uri": "gs://photos/a"}, [("gs://photos", False, 5_000, None)], id="a bucket of Google's"),
        pytest.param({"uri": "az://photos/a"}, [("az://photos", False, 20_000, None)], id="a container of Azure's"),
        pytest.param({"uri": "https://host/a/*.jpg"}, [], id="a web server promises nothing"),
        pytest.param({"uri": "/photos"}, [], id="nor does a disk"),
        pytest.param({"synthetic": {}}, [], id="images that are made are read nowhere"),
        pytest.param({"parquet": {"uri": "s3://p/*.parquet"}}, [("s3://p", False, 5_500, None)], id="Parquet files"),
        pytest.param({"manifest": {"uri": "s3://p/list.csv"}}, [("s3://p", False, 5_500, None)], id="a list"),
        pytest.param({"manifest": {"uri": "s3://p/l.csv", "anyHost": True}}, [], id="a list of images anywhere"),
    ],
)
def test_without_a_word_a_store_serves_what_it_documents(source: dict[str, Any], expected: list[Row]) -> None:
    assert limits(source) == expected


@pytest.mark.parametrize(
    ("uri", "stores", "expected"),
    [
        pytest.param("s3://photos/a", [BUCKET], [("s3://photos/", False, 20_000, None)], id="in place of the default"),
        pytest.param(
            "s3://photos/2026/*.jpg", [BUCKET, FOLDER], [("s3://photos/2026", False, None, 10**9)], id="the longest"
        ),
        pytest.param("s3://photos/2026b/", [BUCKET, FOLDER], [("s3://photos/", False, 20_000, None)], id="whole names"),
        pytest.param("s3://photos/20*/a", [BUCKET, FOLDER], [("s3://photos/", False, 20_000, None)], id="a wildcard"),
        pytest.param("s3://photosb/a", [BUCKET], [("s3://photosb", False, 5_500, None)], id="another bucket"),
        pytest.param("s3://photos/a", [NO_LIMIT], [], id="a whole scheme without a limit"),
    ],
)
def test_what_the_administrator_says_of_a_prefix_takes_the_place_of_it(
    uri: str, stores: list[StoreLimits], expected: list[Row]
) -> None:
    assert limits({"uri": uri}, *stores) == expected


def test_a_jobs_own_limit_and_the_administrators_both_bind() -> None:
    source = {"uri": "s3://photos/a", "limits": {"requestsPerSecond": 100}}
    assert limits(source, BUCKET) == [("s3://photos/", False, 20_000, None), (OWN, True, 100, None)]


def test_a_jobs_own_requests_take_the_place_of_the_default_and_its_bytes_do_not() -> None:
    requests = {"uri": "s3://photos/a", "limits": {"requestsPerSecond": 50_000}}
    assert limits(requests) == [(OWN, True, 50_000, None)]
    size = {"uri": "s3://photos/a", "limits": {"bytesPerSecond": 10**8}}
    assert limits(size) == [("s3://photos", False, 5_500, None), (OWN, True, None, 10**8)]


def test_another_server_than_amazons_promises_nothing() -> None:
    env = [{"name": "AWS_ENDPOINT_URL", "value": "http://minio:9000"}]
    assert limits({"uri": "s3://photos/a"}, worker={"env": env}) == []
    assert limits({"uri": "az://photos/a"}, worker={"env": env}) == [("az://photos", False, 20_000, None)]
    env = [{"name": "AZURE_STORAGE_ENDPOINT", "value": "http://azurite:10000/account"}]
    assert limits({"uri": "az://photos/a"}, worker={"env": env}) == []


@pytest.mark.parametrize(
    ("source", "size", "expected"),
    [
        pytest.param({"uri": "s3://b/*.jpg"}, 80_000, Fraction(1), id="an object is a request"),
        pytest.param({"manifest": {"uri": "s3://b/list"}}, 0, Fraction(1), id="of a list too"),
        pytest.param({"uri": "s3://b/{0..9}.TAR"}, 1 << 16, Fraction(1, 64), id="of a tar, 4 MiB are one"),
        pytest.param({"uri": "s3://b/*.tar"}, 0, Fraction(1, 50), id="with photos of some 80 kB before the sample"),
        pytest.param({"uri": "s3://b/*.tar"}, 10**8, Fraction(1), id="never more than one"),
        pytest.param({"parquet": {"uri": "s3://b/*.parquet"}}, 1 << 18, Fraction(1, 16), id="Parquet files"),
        pytest.param({"synthetic": {}}, 0, Fraction(0), id="none for images that are made"),
    ],
)
def test_what_an_image_asks_of_the_store(source: dict[str, Any], size: float, expected: Fraction) -> None:
    assert requests_per_image(job(source=source).spec.source, size) == expected


@pytest.mark.parametrize(
    ("stores", "sentence"),
    [
        pytest.param([{"prefix": "photos"}], "stores[0].prefix: must be a text that matches", id="no URI"),
        pytest.param([{"prefix": "s3://b/*.jpg"}], "stores[0].prefix: must be a text that matches", id="a wildcard"),
        pytest.param([{"prefix": "s3://b/"}, {"prefix": "s3://b"}], "stores: names s3://b twice", id="twice"),
        pytest.param([{"prefix": "s3://b", "requestsPerSecond": 0}], "must be an integer of at least 1", id="none"),
    ],
)
def test_what_is_wrong_with_stores_is_named(stores: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        validate(StoreList, {"stores": stores})
    assert sentence in str(raised.value)


def test_a_job_states_its_limits_or_none() -> None:
    assert job().spec.source.limits is None
    stated = job(source={"uri": "s3://b/", "limits": {"bytesPerSecond": 5}}).spec.source.limits
    assert stated == ReadLimits(bytes_per_second=5)


@pytest.mark.parametrize(
    ("source", "stores", "observed", "expected"),
    [
        pytest.param({"uri": "s3://photos/a"}, [], 800.4, [(SEEN, False, 800, None)], id="less than is promised"),
        pytest.param({"uri": "s3://photos/a"}, [], 9e3, [(SEEN, False, 9_000, None)], id="more than is promised"),
        pytest.param({"uri": "s3://photos/a"}, [], 0.2, [(SEEN, False, 1, None)], id="hardly anything"),
        pytest.param(
            {"uri": "s3://photos/a"},
            [BUCKET],
            800,
            [("s3://photos/", False, 20_000, None)],
            id="the administrator knows better",
        ),
        pytest.param(
            {"uri": "s3://photos/a", "limits": {"requestsPerSecond": 70}},
            [],
            800,
            [(OWN, True, 70, None)],
            id="and so does the job",
        ),
        pytest.param({"uri": "/photos"}, [], None, [], id="nothing was seen"),
        pytest.param({"synthetic": {}}, [], 800, [], id="images that are made"),
    ],
)
def test_what_workers_have_seen_takes_the_place_of_what_is_promised(
    source: dict[str, Any], stores: list[StoreLimits], observed: float | None, expected: list[Row]
) -> None:
    found = limits_of(job(source=source).spec, stores, observed=observed)
    assert [(each.name, each.is_own, each.requests_per_s, each.bytes_per_s) for each in found] == expected


@pytest.mark.parametrize(
    ("source", "root"),
    [
        ({"uri": "s3://photos/a/*.jpg"}, "s3://photos"),
        ({"uri": "s3://photos"}, "s3://photos"),
        ({"uri": "https://host:80/a/b.tar"}, "https://host:80"),
        ({"parquet": {"uri": "gs://p/a/*.parquet"}}, "gs://p"),
        ({"uri": "/photos"}, None),
        ({"synthetic": {}}, None),
        ({"manifest": {"uri": "s3://p/l.csv", "anyHost": True}}, None),
    ],
)
def test_the_root_of_a_store_is_its_bucket_or_host(source: dict[str, Any], root: str | None) -> None:
    assert store_root(job(source=source).spec.source) == root
