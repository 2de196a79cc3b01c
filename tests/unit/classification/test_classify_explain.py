"""Grad-CAM and the choice of mistakes."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from waferbench.base.errors import InputError
from waferbench.classification.explain import as_grid, explain, grad_cam, surest_mistakes
from waferbench.classification.predictions import prediction_table
from waferbench.classification.train import Normaliser
from waferbench.learning.backbones import create_backbone

CPU = torch.device("cpu")
LABELS = ["center", "donut", "scratch"]


class Net(nn.Module):
    """Features in any layout, mean pooling, a linear head."""

    num_features = 5

    def __init__(self, layout):
        super().__init__()
        torch.manual_seed(0)
        self.layout, self.output_fmt = layout, "NHWC" if layout == "NHWC" else "NCHW"
        self.stem, self.head = nn.Conv2d(3, 5, 4, 4), nn.Linear(5, 3)
        self.num_prefix_tokens = int(layout == "tokens")

    def forward_features(self, images):
        maps = self.stem(images)
        if self.layout == "NHWC":
            return maps.permute(0, 2, 3, 1)
        if self.layout == "tokens":
            tokens = maps.flatten(2).transpose(1, 2)
            return torch.cat([tokens[:, :1] * 0, tokens], 1)
        return maps

    def forward_head(self, features):
        if self.layout == "tokens":
            return self.head(features[:, 1:].mean(1))
        return self.head(features.mean((1, 2) if self.layout == "NHWC" else (2, 3)))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "tokens"])
def test_behind_mean_pooling_it_is_the_class_activation_map(layout):
    model, images, classes = Net(layout).eval(), torch.randn(4, 3, 20, 20), torch.tensor([0, 1, 2, 1])
    # With a linear head on the mean the gradient is the head's weight (Zhou et al. 2016, CAM).
    wanted = torch.einsum("nk,nkhw->nhw", model.head.weight[classes], model.stem(images)).relu()
    wanted = wanted / wanted.amax((1, 2), keepdim=True).clamp_min(1e-12)
    assert wanted.max() == 1
    torch.testing.assert_close(grad_cam(model, images, classes), wanted)


@pytest.mark.parametrize(
    "name", ["test_resnet.r160_in1k", "swin_tiny_patch4_window7_224.ms_in1k", "tf_efficientnet_lite0"]
)
def test_networks_of_the_study(name):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, mean, std = create_backbone(name, 3, pretrained=False, image_size=64)
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32), dtype=np.uint8)
    maps = np.stack([explain(model, Normaliser(mean, std, 64), images, np.full(2, c), CPU) for c in range(3)])
    assert maps.shape == (3, 2, 32, 32) and maps.dtype == np.uint8
    assert maps.max() > 200 and not np.array_equal(maps[0], maps[1])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_of_small_images_an_earlier_finer_map_is_looked_at():
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3).eval()
    maps = grad_cam(model, torch.rand(2, 3, 64, 64), torch.tensor([0, 2]))
    assert maps.shape == (2, 8, 8), "its last map has four pixels, the stage before the one before it 64"
    assert maps.amax((1, 2)).tolist() == [1, 1] and (maps.std((1, 2)) > 0).all()


def test_a_map_points_at_what_the_class_is_made_of():
    model = Net("NCHW")
    with torch.no_grad():
        model.stem.weight.zero_()
        model.stem.bias.zero_()
        model.stem.weight[0] = 1.0  # channel 0: brightness
        model.head.weight.copy_(torch.tensor([[1.0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0], [0.0, 0, 0, 0, 0]]))
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, :8, 24:] = 255
    for_it, against = (explain(model, Normaliser((0,) * 3, (1,) * 3), image, np.array([c]), CPU)[0] for c in (0, 1))
    assert for_it[2, 29] > 200 and for_it[16:].max() == 0 and for_it[:, :16].max() == 0
    assert against.max() == 0


def test_what_has_no_map_is_refused():
    model, mean, std = create_backbone("vit_tiny_patch16_224", 3, pretrained=False, image_size=32)
    with pytest.raises(InputError, match="class token"):
        explain(model, Normaliser(mean, std), np.full((1, 32, 32), 7, np.uint8), np.array([0]), CPU)
    with pytest.raises(InputError, match=r"features \(1, 7, 5\)"):
        as_grid(Net("NCHW"), torch.zeros(1, 7, 5))
    assert as_grid(Net("NHWC"), torch.zeros(1, 5, 4, 5)).shape == (1, 5, 5, 4)


def test_surest_mistakes():
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]], np.float32)
    names = {"protocol": "cv5", "seed": 1, "replicate": 0, "fold": 0, "backbone": "net", "condition": "real"}
    names |= {"n_train_real": 9, "n_train_synthetic": 0, "n_train_repeated": 0, "n_added": 0, "steps": 1}
    ids = np.array(["a", "b", "c", "d"])
    table = prediction_table(names, "softmax", ids, np.array([0, 2, 0, 0]), p.argmax(1), LABELS, p)
    found = surest_mistakes(table, LABELS, 2)
    assert found["wafer_id"].tolist() == ["c", "b"] and found["true"].tolist() == [0, 2]
    assert found["called"].tolist() == [2, 1] and found["probability"].tolist() == pytest.approx([0.8, 0.7])
    assert len(surest_mistakes(table, LABELS, 9)) == 3
    none = surest_mistakes(table[table["wafer_id"] == "a"], LABELS, 9)
    nothing = explain(Net("NCHW"), Normaliser((0,) * 3, (1,) * 3), np.zeros((0, 8, 8), np.uint8), none["called"], CPU)
    assert none.empty and nothing.shape == (0, 8, 8)
