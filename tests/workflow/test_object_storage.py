"""A study whose results lie in a bucket, on an S3 server of the test's own that can be told to refuse."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import boto3
import pytest
from conftest import Study
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from waferbench.base.files import digest

pytestmark = pytest.mark.workflow

TINY = ("tests/config/tiny.yaml",)
RUN = "results/tiny/duplicate_cv5/seed42"
SAMPLES = f"{RUN}/fold0/sources/gan/raw/center.h5"
BUCKET = ("--profile", "profiles/s3", "--default-storage-prefix", "s3://wafers/lab")


class Server:
    """An S3 server; what is put below a path that holds ``refused`` is not taken."""

    def __init__(self):
        self.refused: str | None = None
        self._s3 = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and self.refused and self.refused in environ["PATH_INFO"]:
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>the quota is used up</Message></Error>"]
        return self._s3(environ, start_response)

    def files(self) -> dict[str, bytes]:
        bucket = boto3.resource("s3", endpoint_url=self.url, region_name="us-east-1").Bucket("wafers")
        return {item.key.removeprefix("lab/"): item.get()["Body"].read() for item in bucket.objects.all()}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "user")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield server
    server._server.shutdown()


@pytest.fixture(scope="module")
def stored(server: Server, tmp_path_factory) -> tuple[Study, str]:
    """A study in the bucket, and what was said as the upload of its generators failed at first."""
    study = Study.copy_workflow(tmp_path_factory.mktemp("stored"))
    command = (SAMPLES, "--config", "cache=kept", *BUCKET)
    server.refused = "/generators/"
    told = study.snakemake(*command, overlays=TINY, expect=1)
    server.refused = None
    study.snakemake(*command, overlays=TINY)
    return study, told


def test_a_failed_upload_is_named_and_its_job_is_not_computed_again(stored: tuple[Study, str]):
    study, told = stored
    assert "Failed to store output in storage s3://wafers/lab" in told and "the quota is used up" in told
    records = [json.loads(file.read_text()) for file in (study.results / "runs").glob("*.json")]
    assert {record["rule"] for record in records if "fetched" in record} == {"train_gan"}
    assert len(records) == 5


def test_results_lie_in_the_bucket_and_what_is_for_this_machine_stays_here(stored: tuple[Study, str], server: Server):
    study, files = stored[0], server.files()
    assert {f"{RUN}/folds.parquet", SAMPLES, "results/tiny/data/wafers.h5"} <= set(files)
    (study.folder / "samples.h5").write_bytes(files[SAMPLES])
    kept = {digest(file) for file in (study.folder / "kept").glob("*/[0-9]")}
    assert digest(study.folder / "samples.h5") in kept, "what was uploaded is what was made"
    here = {file.relative_to(study.results).parts[0] for file in study.results.rglob("*") if file.is_file()}
    shards = {"shards"} & {part for file in study.results.rglob("*") for part in file.parts}
    assert here == {".store", "runs", "duplicate_cv5"} and shards and not list(study.results.rglob("*.parquet"))


def test_every_file_of_the_whole_study_is_found_in_the_bucket_or_planned(stored: tuple[Study, str]):
    planned = stored[0].planned("all", *BUCKET, overlays=TINY)
    assert "train_gan" not in planned, "it is in the bucket"
    assert (planned["measure_quality"], planned["judge_samples"], planned["fit_svm"], planned["train_lora"]) == (1,) * 4


def test_nothing_is_left_to_do_here_or_on_another_machine(stored: tuple[Study, str], tmp_path: Path):
    assert stored[0].planned(SAMPLES, *BUCKET, overlays=TINY) == {}
    assert Study.copy_workflow(tmp_path).planned(SAMPLES, *BUCKET, overlays=TINY) == {}


def test_a_server_that_does_not_answer_is_named_at_once(stored: tuple[Study, str], server: Server, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    before = server.files()
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", nobody)
    output = stored[0].snakemake(SAMPLES, *BUCKET, overlays=TINY, expect=1)
    assert f'object storage: s3://wafers/lab cannot be used (Could not connect to the endpoint URL: "{nobody}' in output
    assert "Traceback" not in output and server.files() == before


def test_the_store_of_a_study_in_a_bucket_is_cleared_and_the_bucket_is_not(stored: tuple[Study, str], server: Server):
    study, before = stored[0], server.files()
    assert list(study.results.glob(".store/*/entry.json"))
    assert "earlier results cleared" in study.snakemake("clean_store", *BUCKET, overlays=TINY)
    assert not list(study.results.glob(".store/*/entry.json")), "the present results are in the bucket and share none"
    assert {name: content for name, content in server.files().items() if "clean_store" not in name} == before
