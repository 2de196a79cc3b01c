"""What a classifier costs, and where its speed is written."""

import json

import pytest
import torch
from torch import nn

from helpers.small_cell import TINY, run
from waferbench.base.artifacts import read_json
from waferbench.classification import cost
from waferbench.config.synthesis.stages import MeasureBackbone
from waferbench.learning.backbones import create_backbone


def test_macs_and_parameters_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Flatten())
    model.append(nn.Linear(8 * 5 * 5, 4))
    counted = cost.count(model, 10)
    assert counted["macs"] == 3 * 8 * 9 * 10 * 10 + 8 * 9 * 5 * 5 + 200 * 4
    assert counted["parameters"] == (3 * 8 * 9 + 8) + (8 * 9 + 8) + (200 * 4 + 4)
    assert all(not parameter.is_meta for parameter in model.parameters())


def test_attention_is_counted():
    model, _, _ = create_backbone("vit_tiny_patch16_224", 8, pretrained=False, image_size=32)
    tokens, width = 2 * 2 + 1, 192
    linear = 12 * tokens * width * width * 12  # query, key, value, output and two layers of four times the width
    attention = 12 * 2 * tokens * tokens * width
    patches = 4 * width * 3 * 16 * 16
    assert cost.count(model, 32)["macs"] == linear + attention + patches + width * 8


def test_published_count():
    model, _, _ = create_backbone("mobilenetv2_100.ra_in1k", 1000, pretrained=False)
    counted = cost.count(model, 224)
    assert counted["macs"] == pytest.approx(300e6, rel=0.01) and counted["parameters"] == pytest.approx(3.5e6, rel=0.01)


def test_speed_goes_to_the_run_record_and_not_into_the_artifact(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "SECONDS", 0.05)
    threads = torch.get_num_threads()
    settings = MeasureBackbone(n_classes=3, image_size=32, precision="auto")
    outputs = {"cost": tmp_path / "cost.json"}
    run(tmp_path, "measure_backbone", settings, {}, outputs, {"backbone": TINY})
    torch.set_num_threads(threads)
    made = read_json(tmp_path / "cost.json")
    assert set(made) == {"backbone", "parameters", "macs", "image_size"} and made["backbone"] == TINY
    record = json.loads((tmp_path / f"results/small/runs/measure_backbone-{TINY}.json").read_text())
    assert record["rule"] == "measure_backbone" and record["wildcards"] == {"backbone": TINY}
    assert record["latency_ms"] > 0
    assert record["images_per_second"] > 1000 / record["latency_ms"] / 4  # batches are not far slower than single ones
