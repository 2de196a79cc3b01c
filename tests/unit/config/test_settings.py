import copy
from pathlib import Path

import pytest
import yaml
from waferbench.config.settings import load_schema, resolve

from waferbench.base.errors import InputError

ROOT = Path(__file__).parents[3]
SCHEMA = load_schema(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())


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
        "config/wm811k-small.yaml",
        "tests/config/tiny.yaml",
    ],
)
def test_every_shipped_configuration_is_valid(overlay):
    resolve(merged(DEFAULT, yaml.safe_load((ROOT / overlay).read_text())), SCHEMA)


def leaves(schema: dict, path: tuple = ()) -> set:
    found = set()
    for key, inner in schema.get("properties", {}).items():
        found |= leaves(inner, (*path, key)) or {(*path, key)}
    return found


def test_schema_and_default_name_the_same_keys():
    def has(node, path):
        return not path or (isinstance(node, dict) and path[0] in node and has(node[path[0]], path[1:]))

    assert [path for path in leaves(SCHEMA) if not has(DEFAULT, path)] == []
    resolve(DEFAULT, SCHEMA)  # and none in the default that the schema lacks


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
        ("folds.run=[7]", "cv5 has 0 to 4"),
        ("study=../elsewhere", "names a folder"),
        ("conditions=[real,gam]", "did you mean 'gan'?"),
        ("budget.exclude=[Edge]", "is not in dataset.classes"),
        ("quality.judge.backbone=densenet121.ra_in1k", "quality.judge.backbone"),
        ("svm", "is not key=value"),
        ("define.sources.gan.kind=vae", "expected one of"),
        ("generators=1", "expected a mapping"),
        ("shape_filter.apply_to=[LoRA]", "did you mean 'lora'?"),
        ("baseline=real_agu", "did you mean 'real_aug'?"),
        ("svm.gamma=scael", "expected scale, auto, a finite number"),
        ("svm.gamma=0", "expected more than 0"),
        ("classifier.lr=0", "expected more than 0"),
        ("render.levels=[0,128,255,9]", "expected at most 3"),
        ("render.levels=[255,128,0]", "expected greys that rise"),
        ("define.sources.gan.discriminator_channels=[8,8]", "one entry more than the discriminator"),
        ("render.levels=[10,128,255]", "expected 0 first"),
        ("quality.judge.condition=gan", "take one of real, real_aug"),
        ("define.sources.gan.betas=[0,0.9,0.5]", "expected at most 2"),
        ("render.size=64", "draw 32 pixels, but render.size = 64"),
    ],
)
def test_bad_values_are_named(override, told):
    with pytest.raises(InputError) as error:
        resolve({**DEFAULT, "set": override}, SCHEMA)
    assert told in str(error.value)


def test_what_the_study_does_not_use_is_not_held_against_it():
    resolve({**DEFAULT, "set": "render.size=64 conditions=[real,lora] baseline=real"}, SCHEMA)


def test_values_take_the_schemas_types():
    settings = resolve({**DEFAULT, "set": "classifier.lr=1e-4 svm.C=2 folds.run=[0, 1] study=7"}, SCHEMA)
    assert settings["classifier"]["lr"] == 1e-4
    assert isinstance(settings["svm"]["C"], float) and settings["svm"]["C"] == 2.0
    assert settings["folds"]["run"] == [0, 1]
    assert settings["study"] == "7"


def test_names_with_dots_can_be_set():
    settings = resolve({**DEFAULT, "set": "define.backbones.test_resnet.r160_in1k.pretrained=true"}, SCHEMA)
    assert settings["define"]["backbones"]["test_resnet.r160_in1k"]["pretrained"] is True


@pytest.mark.parametrize("section", ["conditions", "backbones", "sources"])
def test_names_that_become_folders_are_checked(section):
    entry = next(iter(DEFAULT["define"][section].values()))
    settings = merged(DEFAULT, {"define": {section: {"../up": entry}}})
    with pytest.raises(InputError, match="names a folder"):
        resolve(settings, SCHEMA)


def test_quoted_values_may_hold_blanks():
    settings = resolve({**DEFAULT, "set": "dataset.path='my data/x y.npz' dataset.source=npz seed=7"}, SCHEMA)
    assert settings["dataset"]["path"] == "my data/x y.npz" and settings["seed"] == 7


def test_home_is_expanded():
    given = "weights.folder=~/weights dataset.path=~/data cache=~/cache wafers=~/mine"
    settings = resolve({**DEFAULT, "set": given}, SCHEMA)
    paths = [settings["weights"]["folder"], settings["dataset"]["path"], settings["cache"], settings["wafers"]]
    assert all(path.startswith(str(Path.home())) for path in paths)


def test_equal_gammas_are_equal_settings():
    one, other = (resolve({**DEFAULT, "set": f"svm.gamma={text}"}, SCHEMA)["svm"]["gamma"] for text in ("1", "1.0"))
    assert one == other and type(one) is type(other)
