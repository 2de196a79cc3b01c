"""The Frechet distance of two sets of features against clean-fid's function, same features, same number.

python benchmarks/frechet_distance.py --samples 5000 --dimensions 2048
"""

from __future__ import annotations

import argparse

import numpy as np
from cleanfid.fid import frechet_distance as cleanfid_distance
from common import best_of, figure, peak_memory, say_device

from waferbench.synthesis.quality.frechet import frechet_of_features


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    say_device()
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(args.dimensions, args.dimensions)) / args.dimensions**0.5
    x = rng.normal(size=(args.samples, args.dimensions)) @ mixing
    y = rng.normal(0.1, 1.1, size=(args.samples, args.dimensions)) @ mixing

    def theirs() -> float:
        moments = [part for z in (x, y) for part in (z.mean(0), np.cov(z, rowvar=False))]
        return cleanfid_distance(*moments)

    fast, found = best_of(args.repeats, lambda: frechet_of_features(x, y))
    peak_memory("here")
    slow, expected = best_of(args.repeats, theirs)
    figure("Frechet distance", fast, "s", slow, "clean-fid's function")
    figure("relative difference to clean-fid's distance", abs(found - expected) / expected, "")
    peak_memory("with the other way")


if __name__ == "__main__":
    main()
