"""Protocols by name, and studies whose settings contradict theirs."""

import pytest

from waferbench.base.errors import InputError
from waferbench.base.protocols import KNOWN, protocol, replicate_of
from waferbench.config.checks import check_study
from waferbench.config.synthesis.checks import check_synthesis
from waferbench.config.synthesis.settings import Define, SynthesisSettings
from waferbench.config.synthesis.sources import DieFlow

REAL = {"source": "npz", "path": "wafers.npz"}
ORACLE = ["real_aug", "oracle"]


def test_protocols_by_name():
    assert [protocol(name).name for name in KNOWN] == list(KNOWN)
    assert protocol("lot_cv10").folds == 10 and protocol("lot_cv10").group == "lots"
    assert protocol("duplicate_cv5").group == "duplicates" and protocol("cv5").group == "none"
    assert [name for name in KNOWN if protocol(name).leaky] == ["leaky_80_20"]
    assert protocol("nine_class_70_30").classes(["Loc"]) == ["Loc", "none"] and protocol("cv5").classes(["a"]) == ["a"]
    assert protocol("cv5").run([1, 2]) == [1, 2] and protocol("leaky_80_20").run([1, 2]) == [0]
    with pytest.raises(InputError, match="did you mean 'holdout_80_10_10'"):
        protocol("holdout_80_10")
    with pytest.raises(InputError, match="at least 3"):
        protocol("cv2")


def test_replicates_of_any_number_from_two():
    assert protocol("replicates12").folds == protocol("replicates12").replicates == 12
    assert protocol("replicates4").run([]) == [0, 1, 2, 3] and protocol("replicates4").run([2]) == [2]
    assert [protocol(name).replicates for name in ("cv5", "holdout_80_10_10")] == [0, 0]
    with pytest.raises(InputError, match="'replicates1' has one training set, expected at least 2"):
        protocol("replicates1")
    for name in ("replicates", "replicates0", "replicates04", "lot_replicates4"):
        with pytest.raises(InputError, match=f"folds.protocols: found '{name}', expected cv5"):
            protocol(name)


def test_the_column_replicate_is_the_fold_of_replicates_alone():
    found = [replicate_of(name, 3) for name in ("replicates5", "cv5", "lot_cv5", "pooled")]
    assert found == [3, 0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            {"dataset": REAL, "folds": {"protocols": ["replicates4"]}},
            r"folds\.protocols: 'replicates4' draws .*dataset\.source = npz has one set",
        ),
        (
            {"folds": {"protocols": ["replicates2", "cv5"]}},
            "found replicates2, cv5, but replicates2 has wafers of its own",
        ),
        ({"folds": {"protocols": ["replicates2", "replicates3"]}}, "found replicates2, replicates3"),
        ({"folds": {"protocols": ["replicates2"], "run": [2]}}, "found fold 2, but replicates2 has 0 to 1"),
        (
            {"folds": {"protocols": ["replicates2"]}, "generators": {"train_on": "pooled"}},
            "the wafers of all replicates, which replicates2 keeps apart",
        ),
        (
            {"folds": {"protocols": ["cv5", "leaky_80_20"]}, "conditions": ORACLE},
            "under leaky_80_20 all wafers are seen, so none is left for an oracle",
        ),
        (
            {"folds": {"protocols": ["cv5"]}, "conditions": ORACLE, "generators": {"train_on": "pooled"}},
            r"generators\.train_on: pooled generators see all wafers, so none is left for an oracle",
        ),
        ({"conditions": ORACLE, "shape_filter": {"apply_to": ["oracle"]}}, "'oracle' draws no samples but real wafers"),
        ({"dataset": REAL, "conditions": ORACLE}, r"oracle\.reserve: 0, but a condition adds real wafers"),
        (
            {"conditions": ["real_aug", "die_lora"], "classifier": {"max_train_per_class": 5}},
            "an adapter of 'die_lora' needs 6 wafers of a class; raise it to 6 or more",
        ),
        (
            {"folds": {"protocols": ["cv5", "leaky_80_20"]}, "classifier": {"max_train_per_class": 50}},
            r"max_train_per_class: 50, but under leaky_80_20 generators see all wafers",
        ),
        (
            {"define": {"sources": {**Define().sources, "real": DieFlow()}}},
            r"define\.sources\.real: the name is taken, for real wafers",
        ),
        (
            {"conditions": ORACLE, "oracle": {"reserve": 0.3}},
            r"oracle\.reserve: 0\.3, but simulated wafers are drawn fresh",
        ),
    ],
)
def test_settings_that_contradict_the_protocol_or_the_oracle_are_refused(settings, found):
    chosen = SynthesisSettings.model_validate({"conditions": ["real_aug"], **settings})
    with pytest.raises(InputError, match=found):
        check_study(chosen)
        check_synthesis(chosen)


def test_settings_that_agree_are_taken():
    backbones = {"backbones": ["tf_efficientnet_lite0"], "conditions": ORACLE}
    for settings in (
        {"folds": {"protocols": ["replicates2"], "run": [1]}},
        {"dataset": REAL, "oracle": {"reserve": 0.3}, "folds": {"protocols": ["duplicate_cv5", "cv5"]}},
        {"conditions": ["real_aug", "die_lora"], "classifier": {"max_train_per_class": 6}},
        {"conditions": ["real_aug"], "classifier": {"max_train_per_class": 5}},
    ):
        chosen = SynthesisSettings.model_validate({**backbones, **settings})
        check_study(chosen)
        check_synthesis(chosen)
