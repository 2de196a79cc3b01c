"""Base, adapters and sampler of DB-SD-LoRA, on networks of a few thousand weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from waferbench.base.artifacts import read_provenance
from waferbench.base.errors import InputError
from waferbench.base.files import digest
from waferbench.base.scope import Fold
from waferbench.config.resolve import resolve
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.config.synthesis.sources import Lora, NativeBase
from waferbench.config.synthesis.stages import CheckedSource
from waferbench.learning import runtime, training
from waferbench.learning.runtime import Checkpoint
from waferbench.synthesis.diffusion import base as base_module
from waferbench.synthesis.diffusion import sample
from waferbench.synthesis.diffusion.adapters import AdapterSwitch, read_adapter, write_adapter
from waferbench.synthesis.diffusion.base import PARTS, find_base, load_base, save_base
from waferbench.synthesis.diffusion.check import check_source
from waferbench.synthesis.diffusion.latents import draw, to_grey, to_pixels
from waferbench.synthesis.diffusion.lora import train_adapters
from waferbench.synthesis.diffusion.pretrain import draw_prior, pretrain_base
from waferbench.synthesis.diffusion.sample import Sampler, draw_images, initial_noise, unipc
from waferbench.synthesis.diffusion.tokenizer import build_tokenizer

ROOT = Path(__file__).parents[3]

CPU = torch.device("cpu")
torch.set_num_threads(1)  # networks this small only wait for one another on more
SMALL = Lora(
    size=32,
    guidance_interval=(0.0, 1.0),
    instance_prompt="a sks wafer",
    rank=4,
    alpha=6,  # not the rank, so that a lost scale shows
    target_modules=("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv_shortcut", "add_k_proj"),
    steps=4,
    batch=4,
    lr=5e-2,
    sampler_steps=4,
    guidance=2.0,
    guidance_against="prompt",
    sample_batch=4,
    native=NativeBase(
        caption="a wafer",
        unet_channels=(8, 16),
        attention_from=1,
        unet_steps=4,
        unet_batch=4,
        text_width=8,
    ),
)


def small(**changes) -> Lora:
    return SMALL.model_copy(update=changes)


def wafers(n: int = 12, size: int = 32) -> np.ndarray:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    dies = np.where(random.random((n, size, size)) < 0.2, 255, 128)
    return np.where(np.hypot(x, y) < size / 2, dies, 0).astype(np.uint8)


LABELS = np.array(["donut", "edge-ring"] * 6)


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "base"
    base, _ = pretrain_base(wafers(), SMALL, 1, CPU)
    save_base(base, folder, {"n_fitted": 8})
    return folder


@pytest.fixture(scope="module")
def trained(base_folder):
    return train_adapters(load_base(base_folder, CPU), wafers(), LABELS, ["donut", "edge-ring"], SMALL, 1)


@pytest.fixture(scope="module")
def adapters(base_folder, trained, tmp_path_factory):
    folder, base = tmp_path_factory.mktemp("adapters"), load_base(base_folder, CPU)
    paths = {label: folder / f"{label}.safetensors" for label in trained.tensors}
    for label, path in paths.items():
        write_adapter(path, trained.tensors[label], SMALL, {"base": base.fingerprint, "label": label})
    return paths


class Killed(Exception):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Call with n: training dies right after its n-th saved state; states are saved every second step."""
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(runtime, "SAVE_EVERY", 0)
    save = Checkpoint.save

    def arm(n):
        left = [n]

        def dying(self, state):
            save(self, state)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        monkeypatch.setattr(Checkpoint, "save", dying)

    yield arm
    monkeypatch.undo()


def test_tokenizer_survives_saving_and_knows_every_byte(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path, local_files_only=True)
    text = "a photo of sks wäfer"
    assert tokenizer(text).input_ids == again(text).input_ids
    assert len(set(tokenizer("ab ba").input_ids)) == 6  # a letter at a word's end is another token
    assert again.model_max_length == 77


@pytest.mark.parametrize("symmetry", range(8))
def test_pixels_and_greys_are_inverse_up_to_the_symmetry(symmetry):
    images = wafers(2)
    turned = to_grey(to_pixels(images, np.full(2, symmetry), 64), 32)
    expected = np.rot90(images[0][:, ::-1] if symmetry >= 4 else images[0], symmetry % 4)
    np.testing.assert_array_equal(turned[0], expected)


def test_draw_shows_every_image_equally_often():
    codes = draw(5, 10, 4, True, 3)
    assert codes.shape == (10, 4)
    assert (np.bincount(codes.ravel() // 8) == 8).all()
    assert (draw(5, 10, 4, False, 3) % 8 == 0).all()


def test_stock_pipeline_draws_the_same_images(base_folder, adapters):
    base = load_base(base_folder, CPU)
    noise = initial_noise(base, SMALL.size, [3, 4])
    embeddings = torch.cat([base.embed(""), base.embed(SMALL.instance_prompt)])
    without = draw_images(base, noise, embeddings, SMALL, SMALL.precision, 32)
    with AdapterSwitch(base) as switch:
        for path in adapters.values():  # the last one stays; those before it must leave no trace
            switch.load(path)
        ours = draw_images(base, noise, embeddings, SMALL, SMALL.precision, 32)
    np.testing.assert_array_equal(draw_images(base, noise, embeddings, SMALL, SMALL.precision, 32), without)
    pipeline = StableDiffusionPipeline.from_pretrained(base_folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    last = list(adapters.values())[-1]
    pipeline.load_lora_weights(last.parent, weight_name=last.name)
    pipeline.scheduler = unipc(base)
    drawn = pipeline(
        SMALL.instance_prompt,
        num_images_per_prompt=2,
        latents=noise,
        guidance_scale=SMALL.guidance,
        num_inference_steps=SMALL.sampler_steps,
        output_type="np",
    ).images
    stock = np.round(drawn.mean(-1) * 255)
    assert np.abs(stock - ours).max() <= 1
    assert np.abs(stock - without).max() > 3  # the adapter does something


def test_the_full_studys_base_has_tens_of_millions_of_parameters_and_learns():
    study = resolve(yaml.safe_load((ROOT / "config/study.yaml").read_text()), SynthesisSettings)
    lora, steps = study.define.sources["lora"], {"unet_steps": 2, "unet_batch": 1}
    images = np.full((1, lora.size, lora.size), 128, np.uint8)
    quick = lora.model_copy(update={"native": lora.native.model_copy(update=steps)})
    base, history = pretrain_base(images, quick, 0, CPU)
    assert 1e7 < sum(p.numel() for p in base.unet.parameters()) < 1e8
    assert np.isfinite(history["loss"]).all() and len(history) == 2


def test_the_base_draws_by_its_caption_alone(base_folder):
    base = load_base(base_folder, CPU)
    prior = draw_prior(base, SMALL, 3, 16)
    assert prior.shape == (16, 16, 16) and prior.dtype == np.uint8 and prior.std(0).max() > 0
    assert np.array_equal(prior, draw_prior(base, SMALL, 3, 16))
    assert not np.array_equal(prior, draw_prior(base, SMALL, 4, 16))


def test_base_learns_nothing_from_resuming(tmp_path, killed_after):
    whole, history = pretrain_base(wafers(), SMALL, 1, CPU)
    killed_after(1)  # in the middle of the UNet
    with pytest.raises(Killed):
        pretrain_base(wafers(), SMALL, 1, CPU, tmp_path)
    state = torch.load(tmp_path / "unet.pt", weights_only=True)
    assert state["step"] == 2
    resumed, again = pretrain_base(wafers(), SMALL, 1, CPU, tmp_path)
    for name, value in whole.unet.state_dict().items():
        assert torch.equal(value, resumed.unet.state_dict()[name]), name
    for name, value in whole.vae.state_dict().items():
        assert torch.equal(value, resumed.vae.state_dict()[name]), name
    assert history.equals(again)
    changed = [n for n, v in resumed.unet.named_parameters() if not torch.equal(v, state["parameters"][f"unet.{n}"])]
    assert len(changed) > len(state["parameters"]) / 2  # it went on training


def test_adapters_resume_bit_for_bit(tmp_path, base_folder, trained, killed_after):
    killed_after(3)  # in the middle of the second class
    arguments = (wafers(), LABELS, ["donut", "edge-ring"], SMALL, 1)
    with pytest.raises(Killed):
        train_adapters(load_base(base_folder, CPU), *arguments, tmp_path)
    state = torch.load(tmp_path / "edge-ring.pt", weights_only=True)
    assert state["step"] == 2
    resumed = train_adapters(load_base(base_folder, CPU), *arguments, tmp_path)
    for label, tensors in trained.tensors.items():
        for name, value in tensors.items():
            assert torch.equal(value, resumed.tensors[label][name]), (label, name)
    name = next(iter(state["parameters"]))
    assert not torch.equal(resumed.tensors["edge-ring"][name], state["parameters"][name])


def test_adapters_are_one_per_class_and_leave_the_base_alone(base_folder, trained):
    base = load_base(base_folder, CPU)
    before = {name: value.clone() for name, value in base.unet.state_dict().items()}
    again = train_adapters(base, wafers(), LABELS, ["edge-ring"], SMALL, 1)
    after = {name.replace(".base_layer", ""): value for name, value in base.unet.state_dict().items()}
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    donut, ring = trained.tensors["donut"], trained.tensors["edge-ring"]
    assert all(not torch.equal(donut[name], ring[name]) for name in donut)
    # an adapter does not depend on which were trained before it
    assert all(torch.equal(value, again.tensors["edge-ring"][name]) for name, value in ring.items())
    assert any(value.abs().max() > 0 for name, value in ring.items() if "lora_B" in name)
    assert trained.unmatched == ["add_k_proj"]


def test_noise_does_not_depend_on_the_batch(base_folder, adapters):
    base = load_base(base_folder, CPU)
    small = drawn(base, adapters, 5, sample_batch=2)
    large = drawn(base, adapters, 3, sample_batch=8)
    for label, images in large.items():
        assert images.dtype == np.uint8
        assert np.abs(images.astype(int) - small[label][:3]).max() <= 1
    assert not np.array_equal(small["donut"], small["edge-ring"])
    assert not np.array_equal(small["donut"][0], small["donut"][1])
    assert not np.array_equal(drawn(base, adapters, 3, fold=1)["donut"], large["donut"])


def drawn(base, adapters, n: int, fold: int = 0, **changes) -> dict[str, np.ndarray]:
    """The first n images of each label."""
    images = {}
    with Sampler(base, small(**changes), 1, Fold(fold), 32) as sampler:
        for label, path in adapters.items():
            sampler.load(path)
            images[label] = sampler.draw(label, 0, n)
    return images


def test_guidance_against_the_base_goes_beyond_the_adapter(base_folder, adapters, monkeypatch):
    base, against = load_base(base_folder, CPU), {"guidance_against": "base"}
    none, prompt = drawn(base, adapters, 2, guidance=1.0), drawn(base, adapters, 2)
    guided = drawn(base, adapters, 2, **against)
    for label in adapters:
        assert not np.array_equal(guided[label], none[label]) and not np.array_equal(guided[label], prompt[label])
    # by hand, step for step: both networks by themselves, and the prediction moved from the one beyond the other
    plain, adapted = load_base(base_folder, CPU), load_base(base_folder, CPU)
    scheduler, latents = unipc(plain), initial_noise(plain, 32, [5])
    scheduler.set_timesteps(SMALL.sampler_steps)
    prompts = {"encoder_hidden_states": plain.embed(SMALL.instance_prompt), "return_dict": False}
    with AdapterSwitch(adapted) as switch, torch.inference_mode():
        switch.load(adapters["donut"])
        embeddings = torch.cat([base.embed(""), base.embed(SMALL.instance_prompt)])
        settings = small(guidance=3.0, **against)
        ours = draw_images(adapted, initial_noise(plain, 32, [5]), embeddings, settings, "float32", 32, switch.disabled)
        for time in scheduler.timesteps:
            weak, strong = (one.unet(latents, time, **prompts)[0] for one in (plain, adapted))
            latents = scheduler.step(3 * strong - 2 * weak, time, latents, return_dict=False)[0]
        by_hand = to_grey(plain.vae.decode(latents).sample, 32)
    assert np.abs(ours.astype(int) - by_hand).max() <= 1
    # without effect where the adapter does nothing
    monkeypatch.setattr(sample, "guides", lambda _: "base")
    unguided = drawn(base, adapters, 2, guidance=1.0)
    assert all(np.abs(unguided[label].astype(int) - none[label]).max() <= 1 for label in adapters)


def test_guidance_without_a_direction_is_refused(tmp_path, base_folder, trained):
    base, settings = load_base(base_folder, CPU), small(guidance_against="base")
    embeddings = torch.cat([base.embed(""), base.embed("a wafer")])
    with pytest.raises(InputError, match="nothing to guide"):
        draw_images(base, initial_noise(base, 32, [1]), embeddings, settings, "float32", 32)
    silent = {name: tensor * ("lora_A" in name) for name, tensor in trained.tensors["donut"].items()}
    write_adapter(tmp_path / "silent.safetensors", silent, SMALL, {"base": base.fingerprint})
    with Sampler(base, settings, 1, Fold(0), 32) as sampler, pytest.raises(InputError, match="has no direction"):
        sampler.load(tmp_path / "silent.safetensors")


def test_the_switch_leaves_no_trace_and_copies_nothing(base_folder, adapters):
    base = load_base(base_folder, CPU)
    before = {name: value.clone() for name, value in base.unet.state_dict().items()}
    with AdapterSwitch(base) as switch:
        switch.load(adapters["donut"])
        conv = base.unet.down_blocks[0].resnets[0].conv1.weight
        adapted, place = conv.clone(), conv.data_ptr()
        assert not torch.equal(adapted, before["down_blocks.0.resnets.0.conv1.weight"])
        with switch.disabled():
            assert all(torch.equal(value, before[name]) for name, value in base.unet.state_dict().items())
        assert torch.equal(conv, adapted) and conv.data_ptr() == place
    assert all(torch.equal(value, before[name]) for name, value in base.unet.state_dict().items())


def test_guidance_acts_within_its_interval_alone(base_folder, adapters):
    base = load_base(base_folder, CPU)
    whole, none = drawn(base, adapters, 2), drawn(base, adapters, 2, guidance=1.0)
    nowhere = drawn(base, adapters, 2, guidance=9.0, guidance_interval=(0.0, 0.0))
    late = drawn(base, adapters, 2, guidance_interval=(0.0, 0.6))
    for label in adapters:
        np.testing.assert_array_equal(nowhere[label], none[label])
        assert not np.array_equal(late[label], whole[label]) and not np.array_equal(late[label], none[label])


def test_sampling_halves_a_batch_that_memory_does_not_hold(base_folder, adapters, monkeypatch, capsys):
    base = load_base(base_folder, CPU)
    expected = drawn(base, adapters, 5)
    draw = sample.draw_images

    def greedy(base, noise, *rest):
        if len(noise) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return draw(base, noise, *rest)

    monkeypatch.setattr(sample, "draw_images", greedy)
    for label, images in drawn(base, adapters, 5).items():
        assert np.abs(images.astype(int) - expected[label]).max() <= 1
    assert "from here on batches of 2" in capsys.readouterr().err
    monkeypatch.setattr(sample, "draw_images", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(InputError, match="one by one"):
        drawn(base, adapters, 1)


@pytest.mark.parametrize("change", [{"accumulate": 2}, {"gradient_checkpointing": True}])
def test_saving_memory_changes_an_adapter_by_rounding_alone(base_folder, trained, change):
    base, settings = load_base(base_folder, CPU), small(**change)
    other = train_adapters(base, wafers(), LABELS, ["donut", "edge-ring"], settings, 1)
    for label, tensors in trained.tensors.items():
        for name, value in tensors.items():
            torch.testing.assert_close(value, other.tensors[label][name], rtol=1e-3, atol=1e-4)


def test_averaged_adapters_lag_behind(base_folder, trained):
    other = train_adapters(load_base(base_folder, CPU), wafers(), LABELS, ["donut"], small(ema=0.9), 1)
    ups = [name for name in trained.tensors["donut"] if "lora_B" in name]
    last, mean = (torch.stack([t[n].norm() for n in ups]) for t in (trained.tensors["donut"], other.tensors["donut"]))
    assert (mean < last).all() and (mean > 0).all()


def test_same_seed_gives_the_same_bytes(tmp_path, base_folder, trained, adapters):
    base, _ = pretrain_base(wafers(), SMALL, 1, CPU)
    save_base(base, tmp_path / "base", {"n_fitted": 8})
    assert digest(tmp_path / "base") == digest(base_folder)
    assert read_provenance(tmp_path / "base" / "waferbench.json") == {"n_fitted": 8}
    other, _ = pretrain_base(wafers(), SMALL, 2, CPU)
    save_base(other, tmp_path / "base", {"n_fitted": 8})
    assert digest(tmp_path / "base") != digest(base_folder)
    facts = read_provenance(adapters["donut"])
    for i in range(5):  # the library's own order of metadata changes from call to call
        write_adapter(tmp_path / f"{i}.safetensors", trained.tensors["donut"], SMALL, facts)
        assert digest(tmp_path / f"{i}.safetensors") == digest(adapters["donut"])


@pytest.mark.parametrize("part", PARTS)
def test_base_without_a_part_is_named(tmp_path, base_folder, part):
    folder = tmp_path / "base"
    shutil.copytree(base_folder, folder)
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"no {part} "):
        load_base(folder, CPU)


def test_adapter_of_another_base_is_refused(tmp_path, base_folder, adapters):
    base, _ = pretrain_base(wafers(), SMALL, 2, CPU)
    save_base(base, tmp_path / "other")
    with pytest.raises(InputError, match="trained on base"):
        read_adapter(adapters["donut"], load_base(tmp_path / "other", CPU))


def test_unusable_input_is_named(tmp_path, base_folder, monkeypatch):
    base = load_base(base_folder, CPU)
    with pytest.raises(InputError, match="'scratch'"):
        train_adapters(base, wafers(), LABELS, ["scratch"], SMALL, 1)
    with pytest.raises(InputError, match="add_k_proj"):
        train_adapters(base, wafers(), LABELS, ["donut"], small(target_modules=("add_k_proj",)), 1)
    with pytest.raises(InputError, match="tokens"):
        base.embed("wafer " * 40)
    with pytest.raises(InputError, match="divisible"):
        pretrain_base(wafers(), small(size=33), 1, CPU)
    with pytest.raises(InputError, match=r"'donut' has 5 training wafers.*dataset\.classes"):
        train_adapters(base, wafers()[:10], LABELS[:10], ["donut"], SMALL, 1)
    for size in (16, 64):
        with pytest.raises(InputError, match="set size to 32"):
            train_adapters(base, wafers(), LABELS, ["donut"], small(size=size), 1)
        with pytest.raises(InputError, match="set size to 32"):
            Sampler(base, small(size=size), 1, Fold(0), 32)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"weights\.download"):
        find_base("nobody/nothing", WeightPlaces())
    assert find_base("base", WeightPlaces(folder=str(base_folder.parent))) == base_folder


@pytest.mark.parametrize("there", [True, False])
def test_a_downloaded_base_stays_at_its_revision(there, tmp_path, monkeypatch):
    cached, asked = tmp_path / ("a" * 40), []

    def hub(name, revision=None, allow_patterns=(), local_files_only=False):
        asked.append((revision, local_files_only))
        if local_files_only and not there:
            raise FileNotFoundError
        return str(cached)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(base_module, "snapshot_download", hub)
    assert find_base("somebody/base", WeightPlaces(download=True)) == cached
    assert asked == [(None, True), (cached.name if there else None, False)]


@pytest.mark.parametrize(
    "change, told",
    [
        ({"target_modules": ("nothing",)}, "names a linear layer"),
        ({"instance_prompt": "a " * 90}, "this base keeps"),
        ({"base": "nobody/nothing"}, "no such folder"),
        ({"size": 33}, "not divisible"),
        ({"alpha": 0.0, "guidance_against": "base"}, "without a direction"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_trained(change, told):
    with pytest.raises(InputError, match=told):
        check_source(CheckedSource.of(SMALL, **change), WeightPlaces())


def test_a_ready_base_is_checked_without_its_weights(base_folder):
    weights = WeightPlaces(folder=str(base_folder.parent))
    assert check_source(CheckedSource.of(SMALL, base="base"), weights) == "base"
    with pytest.raises(InputError, match="names a linear layer"):
        check_source(CheckedSource.of(SMALL, base="base", target_modules=("nothing",)), weights)
    with pytest.raises(InputError, match="set size to 32"):
        check_source(CheckedSource.of(SMALL, base="base", size=64), weights)
