"""One Slurm for all tests of a run."""

import pytest

from cluster.slurm import Slurm, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A cluster of 24 make-believe nodes with a GPU, and one without."""
    if why := missing():
        pytest.skip(why)
    cluster = Slurm(tmp_path_factory.mktemp("slurm"), gpu_nodes=24).start()
    yield cluster
    cluster.stop()
    assert not cluster.left_processes()
    assert not cluster.folder.exists()
