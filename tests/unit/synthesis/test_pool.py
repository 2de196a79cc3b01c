"""The raw pool: drawn until enough is accepted, in shards that survive."""

import numpy as np
import pytest

from waferbench.config.synthesis.settings import Pool
from waferbench.images.store import read_images
from waferbench.synthesis.pool import IMAGES, MAPS, discard_others, fill
from waferbench.wafers.store import read_store


class Sequence:
    """Image i is filled with i; remembers what was drawn."""

    def __init__(self, dies_after: int = 10**9):
        self.drawn, self.dies_after = [], dies_after

    def __call__(self, start: int, stop: int) -> list[np.ndarray]:
        if len(self.drawn) == self.dies_after:
            raise KeyboardInterrupt
        self.drawn.append((start, stop))
        return [np.full((3 + i % 2, 4), i, np.uint8) for i in range(start, stop)]


def drawn(draw, passes, n_accepted, max_raw, shard, folder, keep=MAPS):
    return fill(draw, passes, Pool(n_accepted=n_accepted, max_raw=max_raw, shard=shard), folder, keep)


def every_third(samples) -> np.ndarray:
    return np.array([sample[0, 0] % 3 == 0 for sample in samples])


def numbers(samples) -> list[int]:
    return [int(sample[0, 0]) for sample in samples]


def test_it_goes_on_until_enough_are_accepted(tmp_path):
    samples, facts = drawn(Sequence(), every_third, 5, 100, 4, tmp_path)
    assert numbers(samples) == list(range(16)), "the fifth accepted one is the 13th, in the fourth shard"
    assert facts == {"drawn": 16, "accepted": 6, "stopped_by": "n_accepted"}


def test_it_stops_at_the_cap_and_says_so(tmp_path):
    samples, facts = drawn(Sequence(), every_third, 5, 10, 4, tmp_path)
    assert len(samples) == 10 and facts == {"drawn": 10, "accepted": 4, "stopped_by": "max_raw"}


def test_without_a_filter_it_draws_what_is_wanted(tmp_path):
    samples, facts = drawn(Sequence(), None, 5, 100, 4, tmp_path)
    assert numbers(samples) == [0, 1, 2, 3, 4] and facts["stopped_by"] == "n_accepted"


def test_a_kill_costs_one_shard(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        drawn(Sequence(dies_after=2), every_third, 5, 100, 4, tmp_path)
    again = Sequence()
    samples, _ = drawn(again, every_third, 5, 100, 4, tmp_path)
    assert again.drawn == [(8, 12), (12, 16)] and numbers(samples) == list(range(16))
    assert [sample.shape for sample in samples[:2]] == [(3, 4), (4, 4)], "wafer maps keep their shapes"


def test_another_filter_or_number_draws_only_what_is_new(tmp_path):
    drawn(Sequence(), every_third, 3, 100, 4, tmp_path)
    again = Sequence()
    samples, _ = drawn(again, None, 6, 6, 4, tmp_path)
    assert again.drawn == [] and numbers(samples) == list(range(6))
    drawn(again, every_third, 4, 100, 4, tmp_path)
    assert again.drawn == [(8, 12)]
    assert numbers(drawn(again, None, 7, 7, 4, tmp_path)[0]) == list(range(7)) and again.drawn == [(8, 12)]


def test_shards_are_drawn_whole_whatever_the_pool(tmp_path):
    sequence = Sequence()
    assert len(drawn(sequence, None, 5, 5, 4, tmp_path)[0]) == 5 and sequence.drawn == [(0, 4), (4, 8)]


def test_a_torn_or_short_shard_is_drawn_anew(tmp_path, capsys):
    drawn(Sequence(), None, 6, 6, 3, tmp_path)
    (tmp_path / "000000.h5").write_bytes(b"torn")
    again = Sequence()
    samples, _ = drawn(again, None, 6, 6, 3, tmp_path)
    assert again.drawn == [(0, 3)] and numbers(samples) == list(range(6))
    assert "000000.h5" in capsys.readouterr().err


def test_images_are_kept_as_images_and_maps_as_maps(tmp_path):
    def images(start, stop):
        return np.stack([np.full((4, 4), i, np.uint8) for i in range(start, stop)])

    for place, draw, keep in (("images", images, IMAGES), ("maps", Sequence(), MAPS)):
        samples, _ = drawn(draw, None, 6, 6, 4, tmp_path / place, keep)
        again, _ = drawn(Sequence(dies_after=0), None, 6, 6, 4, tmp_path / place, keep)
        assert numbers(samples) == numbers(again) == list(range(6))
        assert [sample.shape for sample in again] == [sample.shape for sample in samples]
        assert {sample.dtype for sample in again} == {np.dtype(np.uint8)}
    assert np.array_equal(read_images(tmp_path / "images/000004.h5").images, images(4, 8))
    assert [int(m[0, 0]) for m in read_store(tmp_path / "maps/000004.h5")] == [4, 5, 6, 7]


def test_a_shard_of_another_kind_is_drawn_anew(tmp_path, capsys):
    drawn(Sequence(), None, 4, 4, 4, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        drawn(Sequence(dies_after=0), None, 4, 4, 4, tmp_path, IMAGES)
    assert "000000.h5: no array 'images'" in capsys.readouterr().err


def test_old_sequences_are_removed(tmp_path):
    for name in ("old", "new"):
        drawn(Sequence(), None, 2, 2, 4, tmp_path / name / "donut")
    discard_others(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
