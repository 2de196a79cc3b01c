"""What a user has no right to read is named before anything runs, without a traceback."""

import pytest
from conftest import Study, as_anybody

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def study(finished: Study, tmp_path_factory) -> Study:
    """The finished study beside a folder that nobody may look into."""
    study = finished.copy(tmp_path_factory.mktemp("rights") / "study")
    (study.folder / "closed").mkdir(mode=0)
    return study


@pytest.mark.parametrize(
    "asked",
    [
        ("--config", "set=dataset.path=closed/wafers.npz"),
        ("--config", "set=weights.folder=closed"),
        ("predict", "--config", "wafers=closed/wafers.npz"),
    ],
)
def test_what_lies_in_a_closed_folder_is_named(asked: tuple[str, ...], study: Study):
    output = study.snakemake("-n", *asked, expect=1, within=as_anybody())
    assert "closed/" in output and ": Permission denied; ask its owner for the right to read it" in output
    assert "Traceback (most recent call last)" not in output
