"""Devices, seeds, checkpoints."""

import pytest
import torch

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.learning import runtime
from waferbench.learning.runtime import Checkpoint, HalvingBatches, device, memory_bound


def test_a_gpu_that_is_not_there_means_the_cpu_and_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.get_num_threads()
    try:
        assert device(gpus=1, threads=1) == torch.device("cpu")
    finally:
        torch.set_num_threads(before)
    assert "no CUDA GPU in use: running on the CPU" in capsys.readouterr().err


@pytest.mark.parametrize("gpus, granted, used", [(0, 8, 4), (0, 2, 2), (0, None, 4), (1, 8, 8), (1, 3, 3)])
def test_two_jobs_without_a_gpu_share_the_processors(gpus, granted, used, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "processors", lambda: 8)
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    device(gpus, granted)
    assert chosen == [used]


def test_batches_keep_to_their_group_and_are_halved_where_memory_ends(capsys):
    def first_and_last(rows):
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows[0], rows[-1]

    batches = HalvingBatches("work", 5)
    assert batches.run(first_and_last, [range(4), [7, 8, 9, 4]]) == [(0, 1), (2, 3), (7, 8), (9, 4)]
    assert batches.size == 2 and "work: out of GPU memory; from here on batches of 2" in capsys.readouterr().err
    assert batches.run(first_and_last, [range(0), range(1)]) == [(0, 0)]


def test_where_memory_ends_the_error_says_what_to_do():
    with pytest.raises(InputError, match="gan: out of GPU memory; lower batch"), memory_bound("gan", "lower batch"):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_seeds_differ_by_every_part_and_stay():
    assert derive_seed(42, "gan", "donut", 0) == derive_seed(42, "gan", "donut", 0)
    assert len({derive_seed(42, "gan", label, fold) for label in "abc" for fold in range(5)}) == 15
    assert derive_seed("a", "bc") != derive_seed("ab", "c")


def test_a_checkpoint_is_what_was_saved_last(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.load() is None
    for step in (1, 2):
        checkpoint.save({"step": step, "weights": torch.full((3,), float(step))})
    assert checkpoint.load()["step"] == 2 and checkpoint.load()["weights"].tolist() == [2, 2, 2]
    whole = checkpoint.path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(torch.full((3,), 2.0).numpy().tobytes())] ^= 4
    for damaged in (whole[:100], bytes(flipped)):
        checkpoint.path.write_bytes(damaged)
        assert checkpoint.load() is None and "unreadable checkpoint ignored" in capsys.readouterr().err


def test_a_checkpoint_is_due_when_its_time_has_passed(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(runtime.time, "monotonic", lambda: clock[0])
    checkpoint = Checkpoint(tmp_path)
    assert not checkpoint.due
    clock[0] += runtime.SAVE_EVERY
    assert checkpoint.due
    checkpoint.save({"step": 1})
    assert not checkpoint.due
