import copy
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config

from waferbench.base.errors import InputError
from waferbench.config.resolve import machine_of, require_runnable, resolve
from waferbench.tracks import all_tracks, checks_of, settings_model

ROOT = Path(__file__).parents[3]
MODEL, CHECKS = settings_model(all_tracks()), checks_of(all_tracks())
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def settings_of(config: dict, **more):
    return resolve({**config, **more}, MODEL, CHECKS)


def merged(base: dict, overlay: dict) -> dict:
    result = copy.deepcopy(base)
    for key, value in overlay.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


@pytest.mark.parametrize(
    "overlay",
    [
        "config/config.yaml",
        "config/paper.yaml",
        "config/study.yaml",
        "config/wm811k.yaml",
        "tests/config/tiny.yaml",
    ],
)
def test_every_shipped_configuration_is_valid(overlay):
    settings_of(merged(DEFAULT, yaml.safe_load((ROOT / overlay).read_text())))


@pytest.mark.parametrize(
    "override, told",
    [
        ("svmm.C=1", "unknown key 'svmm.C'"),
        ("svm.c=1", "did you mean 'C'?"),
        ("classifier.epochs=2.5", "expected a whole number"),
        ("classifier.lr=nan", "expected a finite number"),
        ("pool.n_accepted=-1", "expected at least"),
        ("dataset.source=npzz", "did you mean 'npz'?"),
        ("folds.run=[0,0]", "no entry twice"),
        ("folds.run=[7]", "replicates4 has 0 to 3"),
        ("study=../elsewhere", "names a folder"),
        ("conditions=[real,gam]", "did you mean 'gan'?"),
        ("budget.exclude=[Edge]", "is not in dataset.classes"),
        ("quality.judge.backbone=densenet121.ra_in1k", "quality.judge.backbone"),
        ("svm", "is not key=value"),
        ("define.sources.gan.kind=vae", "expected one of"),
        ("generators=1", "expected a mapping"),
        ("shape_filter.apply_to=[LoRA]", "did you mean 'lora'?"),
        ("baseline=real_agu", "did you mean 'real_aug'?"),
        ("define.conditions.oversample.keep_if_judged=true", "whose labels are the real ones"),
        ("define.conditions.gan.exclude=[Donut]", "which budget.equal = true refuses"),
        ("budget.reading=all", "differs between conditions, so that budget.equal = true refuses it"),
        ("svm.gamma=scael", "expected scale, auto, a finite number"),
        ("svm.gamma=0", "expected more than 0"),
        ("svm.C=true", "expected a finite number"),
        ("classifier.flip=maybe", "expected true or false"),
        ("define.sources.gan.latnt=3", "did you mean 'latent'?"),
        ("define.sources.die_flow.chanels=[8,8]", "unknown key 'define.sources.die_flow.chanels'"),
        ("define.sources.lora.native.unet_chanels=[8]", "did you mean 'unet_channels'?"),
        ("define.sources.gan.generator_channels=[1,-2]", "generator_channels[1]: found -2, expected at least 1"),
        ("dataset.simulated.counts.Center=-1", "dataset.simulated.counts.Center: found -1, expected at least 0"),
        ("dataset.classes=[a]", "found 1 entries, expected at least 2"),
        ("classifier.lr=0", "expected more than 0"),
        ("render.levels=[0,128,255,9]", "expected at most 3"),
        ("render.levels=[255,128,0]", "expected greys that rise"),
        ("define.sources.gan.discriminator_channels=[8,8]", "one entry more than the discriminator"),
        ("render.levels=[10,128,255]", "expected 0 first"),
        ("quality.judge.condition=gan", "take one of real_aug"),
        ("define.sources.gan.betas=[0,0.9,0.5]", "expected at most 2"),
        ("render.size=64", "draw 32 pixels, but render.size = 64"),
    ],
)
def test_bad_values_are_named(override, told):
    with pytest.raises(InputError) as error:
        settings_of(DEFAULT, set=override)
    assert told in str(error.value)


def test_what_the_study_does_not_use_is_not_held_against_it():
    settings_of(DEFAULT, set="render.size=64 conditions=[real_aug,lora]")


def test_values_take_the_models_types():
    settings = settings_of(
        DEFAULT, set="classifier.lr=1e-4 svm.C=2 folds.run=[0, 1] svm.seed=1e3 dataset.pass_bins=[1,7]"
    )
    assert settings.classifier.lr == 1e-4
    assert isinstance(settings.svm.C, float) and settings.svm.C == 2.0
    assert settings.folds.run == (0, 1)
    assert (settings.svm.seed, type(settings.svm.seed)) == (1000, int)
    assert settings.dataset.pass_bins == ("1", "7")


@pytest.mark.parametrize(
    ("given", "rename"),
    [
        ("evaluate.rename={Ring: Edge-Ring}", {"Ring": "Edge-Ring"}),
        ('evaluate.rename={"Ring": Edge-Ring, "Odd": ""} svm.C=2', {"Ring": "Edge-Ring", "Odd": ""}),
        ("svm.C=2 evaluate.rename={Odd: Scratch} folds.run=[0]", {"Odd": "Scratch"}),
    ],
)
def test_a_mapping_is_read_however_snakemake_hands_it_over(given, rename):
    assert settings_of(DEFAULT, **parse_config([f"set={given}"])).evaluate.rename == rename


@pytest.mark.parametrize(
    "one, other", [("svm.C=2", "svm.C=2.0"), ("svm.C='2'", "svm.C=2"), ("svm.gamma=1", "svm.gamma=1.0")]
)
def test_equal_values_are_equal_settings(one, other):
    assert settings_of(DEFAULT, set=one) == settings_of(DEFAULT, set=other)


@pytest.mark.parametrize("name", [7, 202510, 1000.0, True])
def test_a_study_that_became_a_number_is_refused_with_the_quoting_that_works(name):
    for given in ({"study": name}, {"set": {"study": name}}):
        with pytest.raises(InputError, match="found the number") as error:
            settings_of({**DEFAULT, **given})
        assert "--config set='study=007'" in str(error.value)
    with pytest.raises(InputError, match="found the number"):
        machine_of({"study": name})


@pytest.mark.parametrize("name", ["007", "2025_10", "1e3", "7"])
def test_a_name_of_digits_is_kept_as_it_was_written(name):
    assert settings_of(DEFAULT, set=f"study={name} seed=3").study == machine_of({"set": f"study={name}"}).study == name


def test_quoted_digits_of_a_file_are_a_name():
    assert settings_of(DEFAULT, study="007").study == "007"
    assert machine_of({"study": "2025_10"}).study == "2025_10"


def test_what_is_left_out_has_its_default_and_definitions_extend():
    settings = settings_of({"define": {"sources": {"gan": {"latent": 8}, "thin": {"kind": "die_flow", "steps": 3}}}})
    assert settings.define.sources["gan"].latent == 8 and settings.define.sources["gan"].batch == 16
    assert settings.define.sources["thin"].steps == 3 and settings.define.sources["thin"].batch == 8
    assert set(settings.define.sources) == {"oracle", "gan", "lora", "die_lora", "die_flow", "thin"}


def test_a_source_of_another_kind_begins_with_that_kinds_defaults():
    settings = settings_of({"define": {"sources": {"gan": {"kind": "die_flow", "steps": 4}}}})
    assert settings.define.sources["gan"].kind == "die_flow" and settings.define.sources["gan"].steps == 4


def test_what_no_result_depends_on_is_read_without_the_rest():
    machine = machine_of({"set": "cache=~/c weights.folder=w study=mine svm.C=3", "classifier": {"batch": 4}})
    assert (machine.study, machine.weights.folder) == ("mine", "w")
    assert machine.cache == str(Path.home() / "c")


def test_names_with_dots_can_be_set():
    settings = settings_of(DEFAULT, set="define.backbones.test_resnet.r160_in1k.pretrained=true")
    assert settings.define.backbones["test_resnet.r160_in1k"].pretrained is True


@pytest.mark.parametrize("section", ["conditions", "backbones", "sources"])
def test_names_that_become_folders_are_checked(section):
    entry = next(iter(DEFAULT["define"][section].values()))
    with pytest.raises(InputError, match="names a folder"):
        settings_of(merged(DEFAULT, {"define": {section: {"../up": entry}}}))


def test_quoted_values_may_hold_blanks():
    settings = settings_of(
        DEFAULT, set="dataset.path='my data/x y.npz' dataset.source=npz seed=7 conditions=[real_aug]"
    )
    assert settings.dataset.path == "my data/x y.npz" and settings.seed == 7


def test_home_is_expanded():
    given = "weights.folder=~/weights dataset.path=~/data cache=~/cache wafers=~/mine"
    settings = settings_of(DEFAULT, set=given)
    paths = [settings.dataset.path, settings.weights.folder, settings.cache, settings.wafers]
    assert all(path.startswith(str(Path.home())) for path in paths)


def test_a_target_without_its_data_names_the_key():
    with pytest.raises(InputError, match=r"dataset\.path: empty.*give a path"):
        settings_of(DEFAULT, set="dataset.source=folder")


@pytest.mark.parametrize(
    "config, told",
    [
        ({"conditions": {"real": 1}}, "conditions: found {'real': 1}, expected a list"),
        ({"dataset": {"classes": "[a,b"}}, "dataset.classes: found '[a,b', expected a list"),
        ({"dataset": {"classes": ["a b", "a-b"]}}, "both become 'a-b'"),
        ({"define": {"sources": {"gan": None}}}, "define.sources.gan: found None, expected a mapping"),
        ({"define": {"sources": {"x": {"latent": 3}}}}, "expected one of ts_hinge_gan, db_sd_lora, die_flow"),
        ({"svm": {"gamma": True}}, "svm.gamma: found 'True', expected scale, auto, a finite number"),
        ({3: 4}, "unknown key '3'"),
        ({"repeats": 5_000_000}, "expected at most 1000"),
    ],
    ids=str,
)
def test_what_is_no_setting_is_told_and_ends_in_no_traceback(config, told):
    with pytest.raises(InputError) as error:
        settings_of(config)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "place", [("generators", "train_on"), ("classifier", "flip"), ("define", "sources", "x", "kind")]
)
def test_a_value_that_aliases_swell_is_told_in_no_time(place):
    value = "x"
    for _ in range(12):
        value = [value] * 9
    for key in reversed(place):
        value = {key: value}
    with pytest.raises(InputError, match="found"):
        settings_of(value)


def test_keys_without_end_are_told():
    endless = {}
    for _ in range(3000):
        endless = {"a": endless}
    with pytest.raises(InputError, match="without end"):
        settings_of({"svm": endless})


def test_what_set_gives_stands_in_place_of_what_was_there():
    settings = settings_of({"set": "dataset.simulated.counts={Center: 5, Loc: 4} svm={C: 3}"})
    assert settings.dataset.simulated.counts == {"Center": 5, "Loc": 4}
    assert (settings.svm.C, settings.svm.code_size) == (3.0, 2.0)


def test_another_kind_given_by_set_begins_with_its_own_defaults():
    settings = settings_of({"set": "define.sources.gan.kind=die_flow define.sources.gan.steps=7"})
    assert settings.define.sources["gan"].steps == 7


def test_a_number_of_a_few_may_be_written_as_a_text():
    assert settings_of({"render": {"size": "64"}, "conditions": ["real"], "baseline": "real"}).render.size == 64


@pytest.mark.parametrize(
    "python, sign",
    [
        ("/home/me/One Drive/bin/python", "blank"),
        ("/home/it's/bin/python", "apostrophe"),
        ("/home/a\tb/bin/python", "tab"),
        *((f"/home/a{sign}b/bin/python", sign) for sign in '"$`&;|<>()\\'),
    ],
)
def test_an_interpreter_that_a_shell_would_not_find_is_told(python, sign):
    with pytest.raises(InputError) as error:
        require_runnable("/home/me/wafers", python)
    assert repr(python) in str(error.value) and f"expected no {sign} in its path" in str(error.value)


def test_a_folder_and_an_interpreter_that_jobs_start_from_are_taken():
    require_runnable("/home/me/One Drive/it's mine; all (of) it", "/opt/\u00fcbung-1.0_a+b,c/bin/python3.12")
    with pytest.raises(InputError, match="expected no brace"):
        require_runnable("/home/a{b}", "/usr/bin/python3")
