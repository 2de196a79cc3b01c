"""How many wafers a second the simulator makes, at the class mix of the default study.

python benchmarks/simulator_speed.py --wafers 10000
"""

from __future__ import annotations

import argparse

from common import best_of, figure

from waferbench.wafers.simulate.dataset import simulate

MIX = {
    "Center": 150, "Donut": 48, "Edge-Loc": 180, "Edge-Ring": 240, "Loc": 150,
    "Near-full": 24, "Random": 60, "Scratch": 84, "none": 60,
}  # fmt: skip


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wafers", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts = {name: round(share * args.wafers / sum(MIX.values())) for name, share in MIX.items()}
    simulate(MIX, args.seed)
    seconds, (maps, _, _) = best_of(args.repeats, lambda: simulate(counts, args.seed))
    figure("dies a wafer, on average", sum(m.size for m in maps) / len(maps), "")
    figure("wafers simulated", len(maps) / seconds, "wafers/s")


if __name__ == "__main__":
    main()
