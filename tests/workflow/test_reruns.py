"""Edit one thing, plan, and hold the plan against the exact set of rules that depend on it."""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import Study, write_npz

pytestmark = pytest.mark.workflow

FINDINGS = {"make_findings", "make_report"}
TABLES = {"collect_scores", "compare_conditions", "resample_wafers", "analyse_grid"} | FINDINGS
GRID = {"train_classifier", "fit_svm", "calibrate", "measure_rare_recall"} | TABLES
OF_REAL = {"audit_labels", "explain_mistakes"}  # look at cells of real wafers alone
JUDGED = {"judge_samples", "gather_agreement"}
RECONSTRUCTED = {"judge_reconstructions", "gather_reconstruction"}
BY_THE_JUDGE = JUDGED | RECONSTRUCTED
QUALITY = {"measure_quality", "gather_quality"}
TEXTURE = {"measure_texture", "gather_texture"}
BUDGET = {"plan_budget", "check_budget"}
SAMPLED = {"gather_shape_filter"} | QUALITY | JUDGED | TEXTURE | GRID
AFTER_SAMPLES = {"score_shapes"} | SAMPLED  # of sources whose pool is known beforehand
FILTERED = {"apply_shape_filter", "make_injection"} | SAMPLED
GAN = {"train_gan", "sample_gan"} | AFTER_SAMPLES
ADAPTERS = {"train_lora", "sample_lora"}
LORA = {"pretrain_base"} | ADAPTERS | RECONSTRUCTED | AFTER_SAMPLES
DIE_FLOW = {"train_die_flow", "sample_die_flow"} | FILTERED
DIE_LORA = {"pretrain_die_base", "train_die_lora", "sample_die_lora"} | AFTER_SAMPLES
AFTER_FOLDS = (GAN | LORA | DIE_FLOW | BUDGET | OF_REAL | {"draw_oracle", "fit_shape_filter"}) - {"pretrain_base"}
NETWORKS = {"check_networks", "measure_backbone"}
SPLIT = {"make_folds", "audit", "gather_splits"}
EVERYTHING = AFTER_FOLDS | SPLIT | {"ingest", "select_wafers"}  # that follows from the wafers: the base has seen none
JOBS = EVERYTHING | NETWORKS | {"pretrain_base"}
CONDITIONS = "real,oracle,gan,lora,die_flow"


def edit(path: str, old: str, new: str) -> Callable[[Study], tuple]:
    """Replace a text that must be there."""

    def change(study: Study) -> tuple:
        file = study.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}: mend this table"
        file.write_text(text.replace(old, new, 1))
        return ()

    return change


def append(path: str, text: str) -> Callable[[Study], tuple]:
    def change(study: Study) -> tuple:
        with open(study.folder / path, "a") as file:
            file.write(text)
        return ()

    return change


def touch(path: str) -> Callable[[Study], tuple]:
    def change(study: Study) -> tuple:
        os.utime(study.folder / path, (time.time() + 60, time.time() + 60))
        return ()

    return change


def option(text: str) -> Callable[[Study], tuple]:
    """A value given on the command line."""
    return lambda study: ("--config", f"set={text}")


def reorder(study: Study) -> tuple:
    file = study.folder / "config/config.yaml"
    text = file.read_text()
    start, end = text.index("classifier:\n"), text.index("svm:\n")
    lines = text[start:end].rstrip().splitlines()
    file.write_text(text[:start] + "\n".join([lines[0], *reversed(lines[1:])]) + "\n\n" + text[end:])
    return ()


def replace_data(study: Study) -> tuple:
    file = study.folder / "wafers.npz"
    before = file.stat().st_mtime
    write_npz(file, seed=2)
    os.utime(file, (before - 1e6, before - 1e6))  # an older file is still another file
    return ()


def replace_data_unseen(study: Study) -> tuple:
    """With data of the same size, under the same time."""
    file = study.folder / "wafers.npz"
    before = file.stat()
    with np.load(file, allow_pickle=False) as data:
        arrays = dict(data)
    dies = np.flatnonzero(arrays["flat"] == 1)
    arrays["flat"][dies[len(dies) // 2]] = 2
    np.savez(file, **arrays)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    return ()


LIBRARY = "workflow/scripts/waferbench"
CASES = {
    "nothing": (lambda study: (), set()),
    "a comment": (append(f"{LIBRARY}/classification/svm/svm.py", "\n# a remark\n"), set()),
    "a docstring": (edit(f"{LIBRARY}/wafers/render.py", '"""Dies to pixels', '"""Some dies to pixels'), set()),
    "a helper of one stage": (append(f"{LIBRARY}/classification/svm/svm.py", "\nEXTRA = 1\n"), {"fit_svm"} | TABLES),
    "a helper of two stages": (
        append(f"{LIBRARY}/classification/train.py", "\nEXTRA = 1\n"),
        GRID | OF_REAL | BY_THE_JUDGE,
    ),
    "a helper of many stages": (append(f"{LIBRARY}/wafers/leakage.py", "\nEXTRA = 1\n"), AFTER_FOLDS - BUDGET),
    "a helper of the statistics": (
        append(f"{LIBRARY}/statistics/calibration.py", "\nEXTRA = 1\n"),
        {"calibrate", "make_report"},
    ),
    "a sentence of the findings": (append(f"{LIBRARY}/statistics/findings.py", "\nEXTRA = 1\n"), FINDINGS),
    "resamples of the bootstrap": (
        option("statistics.bootstrap=200"),
        {"measure_rare_recall", "resample_wafers", "make_report"},
    ),
    "the confidence": (
        option("statistics.confidence=0.9"),
        {"compare_conditions", "resample_wafers", "analyse_grid", "measure_rare_recall"} | FINDINGS,
    ),
    "a repeat": (option("repeats=2"), EVERYTHING - {"ingest", "select_wafers", "explain_mistakes"}),
    "a protocol": (
        option("folds.protocols=[duplicate_cv5,holdout_80_10_10]"),
        EVERYTHING - {"ingest", "select_wafers", "explain_mistakes"},
    ),
    "a touched script": (touch("workflow/scripts/synthesis/train_gan.py"), set()),
    "reordered keys": (reorder, set()),
    "a quality setting": (option("quality.neighbours=3"), QUALITY | {"make_report"}),
    "the oracle's reserve": (option("oracle.reserve=0.45"), AFTER_FOLDS | SPLIT),
    "steps of the classifiers": (option("classifier.steps=9"), GRID | OF_REAL | BY_THE_JUDGE),
    "a base's setting": (option("define.sources.lora.native.unet_steps=6"), LORA | {"check_networks"}),
    "two swapped values": (
        option("define.sources.gan.lr_generator=2e-3 define.sources.gan.lr_discriminator=1e-3"),
        GAN,
    ),
    "the sampler": (option("define.sources.lora.sampler_steps=3"), {"sample_lora"} | AFTER_SAMPLES),
    "2 to 2.0": (option("svm.code_size=2 define.sources.lora.alpha=2.0"), set()),
    "1e-4 as a text": (option("define.sources.gan.lr_generator=1e-3"), set()),
    "the SVM's C": (option("svm.C=1"), {"fit_svm"} | TABLES),
    "the injection budget": (option("budget.target=11"), BUDGET | {"make_injection"} | TEXTURE | GRID),
    "a backbone": (
        option("backbones=[test_resnet.r160_in1k,tf_efficientnet_lite0]"),
        GRID | OF_REAL | NETWORKS,
    ),
    "a manifest entry of another network": (
        append("resources/weights.yaml", "\nother_network: {sources: []}\n"),
        set(),
    ),
    "augmentation": (option("classifier.rotation=5"), GRID),
    "the filter's verdict": (
        option("shape_filter.decide=cnn"),
        {"fit_shape_filter", "sample_die_flow", "score_shapes"} | FILTERED,  # drawing goes on until enough samples pass
    ),
    "a larger pool": (
        option("pool.n_accepted=9"),
        {"draw_oracle", "sample_gan", "sample_lora", "sample_die_flow", "check_budget"} | AFTER_SAMPLES | FILTERED,
    ),
    "the cap on raw samples": (option("pool.max_raw=14"), {"sample_die_flow"} | FILTERED),
    "features of a classifier": (
        option("quality.network=test_resnet.r160_in1k@real"),
        QUALITY | {"make_report", "check_networks"},
    ),
    "another source": (
        option(f"conditions=[{CONDITIONS},die_lora]"),
        DIE_LORA | {"make_injection", "check_budget"},
    ),
    "memory for the SVM": (option("svm.memory_gb=1"), {"fit_svm"} | TABLES),
    "a cache": (option("cache=shared"), set()),
    "where weights are looked for": (option("weights.folder=elsewhere weights.download=true"), {"make_report"}),
    "snapped greys": (option("render.snap=true"), QUALITY | TEXTURE | BY_THE_JUDGE | GRID),
    "a condition": (option(f"conditions=[{CONDITIONS},oversample]"), {"make_injection"} | GRID),
    "a fold": (option("folds.run=[0,1]"), AFTER_FOLDS - QUALITY - RECONSTRUCTED - {"explain_mistakes"}),
    "the data file": (replace_data, EVERYTHING),
    "the data file, by another of its size and time": (replace_data_unseen, EVERYTHING),
    "touched data": (touch("wafers.npz"), set()),
    "the bound of the study's own store": (option("store.keep_gb=1"), set()),
    "no reuse": (option("store.reuse=false"), set()),
    "a GPU lock's message": (edit(f"{LIBRARY}/engine/gpus.py", "waiting: none of", "busy: none of"), set()),
    "the store of results": (append(f"{LIBRARY}/engine/store.py", "\nEXTRA = 1\n"), set()),
    "the marker of running jobs": (append(f"{LIBRARY}/engine/running.py", "\nEXTRA = 1\n"), set()),
    "what is around every job": (append(f"{LIBRARY}/engine/job.py", "\nEXTRA = 1\n"), set()),
    "the doctor": (append(f"{LIBRARY}/tools/doctor/visit.py", "\nEXTRA = 1\n"), set()),
    "a key's description and bound": (
        edit(
            f"{LIBRARY}/config/classification.py",
            'ge=1e-9)] = 10.0\n    """Penalty."""',
            'ge=1e-8)] = 10.0\n    """P."""',
        ),
        set(),
    ),
    "a page's style": (append("workflow/report/kit/style.css", "\nbody { color: black; }\n"), {"make_report"}),
    "the artifact writer": (append(f"{LIBRARY}/base/artifacts.py", "\nEXTRA = 1\n"), JOBS),
}


@pytest.fixture(scope="module")
def plans(finished: Study, tmp_path_factory) -> dict[str, Future]:
    """The plan after each edit, two at a time."""

    def plan(name: str, folder: Path) -> set[str]:
        study = finished.copy(folder / "study")
        return set(study.planned(*CASES[name][0](study)))

    with ThreadPoolExecutor(2) as pool:
        return {name: pool.submit(plan, name, tmp_path_factory.mktemp("edit")) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_reruns_exactly_what_depends_on_it(name: str, plans: dict[str, Future]):
    assert plans[name].result() == CASES[name][1]


def test_a_new_backbone_or_condition_adds_only_its_own_cells(finished: Study):
    backbone = finished.planned("--config", "set=backbones=[test_resnet.r160_in1k,tf_efficientnet_lite0]")
    assert (backbone["train_classifier"], backbone["fit_svm"]) == (5, 1), "a fold's SVMs are one job"
    condition = finished.planned("--config", f"set=conditions=[{CONDITIONS},oversample]")
    assert (condition["train_classifier"], condition["fit_svm"], condition["make_injection"]) == (1, 1, 1)


def test_a_study_of_real_wafers_alone_needs_no_source(finished: Study):
    plan = finished.planned("--config", "set=conditions=[real,real_aug]")
    assert (plan["make_folds"], plan["train_classifier"], plan["fit_svm"]) == (1, 2, 1), "nothing is kept for an oracle"
    assert not {"measure_quality", "judge_samples", "draw_oracle"} & plan.keys() and plan["make_report"] == 1


def test_a_base_is_trained_once_and_no_other_source_follows_it(finished: Study):
    plan = finished.planned("--config", "set=define.sources.lora.native.unet_steps=6")
    assert (plan["pretrain_base"], plan["train_lora"], plan["train_classifier"]) == (1, 1, 1)
    more = finished.planned("--config", "set=repeats=2 folds.run=[0,1]")
    assert more["train_lora"] == 3 and "pretrain_base" not in more, "folds and seeds share it"


def test_what_concerns_samples_alone_reruns_only_cells_that_have_them(finished: Study):
    snapped = finished.planned("--config", "set=render.snap=true")
    assert snapped["train_classifier"] == 4, "all but real"
    verdict = finished.planned("--config", "set=shape_filter.decide=cnn")
    assert (verdict["train_classifier"], verdict["make_injection"]) == (1, 1), "the filter applies to one"


@pytest.mark.parametrize("overlay, cells, folds", [("paper", 8 * 3 * (5 + 3), 5 + 3), ("study", 8 * 9 * 4, 4)])
def test_the_large_studies_plan_without_torch(overlay: str, cells: int, folds: int, finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    (study.folder / "LSWMD.pkl").write_bytes(b"planning reads no data")
    trap = study.folder / "trap"
    trap.mkdir()
    (trap / "torch.py").write_text("raise RuntimeError('torch was imported while planning')\n")
    os.environ["PYTHONPATH"] = str(trap)
    try:
        plan = study.planned("--config", "set=dataset.path=LSWMD.pkl", overlays=(f"config/{overlay}.yaml",))
    finally:
        del os.environ["PYTHONPATH"]
    assert (plan["train_classifier"], plan["fit_svm"]) == (cells, folds)
    assert plan["train_gan"] == (1 if overlay == "paper" else folds), "pooled generators serve all protocols"
    bases = {name: plan.get(name, 0) for name in ("pretrain_base", "pretrain_die_base")}
    assert set(bases.values()) == ({0} if overlay == "paper" else {1}), (
        "a published base is ready, others serve all folds"
    )
