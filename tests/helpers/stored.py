"""A job's outputs and its key, for tests of the store of results."""

from pathlib import Path

from waferbench.base.artifacts import write_json
from waferbench.base.seals import FACTS, describe
from waferbench.engine.store import Store

KEY = {"rule": "train_gan", "wildcards": {"scope": "fold0"}, "settings": {"lr": 1e-3}, "code": "c", "inputs": {}}
RECORD = {"seconds": 3.5}


def outputs(folder: Path) -> list[Path]:
    return [folder / "gan.bin", folder / "base"]


def made(folder: Path, text: str = "weights") -> list[Path]:
    """A file of no kind that carries a digest, and a folder that does, as a job leaves them."""
    (folder / "base" / "unet").mkdir(parents=True)
    (folder / "gan.bin").write_text(text)
    (folder / "base" / "unet" / "part").write_text(text * 100)
    write_json(folder / "base" / FACTS, {"files": describe(folder / "base")})
    (folder / "base" / ".snakemake_timestamp").touch()
    return outputs(folder)


def entry(store: Store) -> Path:
    """The one entry that there is."""
    [found] = store.folder.iterdir()
    return found
