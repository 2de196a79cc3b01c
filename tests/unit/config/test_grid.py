"""The grid of a study, in plain Python."""

import pytest

from waferbench.base.scope import POOLED, Fold
from waferbench.config.classification import ClassifierSettings
from waferbench.config.study import Dataset, Folds, Render
from waferbench.config.synthesis.grid import SynthesisGrid
from waferbench.config.synthesis.settings import (
    Generators,
    OracleSettings,
    PoolSettings,
    ShapeFilterSettings,
    SynthesisSettings,
)
from waferbench.config.synthesis.sources import Gan, Lora
from waferbench.engine.slices import slice_text


def grid(**settings) -> SynthesisGrid:
    return SynthesisGrid(SynthesisSettings(**settings))


def test_runs_folds_and_scopes_of_the_default():
    default, name = grid(), "replicates4"
    assert default.seeds == [42] and default.folds(name) == [0, 1, 2, 3]
    assert default.scopes(name) == [Fold(0), Fold(1), Fold(2), Fold(3)]
    assert default.generators_under(name) == name and default.scope(name, "1") == Fold(1)
    assert default.first == {"protocol": name, "seed": 42, "fold": 0}
    assert default.first_scope == {"protocol": name, "seed": 42, "scope": Fold(0)}
    assert list(default.sources) == ["oracle", "gan", "lora", "die_lora", "die_flow"]
    assert default.of_kind(Gan) == ["gan"] and default.of_kind(Lora) == ["lora"]
    assert len(default.every_scope("{scope}{source}", ["gan", "lora"])) == 8
    assert default.every_measured("{scope}/{source}", ["gan"]) == ["fold0/gan"], "quality is measured once"


def test_a_study_that_names_no_protocol_takes_the_one_that_suits_its_wafers():
    real = grid(dataset=Dataset(source="npz", path="w.npz"), conditions=["real_aug"])
    assert list(real.protocols) == ["duplicate_cv5"] and real.folds("duplicate_cv5") == [0, 1, 2, 3, 4]
    assert list(grid(folds=Folds(protocols=["cv3"], run=[1])).protocols) == ["cv3"]
    assert real.elsewhere == "standard" and grid().elsewhere == "elsewhere"


def test_wafers_are_reserved_for_an_oracle_alone():
    settings = {"dataset": Dataset(source="npz", path="w.npz"), "oracle": OracleSettings(reserve=0.3)}
    assert grid(**settings, conditions=["real_aug", "oracle"]).reserve == 0.3
    assert grid(**settings, conditions=["real_aug", "gan"]).reserve == 0


def test_repeats_are_seeds():
    assert grid(seed=7, repeats=3).seeds == [7, 8, 9]


def test_pooled_generators_are_shared_by_all_protocols():
    pooled = grid(generators=Generators(train_on="pooled"), folds=Folds(protocols=["cv5", "holdout_80_10_10"]))
    assert pooled.scopes("cv5") == [POOLED] and pooled.generators_under("cv5") == "pooled"
    assert pooled.every_scope("{protocol}/{seed}/{scope}") == ["pooled/42/pooled"]


def test_a_leaky_protocol_has_pooled_generators_and_no_comparisons():
    leaky = grid(folds=Folds(protocols=["leaky_80_20", "cv5"], run=[0]))
    assert leaky.leaky == ["leaky_80_20"] and leaky.pooled("leaky_80_20") and not leaky.pooled("cv5")
    assert leaky.every_scope("{protocol}/{scope}") == ["pooled/pooled", "cv5/fold0"]


def test_every_fold_or_its_first_alone():
    small = SynthesisGrid(SynthesisSettings(repeats=2))
    assert small.every_fold("{seed}/{fold}") == [f"{seed}/{fold}" for seed in (42, 43) for fold in range(4)]
    assert small.every_fold("{seed}/{fold}/{a}", first=True, a=["x"]) == ["42/0/x", "43/0/x"]


def test_every_cell_is_every_combination_in_order():
    backbones = ["tf_efficientnet_lite0", "test_resnet.r160_in1k"]
    folds = Folds(protocols=["cv5"], run=[0, 2])
    small = grid(conditions=["real", "gan"], baseline="real", folds=folds, backbones=backbones)
    cells = small.every_cell("x.h5")
    assert len(cells) == len(set(cells)) == 2 * 2 * 2
    assert cells[0] == "results/default/cv5/seed42/fold0/cells/tf_efficientnet_lite0/real/x.h5"
    assert cells[1].endswith("tf_efficientnet_lite0/gan/x.h5") and cells[-1].endswith(
        "fold2/cells/test_resnet.r160_in1k/gan/x.h5"
    )


def test_classes_of_a_protocol_with_none():
    nine = grid(folds=Folds(protocols=["nine_class_70_30", "cv5"]))
    assert nine.classes_of["nine_class_70_30"][-1] == "none" and nine.with_none("nine_class_70_30")
    assert not nine.with_none("cv5")


def test_raw_samples_are_a_file_a_class():
    default = grid(dataset=Dataset(classes=["Edge-Ring", "A <b>"]), folds=Folds(protocols=["cv5"]))
    assert default.raw() == [
        f"results/default/{{protocol}}/seed{{seed}}/{{scope}}/sources/{{source}}/raw/{label}.h5"
        for label in ("edge-ring", "a-b")
    ]
    samples, scores = default.samples("cv5", 42, 1, "gan")
    assert samples[0] == "results/default/cv5/seed42/fold1/sources/gan/raw/edge-ring.h5"
    assert scores == "results/default/cv5/seed42/fold1/shape/gan.parquet"


def test_the_cap_counts_where_the_filter_applies():
    default = grid(pool=PoolSettings(n_accepted=5, max_raw=9), shape_filter=ShapeFilterSettings(apply_to=["lora"]))
    assert default.pool("lora").max_raw == 9 and default.pool("gan").max_raw == 5
    assert default.filtered("lora") and not default.filtered("gan") and not default.filtered(None)


def test_more_is_drawn_of_a_source_that_a_judge_chooses_from_and_of_no_other():
    conditions = ["real_aug", "gan", "lora", "die_flow", "die_flow_judged"]
    pool = PoolSettings(n_accepted=5, max_raw=9, judged=2.5)
    judged = grid(pool=pool, conditions=conditions)
    drawn = {name: judged.pool(name) for name in judged.sources}
    assert (drawn["die_flow"].n_accepted, drawn["die_flow"].max_raw) == (13, 13)
    assert (drawn["gan"].n_accepted, drawn["lora"].n_accepted, drawn["lora"].max_raw) == (5, 5, 9)
    filtered = grid(pool=pool, conditions=conditions, shape_filter=ShapeFilterSettings(apply_to=["die_flow"]))
    assert (filtered.pool("die_flow").n_accepted, filtered.pool("die_flow").max_raw) == (13, 23)
    more = grid(pool=PoolSettings(n_accepted=5, max_raw=9, judged=4), conditions=conditions)
    for name in ("gan", "lora"):
        assert slice_text(more.pool(name)) == slice_text(judged.pool(name)), "the key is nothing to other sources"
    assert more.budgeted("die_flow").n_accepted == 5


@pytest.mark.parametrize(
    "classifier, condition, expected",
    [
        ({}, "real", (32, "bilinear", False)),
        ({}, "gan", (32, "bilinear", True)),  # render.snap, for samples alone
        ({"draw_real_at": "image", "image_size": 48}, "real", (48, "bilinear", False)),
        ({"input": "one_hot"}, "gan", (32, "nearest", True)),
        ({"input": "nearest"}, "oversample", (32, "nearest", False)),
    ],
)
def test_how_a_cells_wafers_are_drawn(classifier, condition, expected):
    conditions = ["real", "oversample", "gan"]
    settings = {"classifier": ClassifierSettings(**classifier), "render": Render(snap=True), "conditions": conditions}
    drawn = grid(**settings, baseline="real").drawn(condition)
    assert (drawn.size, drawn.resize, drawn.snap) == expected


def test_what_is_known_of_sources_before_they_draw():
    default = grid(conditions=["real_aug", "die_flow", "die_flow_judged", "die_lora", "oracle"])
    known = {name: default.budgeted(name) for name in default.sources}
    assert {name: (one.fewest, one.reserved) for name, one in known.items()} == {
        "die_flow": (0, False),
        "die_lora": (6, False),
        "oracle": (0, False),
    }
    assert default.judged_sources == {"die_flow"}
    assert grid(generators=Generators(train_on="pooled")).budgeted("lora").fewest == 0, "it sees all wafers"
    real = grid(dataset=Dataset(source="npz", path="w.npz"), conditions=["real_aug", "oracle"])
    assert real.budgeted("oracle").reserved, "an oracle of real wafers has what is in reserve"
    assert default.synthetic == ["die_flow", "die_flow_judged", "die_lora", "oracle"]


def test_conditions_by_their_source():
    default = grid()
    assert default.source_of("oversample") is None and default.source_of("gan") == "gan"
    assert default.real_only == "real_aug"


def test_the_report_is_told_what_is_used_alone():
    reported = grid(conditions=["real", "gan"], baseline="real").reported
    assert set(reported.define.sources) == {"gan"} and set(reported.define.conditions) == {"real", "gan"}
    assert isinstance(reported.define.sources["gan"], Gan) and len(reported.define.backbones) == 1
    assert reported.folds.protocols == ("replicates4",)


def test_a_slice_is_safe_in_snakemakes_hands():
    text = slice_text(Dataset(classes=["a{fold}b", "</script>"]))
    assert "{fold}" not in text and "</script>" not in text
    assert Dataset.model_validate_json(text).classes == ("a{fold}b", "</script>")
