"""Ready diffusion bases from anybody: sound ones load whatever their layout, made-up ones are named."""

import json
import os
import shutil
import struct

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file, save_file

from waferbench.base.errors import InputError
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.sources import Lora, NativeBase
from waferbench.config.synthesis.stages import CheckedSource
from waferbench.synthesis.diffusion import base as bases
from waferbench.synthesis.diffusion import parts
from waferbench.synthesis.diffusion.base import build_base, fingerprint, load_base, save_base
from waferbench.synthesis.diffusion.check import check_source

CPU = torch.device("cpu")
NATIVE = NativeBase(unet_channels=(8, 16), attention_from=1, text_width=8)
NETWORKS = {
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "base"
    torch.manual_seed(0)
    save_base(build_base(NATIVE, 16), folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "base")


def change(file, **values):
    """Some values of a description replaced, or left out where they are `...`."""
    facts = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in facts.items() if value is not ...}))


def unet(**values):
    return lambda folder: change(folder / "unet/config.json", **values)


def vae(**values):
    return lambda folder: change(folder / "vae/config.json", **values)


def encoder(**values):
    return lambda folder: change(folder / "text_encoder/config.json", **values)


def scheduler(**values):
    return lambda folder: change(folder / "scheduler/scheduler_config.json", **values)


def tokenizer(**values):
    return lambda folder: change(folder / "tokenizer/tokenizer_config.json", **values)


def model(**values):
    return lambda folder: change(folder / "tokenizer/tokenizer.json", model=values)


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def weights(part, change):
    """A network's tensors changed in place."""

    def craft(folder):
        tensors = load_file(folder / NETWORKS[part])
        change(tensors)
        save_file(tensors, folder / NETWORKS[part])

    return craft


def widened(tensors):
    name = next(name for name in tensors if tensors[name].dim() == 4)
    tensors[name] = torch.zeros(3, *tensors[name].shape[1:])


def cut(part, kept):
    def craft(folder):
        content = (folder / NETWORKS[part]).read_bytes()
        (folder / NETWORKS[part]).write_bytes(content[: int(len(content) * kept)])

    return craft


def replaced(name, make):
    def craft(folder):
        (folder / name).unlink()
        make(folder / name)

    return craft


def many(folder):
    """A file of weights that names more tensors than any network has."""
    header = json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)})
    (folder / NETWORKS["unet"]).write_bytes(struct.pack("<Q", len(header)) + header.encode())


CRAFTED = {
    "a text for a number": (unet(layers_per_block="many"), r"unet/config\.json"),
    "an object for a number": (unet(in_channels={"a": 1}), r"unet/config\.json: in_channels is"),
    "layers without end": (unet(layers_per_block=10**6), r"unet/config\.json: describes 2,000,000 layers"),
    "layers in a list": (unet(layers_per_block=[1, 10**6]), r"unet/config\.json: describes 2,000,000 layers"),
    "transformers without end": (unet(transformer_layers_per_block=[[10**6]] * 2), r"unet/config\.json: describes"),
    "more than a bound": (unet(norm_num_groups=2**40), r"unet/config\.json: norm_num_groups is"),
    "a thousand digits": (unet(sample_size=10**1000), r"unet/config\.json: sample_size is"),
    "a million digits": (text("unet/config.json", "[" + "9" * 10**6 + "]"), r"unet/config\.json: not a readable JSON"),
    "blocks without end": (unet(block_out_channels=[8] * 10**5), r"unet/config\.json: block_out_channels is"),
    "an unknown block": (unet(down_block_types=["os.system", "x"]), r"unet/config\.json: not a readable description"),
    "an unknown activation": (unet(act_fn="eval"), r"unet/config\.json: not a readable description"),
    "another class": (unet(_class_name="AutoModel"), r"unet/config\.json: _class_name is 'AutoModel'"),
    "no class": (unet(_class_name=...), r"unet/config\.json: _class_name is None"),
    "a class that is a list": (vae(_class_name=["AutoencoderKL"]), r"vae/config\.json: _class_name is"),
    "a number that is none": (vae(scaling_factor=float("nan")), r"vae/config\.json: scaling_factor is nan"),
    "without end": (vae(scaling_factor=float("inf")), r"vae/config\.json: scaling_factor is inf"),
    "a scale of nothing": (vae(scaling_factor=0), r"vae/config\.json: scaling_factor is 0"),
    "below zero": (vae(latent_channels=-4), r"vae/config\.json: latent_channels is -4"),
    "no heads": (unet(attention_head_dim=0), r"unet/config\.json: not a readable description"),
    "no groups": (vae(norm_num_groups=0), r"vae/config\.json: not a readable description"),
    "nested without end": (text("vae/config.json", "[" * 10**6), r"vae/config\.json: not a readable JSON file"),
    "a list for an object": (text("unet/config.json", "[1]"), r"unet/config\.json: found a list, expected a JSON obj"),
    "no text": (lambda f: (f / "unet/config.json").write_bytes(b"\xff\xfe\x00"), r"unet/config\.json: not a readable"),
    "a huge description": (text("unet/config.json", " " * (2**24 + 1)), r"unet/config\.json: found more than"),
    "a pipe": (replaced("unet/config.json", os.mkfifo), r"base: the base has no unet"),
    "a pipe for weights": (
        replaced(NETWORKS["unet"], os.mkfifo),
        r"_model\.safetensors: found a named",
    ),
    "a device for words": (
        replaced("tokenizer/tokenizer.json", lambda path: path.symlink_to("/dev/zero")),
        r"tokenizer\.json: found a device",
    ),
    "weights cut short": (cut("unet", 0.5), r"unet/diffusion_pytorch_model\.safetensors: not a readable safetensors"),
    "weights cut in their header": (cut("text_encoder", 0.01), r"text_encoder/model\.safetensors: not a readable"),
    "no weights": (replaced(NETWORKS["vae"], lambda path: path.with_name("fp16.safetensors").touch()), "vae: no diff"),
    "a shape too wide": (weights("unet", widened), r"unet: tensor .* has the shape \(3, .*config\.json asks for \("),
    "a tensor missing": (weights("vae", dict.popitem), r"vae: tensor .* has the shape None"),
    "a tensor too many": (weights("vae", lambda t: t.update(x=torch.zeros(1))), "vae: tensor x .* asks for None"),
    "whole numbers for weights": (
        weights("text_encoder", lambda t: t.update({name: t[name].int() for name in list(t)[:1]})),
        r"text_encoder: not a readable network",
    ),
    "tensors without end": (many, r"unet/diffusion_pytorch_model\.safetensors: .*20,000 tensors"),
    "encoder layers without end": (encoder(num_hidden_layers=10**6), r"text_encoder/config\.json: describes 1,000,000"),
    "a width that heads do not part": (encoder(num_attention_heads=3), r"text_encoder/config\.json: not a readable"),
    "another encoder": (encoder(architectures=["T5"]), r"text_encoder/config\.json: architectures is \['T5'\]"),
    "a name of a token": (encoder(vocab_size="514; rm"), r"text_encoder/config\.json: not a readable description"),
    "more than a prompt": (
        unet(class_embed_type="identity"),
        r"config\.json: class_embed_type is .identity., expected",
    ),
    "a schedule without end": (scheduler(num_train_timesteps=10**9), r"scheduler_config\.json: num_train_timesteps is"),
    "a schedule of half steps": (scheduler(num_train_timesteps=0.5), r"scheduler_config\.json: num_train_timesteps is"),
    "a schedule that rises": (scheduler(beta_start=3, beta_end=9), r"scheduler_config\.json: not a readable noise"),
    "a schedule of its own": (scheduler(beta_schedule="os"), r"scheduler_config\.json: not a readable noise schedule"),
    "a schedule too long": (scheduler(trained_betas=[0.1] * 20_000), r"scheduler_config\.json: trained_betas is"),
    "an unknown scheduler": (scheduler(_class_name="Evil"), r"scheduler_config\.json: _class_name is 'Evil'"),
    "another prediction": (scheduler(prediction_type="sample"), r"scheduler_config\.json: prediction_type is 'sample'"),
    "prompts without end": (tokenizer(model_max_length=10**30), r"tokenizer_config\.json: model_max_length is"),
    "more tokens than places": (
        tokenizer(model_max_length=500),
        "tokens of tokenizer: 500, but text_encoder",
    ),
    "an unknown end": (tokenizer(eos_token="<end>"), r"tokenizer_config\.json: eos_token is '<end>'"),
    "a token that is a number": (tokenizer(bos_token=7), r"tokenizer_config\.json: bos_token is 7"),
    "no vocabulary": (model(vocab=[["a", 0.1]], merges=[]), r"tokenizer\.json: its vocabulary is no numbering"),
    "a vocabulary with holes": (model(vocab={"a": 0, "b": 7}, merges=[]), r"tokenizer\.json: its vocabulary is no"),
    "merges of nothing": (model(vocab={"a": 0, "b": 1}, merges=["a b"]), r"tokenizer\.json: its merge \('a', 'b'\)"),
    "merges that are none": (model(vocab={"a": 0}, merges=[["a"]]), r"tokenizer\.json: its merges are no pairs"),
    "merges without a list": (model(vocab={"a": 0}, merges={"a": "b"}), r"tokenizer\.json: its merges are no list"),
}


@pytest.mark.parametrize("craft", CRAFTED)
def test_a_crafted_base_is_named(folder, craft):
    make, told = CRAFTED[craft]
    make(folder)
    with pytest.raises(InputError, match=told):
        load_base(folder, CPU)


def test_a_crafted_base_is_named_before_anything_is_trained(folder):
    change(folder / "unet/config.json", layers_per_block=10**6)
    source = CheckedSource.of(Lora(), base=str(folder))
    with pytest.raises(InputError, match="describes 2,000,000 layers"):
        check_source(source, WeightPlaces())


def test_an_implementation_of_attention_is_not_taken_from_the_file(folder, sound):
    for key in ("_attn_implementation", "attn_implementation", "_attn_implementation_internal", "auto_map"):
        change(folder / "text_encoder/config.json", **{key: "somebody/kernel"})
    change(folder / "unet/config.json", quantization_config={"quant_method": "x"}, custom_module="somebody/kernel")
    change(folder / "tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["x", None]}, tokenizer_class="X")
    base, expected = load_base(folder, CPU), load_base(sound, CPU)
    assert base.text_encoder.config._attn_implementation == "sdpa"
    assert torch.equal(base.embed("a wafer"), expected.embed("a wafer"))


def states(base):
    return [module.state_dict() for module in (base.vae, base.unet, base.text_encoder)]


def assert_equal(one, other):
    for here, there in zip(states(one), states(other), strict=True):
        assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
    assert torch.equal(one.embed("a sks wafer"), other.embed("a sks wafer"))
    assert torch.equal(one.alphas, other.alphas)


def test_a_sound_base_has_the_weights_that_the_libraries_read(sound):
    base = load_base(sound, CPU)
    theirs = bases.StableDiffusionPipeline.from_pretrained(sound, local_files_only=True)
    for name in ("vae", "unet", "text_encoder"):
        here, there = (part.state_dict() for part in (getattr(base, name), getattr(theirs, name)))
        assert here.keys() == there.keys() and all(torch.equal(here[key], there[key]) for key in here)
    prompt = "Ein sks Wäfer, 12's"
    assert base.tokenizer(prompt).input_ids == theirs.tokenizer(prompt).input_ids
    ids = base.tokenizer(prompt, return_tensors="pt").input_ids
    assert torch.equal(base.text_encoder(ids)[0], theirs.text_encoder.eval()(ids)[0])
    tensors = [*base.vae.parameters(), *base.unet.parameters(), *base.text_encoder.parameters()]
    assert not any(tensor.requires_grad or tensor.is_meta for tensor in tensors)


def test_loading_draws_no_random_number(sound):
    before = torch.get_rng_state()
    load_base(sound, CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_a_base_in_half_precision_is_read_in_float32(folder):
    for part in NETWORKS:
        weights(part, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))(folder)
    base = load_base(folder, CPU)
    assert {tensor.dtype for state in states(base) for tensor in state.values()} == {torch.float32}


def test_a_base_in_the_layout_of_before_is_the_same(folder, sound):
    """As Stable Diffusion 1.5 is kept: words and merges in files of their own, tensors by their old names, a schedule
    of another scheduler, weights in parts."""
    words = json.loads((folder / "tokenizer/tokenizer.json").read_text())["model"]
    (folder / "tokenizer/vocab.json").write_text(json.dumps(words["vocab"]))
    (folder / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer/tokenizer.json").unlink()
    tokenizer(bos_token={"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": False})(folder)
    encoder(architectures=..., torch_dtype="float32")(folder)

    def older(tensors):
        present = dict(tensors)
        tensors.clear()
        tensors |= {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in present.items()}
        tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]

    weights("text_encoder", older)(folder)
    tensors = load_file(folder / NETWORKS["unet"])
    half = len(tensors) // 2
    for i, names in enumerate((list(tensors)[:half], list(tensors)[half:]), 1):
        part = folder / f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, part)
    (folder / NETWORKS["unet"]).unlink()
    scheduler(_class_name="PNDMScheduler", skip_prk_steps=True, clip_sample=False, solver_type=...)(folder)
    assert_equal(load_base(folder, CPU), load_base(sound, CPU))


def test_attention_by_its_old_names_is_read(tmp_path):
    torch.manual_seed(1)
    made = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1)
    made.save_pretrained(tmp_path / "vae")
    file = tmp_path / NETWORKS["vae"]
    new = {present: old for old, present in parts.RENAMED.items()}
    old = {}
    for name, tensor in load_file(file).items():
        for present, before in new.items():
            name = name.replace(f"attentions.0.{present}.", f"attentions.0.{before}.")
        old[name] = tensor.clone()
    assert any(".query." in name for name in old)
    save_file(old, file)
    read = parts.read_vae(tmp_path).state_dict()
    assert all(torch.equal(read[name], tensor) for name, tensor in made.state_dict().items())


def test_what_lies_beside_the_weights_is_no_part_of_a_base(folder, sound):
    for name in (".DS_Store", "README.md", "weights.ckpt"):
        (folder / "unet" / name).write_text("1")
    assert fingerprint(folder) == fingerprint(sound)
    (folder / "unet/config.json").write_text((folder / "unet/config.json").read_text() + " ")
    assert fingerprint(folder) != fingerprint(sound)


def test_a_base_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    synced, folder = [], tmp_path / "base"
    monkeypatch.setattr(bases, "sync_all", lambda path: synced.append((path.is_dir(), folder.exists())))
    monkeypatch.setattr(bases, "sync", lambda path: synced.append((path == tmp_path, folder.exists())))
    save_base(build_base(NATIVE, 16), folder)
    assert synced == [(True, False), (True, True)]
