"""The crate of a small made-up study."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from waferbench.base.artifacts import read_provenance, write_json
from waferbench.base.errors import InputError
from waferbench.base.files import data_digest, digest
from waferbench.base.seals import payload_digest
from waferbench.config.resolve import resolve
from waferbench.config.study import Dataset, StudySettings, WeightPlaces
from waferbench.tools.plan import Output
from waferbench.tools.provenance import making
from waferbench.tools.provenance.crate import Made, build_crate
from waferbench.tools.provenance.files import copy_workflow, outside, packages, timestamp, write_settings
from waferbench.tools.provenance.jobs import digests_of, gather_jobs, require_finished
from waferbench.tracks import Track, all_tracks, settings_model
from waferbench.tracks.synthesis import used_weights

ROOT = Path(__file__).parents[3]
PARTS = (
    "Snakefile",
    "workflow/scripts/wafers/ingest.py",
    "workflow/scripts/synthesis/pretrain_base.py",
    "resources/weights.yaml",
)
STUDY = Path("results/s")
SCRIPTS = {"ingest": "wafers/ingest", "pretrain_base": "synthesis/pretrain_base"}
OUTPUTS = [
    Output("results/s/wafers.json", "ingest", "a.log", ("data.npz",), False),
    Output("results/s/base", "pretrain_base", "b.log", ("results/s/wafers.json",), False),
]


def told(rule, inputs, **wildcards):
    told = {"rule": rule, "wildcards": wildcards, "settings": {"seed": 1}, "code": f"code of {rule}", "inputs": inputs}
    return {**told, "made_by": "waferbench 1.2.3"}


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """Two jobs that have run: wafers read from a file, and a base trained on them, which is a folder."""
    monkeypatch.chdir(tmp_path)
    for part in PARTS:
        Path(part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / part, part)
    Path("workflow/scripts/__pycache__").mkdir()
    Path("workflow/scripts/__pycache__/x.pyc").touch()
    Path("data.npz").write_bytes(b"wafers")
    write_json(STUDY / "wafers.json", {"n": 3}, told("ingest", {"data": digest("data.npz")}))
    inputs = {"store": [payload_digest(STUDY / "wafers.json")]}
    write_json(STUDY / "base/waferbench.json", {}, told("pretrain_base", inputs, fold="0"))
    record = {"rule": "ingest", "wildcards": {}, "seconds": 50, "startup_seconds": 10, "device": "cpu", "host": "h"}
    (STUDY / "runs").mkdir()
    (STUDY / "runs/ingest.json").write_text(json.dumps({**record, "finished": "2026-01-01T12:01:00+0000"}))
    write_settings(StudySettings(study="s", seed=1), STUDY)
    return STUDY


def digests() -> dict[str, str]:
    return digests_of(["data.npz", *(output.path for output in OUTPUTS)], Path())


def crate_of(study: Path) -> dict:
    return build_crate(
        Made(
            study="s",
            folder=study,
            questions=["Is it so?"],
            jobs=gather_jobs(OUTPUTS, Path(), study),
            scripts=SCRIPTS,
            code=frozenset(copy_workflow(Path(), study)),
            digests=digests(),
            seeds=[1, 2],
            data=outside(Path("data.npz"), "the wafers"),
            weights={},
            packages={"snakemake": "9.27.1"},
        )
    )


def references(value) -> set[str]:
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else {r for v in value.values() for r in references(v)}
    return {r for item in value for r in references(item)} if isinstance(value, list) else set()


def test_the_crate_describes_every_file_by_its_digest_and_whatever_it_names(study):
    crate = crate_of(study)
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    assert references(crate["@graph"]) - entities.keys() == {"https://w3id.org/ro/crate/1.1"}
    inside = [e for e in crate["@graph"] if "File" in e["@type"] and not e["@id"].startswith("ni:")]
    for entity in inside:
        content = (study / entity["@id"]).read_bytes()
        assert (entity["sha256"], entity["contentSize"]) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    found = {entity["@id"] for entity in inside}
    assert found >= {"wafers.json", "base/waferbench.json", "settings.yaml", "runs/ingest.json", "code/Snakefile"}
    assert not any("pycache" in name for name in entities)


def test_a_job_says_what_it_read_and_wrote_by_which_code_and_when(study):
    entities = {entity["@id"]: entity for entity in crate_of(study)["@graph"]}
    ingest, base = entities["#job/ingest"], entities["#job/pretrain_base/fold%3D0"]
    (data,) = (entity for name, entity in entities.items() if name.startswith("ni:"))
    assert data["@id"] in references(ingest["object"]) and data["sha256"] == digest("data.npz")
    assert references(ingest["result"]) == {"wafers.json"} < references(base["object"])
    assert references(base["result"]) == {"base/"}
    assert entities[base["instrument"]["@id"]]["version"] == "code of pretrain_base"
    assert (ingest["endTime"][14:19], ingest["startTime"][14:19]) == ("01:00", "00:00"), "a minute with its imports"
    assert "startTime" not in base, "its run record is gone"
    settings = next(entities[name] for name in references(base["object"]) if name.startswith("#settings"))
    assert json.loads(settings["value"]) == {"seed": 1}
    assert entities["code/Snakefile"]["version"] == "1.2.3" and base["description"] == "Made by waferbench 1.2.3."
    assert entities["./"]["description"].startswith("Is it so? ")


def test_the_same_study_gives_the_same_crate(study):
    assert json.dumps(crate_of(study)) == json.dumps(crate_of(study))


def test_an_artifact_made_from_something_else_is_named(study):
    write_json(STUDY / "wafers.json", {"n": 4}, read_provenance(STUDY / "wafers.json"))
    with pytest.raises(InputError, match=r"results/s/base: made from another store"):
        gather_jobs(OUTPUTS, Path(), study)


def test_the_parts_of_one_job_are_told_apart(study):
    for part in "ab":
        write_json(STUDY / f"in_{part}.json", {"part": part}, told("ingest", {}))
        inputs = {"store": payload_digest(STUDY / f"in_{part}.json")}
        write_json(STUDY / f"{part}.json", {}, told("fit", inputs, part=part))
    read = tuple(f"results/s/in_{part}.json" for part in "ab")
    outputs = [Output(f"results/s/{part}.json", "fit", "fit.log", read, False) for part in "ab"]
    jobs = gather_jobs(outputs, Path(), study)
    assert [(job.name, job.inputs) for job in jobs] == [
        ("fit/part=a", ("results/s/in_a.json",)),
        ("fit/part=b", ("results/s/in_b.json",)),
    ]


def test_two_inputs_of_equal_content_are_both_told(study):
    for name in "ab":
        write_json(STUDY / f"in_{name}.json", {"n": 1}, told("ingest", {}))
    inputs = {"store": [payload_digest(STUDY / f"in_{name}.json") for name in "ab"]}
    write_json(STUDY / "out.json", {}, told("fit", inputs))
    read = tuple(f"results/s/in_{name}.json" for name in "ab")
    (job,) = gather_jobs([Output("results/s/out.json", "fit", "fit.log", read, False)], Path(), study)
    assert job.inputs == read


def test_outputs_that_say_nothing_of_their_making_belong_to_the_job_beside_them(study):
    read = ("results/s/wafers.json",)
    inputs = {"store": payload_digest(STUDY / "wafers.json")}
    names = ["a.csv", "a.json", "a.png"]
    for name in names:
        (STUDY / name).write_bytes(b"x")
    write_json(STUDY / "a.json", {}, told("fit", inputs, fold="0"))
    outputs = [Output(f"results/s/{name}", "fit", "fit.log", read, False) for name in names]
    (job,) = gather_jobs(outputs, Path(), study)
    assert (job.name, job.outputs) == ("fit/fold=0", tuple(f"results/s/{name}" for name in names))
    assert (job.inputs, job.code) == (read, "code of fit")


def test_a_lost_record_of_snakemake_is_named(study):
    lost = [Output("results/s/wafers.json", "ingest", None, None, False)]
    with pytest.raises(InputError, match="record of its making is gone"):
        gather_jobs(lost, Path(), study)


def test_an_unfinished_study_lists_what_is_missing():
    outputs = [Output(f"results/s/{i}", "fit", None, None, i > 1) for i in range(20)]
    with pytest.raises(InputError, match=r"18 of 20 outputs[\s\S]*results/s/2\n[\s\S]*and 8 more"):
        require_finished(outputs)
    require_finished(outputs[:2])


def crate_made(monkeypatch, dataset: Dataset, outputs: list[Output]) -> tuple[dict, list[str]]:
    """The crate of the study with two tracks, one of which has a page, and what Snakemake was asked for."""
    asked = []
    monkeypatch.setattr(making, "planned_outputs", lambda options, *_: asked.extend(options) or outputs)
    one = Track(name="one", target="one_target", question="One?", settings=StudySettings, page="one.html")
    other = Track(name="other", target="other_target", question="Other?", settings=StudySettings, page="other.html")
    (STUDY / "one.html").touch()
    making.make_crate(StudySettings(study="s", repeats=2, dataset=dataset), [one, other], SCRIPTS)
    return json.loads((STUDY / "ro-crate-metadata.json").read_text()), asked


def test_the_crate_tells_of_the_tracks_whose_page_is_there(study, monkeypatch):
    crate, asked = crate_made(monkeypatch, Dataset(source="npz", path="data.npz"), OUTPUTS)
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert asked == ["one_target", "--configfile", str(STUDY / "settings.yaml")]
    assert entities["./"]["description"].startswith("One? Every") and entities["#seeds"]["value"] == "42, 43"


def test_a_folder_of_data_is_known_by_its_content(study, monkeypatch):
    Path("maps/Loc").mkdir(parents=True)
    Path("maps/Loc/a.npy").write_bytes(b"wafers")
    write_json(STUDY / "wafers.json", {"n": 3}, {**told("ingest", {}), "data": data_digest("maps", "folder")})
    inputs = {"store": [payload_digest(STUDY / "wafers.json")]}
    write_json(STUDY / "base/waferbench.json", {}, told("pretrain_base", inputs, fold="0"))
    outputs = [Output("results/s/wafers.json", "ingest", "a.log", (), False), OUTPUTS[1]]
    dataset = Dataset(source="folder", path="maps")
    crate, _ = crate_made(monkeypatch, dataset, outputs)
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    (data,) = (name for name in entities if name.startswith("ni:"))
    assert data in references(entities["#job/ingest"]["object"])
    assert data not in references(entities["#job/pretrain_base/fold%3D0"]["object"])
    Path("maps/Loc/a.npy").write_bytes(b"others")
    with pytest.raises(InputError, match="maps: the study was made from another content"):
        crate_made(monkeypatch, dataset, outputs)


def test_the_settings_in_the_crate_are_read_as_they_were(tmp_path):
    model = settings_model(all_tracks())
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    settings = resolve({**config, "set": "svm.C=3 dataset.classes=[Center,'no']", "cache": "/shared"}, model)
    again = yaml.safe_load(write_settings(settings, tmp_path).read_text())
    assert resolve({**config, **again}, model) == settings.model_copy(update={"cache": ""}) and settings.svm.C == 3


def test_the_time_of_a_file_can_be_given_back_to_the_nanosecond(tmp_path):
    file, time = tmp_path / "x", 1_700_000_000_123_456_789
    subprocess.run(["touch", "-d", timestamp(time), file], check=True)
    assert file.stat().st_mtime_ns == time


def test_an_older_copy_of_the_workflow_is_replaced(study):
    (study / "code/workflow").mkdir(parents=True)
    (study / "code/workflow/old.py").touch()
    copied = copy_workflow(Path(), study)
    assert sorted(copied) == sorted(PARTS) and not (study / "code/workflow/old.py").exists()


def test_weights_are_found_where_the_study_found_them_and_others_are_an_error(tmp_path):
    (tmp_path / "net.npz").write_bytes(b"weights")
    pin = {"kind": "file", "file": "net.npz", "sha256": digest(tmp_path / "net.npz"), "keys": "own"}
    weights = {"manifest": {"net": {"licence": "MIT", "sources": [pin]}}}
    told = {"check_networks": {"backbones": {"net": {"name": "net", "pretrained": True, "weights": weights}}}}
    places = WeightPlaces(folder=str(tmp_path))
    found = used_weights(told, places)["net"]
    assert (found.sha256, found.licence, found.size) == (pin["sha256"], "MIT", 7)
    (tmp_path / "net.npz").write_bytes(b"altered")
    with pytest.raises(InputError, match="sha256"):
        used_weights(told, places)


def test_the_weights_of_features_and_of_ready_bases_are_told_and_no_others(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    (tmp_path / "ready/unet").mkdir(parents=True)
    (tmp_path / "ready/unet/config.json").write_bytes(b"base")
    weights = {"manifest": {"net": {}}}
    plain = {"name": "plain", "pretrained": False, "weights": {}}
    source = {"size": 32, "native": {}, "target_modules": ["to_q"], "instance_prompt": "a wafer", "alpha": 8}
    source |= {"guidance": 3, "guidance_against": "base"}
    told = {
        "backbones": {"plain": plain},
        "quality": {"network": "net", "image_size": 64, "weights": weights},
        "sources": {"native": {**source, "base": "native"}, "ready": {**source, "base": "ready"}},
    }
    found = used_weights({"check_networks": told}, WeightPlaces(folder=str(tmp_path)))
    assert list(found) == ["net", "ready"] and found["ready"].path == "ready"


def test_versions_are_those_installed(tmp_path):
    (tmp_path / "lock.txt").write_text("# lock\npyyaml==1.0\nno-such-package==1.0 ; sys_platform == 'win32'\n")
    assert packages(tmp_path / "lock.txt") == {"pyyaml": yaml.__version__}
