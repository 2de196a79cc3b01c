"""The parts of a ready diffusion base, out of a folder that anybody may have made.

The libraries' own loaders build whatever a description asks for, layers without end included, take names out of it that
they look for on a hub, and fill what the file of weights lacks with random numbers. Here a description is plain,
bounded JSON of which known keys alone are taken, a network is first built without memory, and its weights must be those
of the file, name by name and shape by shape. Nothing is asked of a network.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers
from safetensors import safe_open
from torch import Tensor, nn
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from waferbench.base.errors import InputError, readable
from waferbench.base.regular import is_regular, open_regular, read_small

Network = TypeVar("Network", AutoencoderKL, UNet2DConditionModel)

PREDICTIONS = ("epsilon", "v_prediction")  # what an adapter can be trained on
MOST_BYTES = 2**24  # of a description; the largest, a tokenizer's, has 4 MB
MOST_TENSORS = 10_000  # of a network; Stable Diffusion's have less than a thousand
MOST, LONGEST = 2**20, 64  # a number in a description, entries of a list in it
TIMESTEPS = 10_000
TOKENS = 2**12  # that a prompt may have
LAYERS = ("layers_per_block", "transformer_layers_per_block", "reverse_transformer_layers_per_block")
BELOW_ZERO = ("latents_mean", "shift_factor")  # what may be
FOREIGN = ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")
ENCODER = (
    *("vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads"),
    *("max_position_embeddings", "hidden_act", "layer_norm_eps", "attention_dropout"),
    *("pad_token_id", "bos_token_id", "eos_token_id"),
)
SPECIAL = ("unk_token", "bos_token", "eos_token", "pad_token")
# how attention's tensors were called once
RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(RENAMED)})\.")
shown = reprlib.repr  # of a value that may be huge
REMEDY = "take another base, or copy this one again"


def read_vae(folder: Path) -> AutoencoderKL:
    """The autoencoder of a base, float32, on the CPU; `InputError` where its folder holds no sound one."""
    vae = _filled(described(AutoencoderKL, folder / "vae"), folder / "vae", "diffusion_pytorch_model")
    if not vae.config.scaling_factor > 0:
        raise InputError(f"{folder / 'vae/config.json'}: scaling_factor is 0, expected more; {REMEDY}")
    return vae


def read_unet(folder: Path) -> UNet2DConditionModel:
    """The UNet of a base, float32, on the CPU; `InputError` where its folder holds no sound one."""
    return _filled(described_unet(folder), folder / "unet", "diffusion_pytorch_model")


def described_unet(folder: Path) -> UNet2DConditionModel:
    """The UNet of a base without its weights, held against their names and shapes; `InputError` as by `read_unet`."""
    unet, file = described(UNet2DConditionModel, folder / "unet"), folder / "unet/config.json"
    foreign = [key for key in FOREIGN if unet.config[key] is not None]
    if foreign:
        found = f"{foreign[0]} is {unet.config[foreign[0]]!r}"
        raise InputError(f"{file}: {found}, expected a network that a prompt alone conditions; {REMEDY}")
    return unet


def described(network: type[Network], folder: Path) -> Network:
    """A network of diffusers' as its folder describes it, without memory for its weights.

    Raises:
        InputError: no plain description, another class, sizes beyond bounds, or other weights in the folder.
    """
    file = folder / "config.json"
    facts = _facts(file)
    if facts.get("_class_name") != network.__name__:
        raise InputError(
            f"{file}: _class_name is {shown(facts.get('_class_name'))}, expected {network.__name__!r}; {REMEDY}"
        )
    taken = _taken(facts, inspect.signature(network.__init__).parameters, file)
    shapes = _shapes(folder, "diffusion_pytorch_model")
    blocks = taken.get("block_out_channels")
    layers = math.prod([_largest(taken.get(key)) for key in LAYERS[:2]])
    _require_layers(max(layers, _largest(taken.get(LAYERS[2]))) * _length(blocks), shapes, file)
    with readable(file, "description of a network", REMEDY), torch.device("meta"):
        built = network(**taken)
    _require_fit(built, shapes, folder)
    return built


def read_text_encoder(folder: Path) -> CLIPTextModel:
    """The text encoder of a base, float32, on the CPU; `InputError` where its folder holds no sound one."""
    place = folder / "text_encoder"
    file = place / "config.json"
    facts = _facts(file)
    if facts.get("architectures", ["CLIPTextModel"]) != ["CLIPTextModel"]:
        raise InputError(f"{file}: architectures is {shown(facts['architectures'])}, expected CLIPTextModel; {REMEDY}")
    taken, shapes = _taken(facts, ENCODER, file), _shapes(place, "model")
    _require_layers(_largest(taken.get("num_hidden_layers")), shapes, file)
    with readable(file, "description of a text encoder", REMEDY), torch.device("meta"):
        # named here: one that the file names may be looked for on a hub
        encoder = CLIPTextModel(CLIPTextConfig(attn_implementation="sdpa", **taken))
    _require_fit(encoder, shapes, place)
    encoder = _filled(encoder, place, "model")
    for module in encoder.modules():  # the one tensor that no file holds
        if "position_ids" in module._buffers:
            module.position_ids = torch.arange(encoder.config.max_position_embeddings)[None]
    return encoder


def read_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of a base, of its vocabulary, merges and special tokens; `InputError` where they are not sound."""
    place = folder / "tokenizer"
    file = place / "tokenizer_config.json"
    facts = _facts(file)
    length = facts.get("model_max_length")
    if type(length) is not int or not 2 < length <= TOKENS:
        raise InputError(
            f"{file}: model_max_length is {shown(length)}, expected a number from 3 to {TOKENS:,}; {REMEDY}"
        )
    words, vocabulary, merges = _words(place)
    sound = isinstance(vocabulary, dict) and all(type(number) is int for number in vocabulary.values())
    if not sound or set(vocabulary.values()) != set(range(len(vocabulary))) or not vocabulary:
        raise InputError(f"{words}: its vocabulary is no numbering of words from 0 on; {REMEDY}")
    wrong = next((pair for pair in merges if not {*pair, "".join(pair)} <= vocabulary.keys()), None)
    if wrong is not None:
        raise InputError(f"{words}: its merge {shown(wrong)} is of words that the vocabulary lacks; {REMEDY}")
    special = {}
    for name in SPECIAL:
        token = facts.get(name, "<|startoftext|>" if name == "bos_token" else "<|endoftext|>")
        special[name] = token.get("content") if isinstance(token, dict) else token
        if not isinstance(special[name], str) or special[name] not in vocabulary:
            raise InputError(f"{file}: {name} is {shown(special[name])}, expected a word of the vocabulary; {REMEDY}")
    with readable(words, "vocabulary", REMEDY):
        return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length, **special)


def read_scheduler(folder: Path) -> UniPCMultistepScheduler:
    """UniPC on the noise schedule of a base; `InputError` where that is none, or for another kind of prediction."""
    file = folder / "scheduler/scheduler_config.json"
    facts = _facts(file)
    known = sorted(kind.name for kind in KarrasDiffusionSchedulers)
    if facts.get("_class_name") not in known:
        raise InputError(
            f"{file}: _class_name is {shown(facts.get('_class_name'))}, expected one of {', '.join(known)}"
        )
    prediction, steps = facts.get("prediction_type", "epsilon"), facts.get("num_train_timesteps", 1000)
    if prediction not in PREDICTIONS:
        told = f"prediction_type is {shown(prediction)}, expected one of {', '.join(PREDICTIONS)}"
        raise InputError(f"{file}: {told}; take another base")
    if type(steps) is not int or not 1 <= steps <= TIMESTEPS:
        raise InputError(f"{file}: num_train_timesteps is {shown(steps)}, expected 1 to {TIMESTEPS:,}; {REMEDY}")
    taken = _taken(facts, inspect.signature(UniPCMultistepScheduler.__init__).parameters, file, TIMESTEPS)
    with readable(file, "noise schedule", REMEDY):
        scheduler = UniPCMultistepScheduler(**taken)
        alphas = scheduler.alphas_cumprod
        if len(alphas) != steps or not ((alphas >= 0) & (alphas <= 1)).all() or not (alphas.diff() <= 0).all():
            raise ValueError("the signal does not fall from 1 towards 0")
    return scheduler


def require_one_size(unet: Any, vae: Any, encoder: Any, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """`InputError` where parts that are sound each do not belong together."""
    for what, here, there in (
        ("latent channels of unet and vae", unet.config.in_channels, vae.config.latent_channels),
        ("channels into and out of unet", unet.config.in_channels, unet.config.out_channels),
        ("width of unet's prompts and of text_encoder", unet.config.cross_attention_dim, encoder.config.hidden_size),
    ):
        if here != there:
            raise InputError(f"{folder}: {what} are {here} and {there}, expected one number; {REMEDY}")
    for what, here, most in (
        ("words of tokenizer", len(tokenizer), encoder.config.vocab_size),
        ("tokens of tokenizer", tokenizer.model_max_length, encoder.config.max_position_embeddings),
    ):
        if here > most:
            raise InputError(f"{folder}: {what}: {here}, but text_encoder takes {most}; {REMEDY}")


def _words(folder: Path) -> tuple[Path, Any, list[tuple[str, str]]]:
    """The file, the vocabulary and the merges of a tokenizer, in the layout of today or that of before."""
    file = folder / "tokenizer.json"
    if is_regular(file):
        model = _facts(file).get("model")
        vocabulary, merges = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (None, None)
    else:
        file = folder / "vocab.json"
        vocabulary = _facts(file)
        with readable(folder / "merges.txt", "list of merges", REMEDY):
            lines = read_small(folder / "merges.txt", MOST_BYTES).decode().splitlines()
        merges = [line for line in lines if line and not line.startswith("#version")]
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in _list(merges, file)]
    if not all(len(pair) == 2 and all(isinstance(word, str) for word in pair) for pair in pairs):
        raise InputError(f"{file}: its merges are no pairs of words; {REMEDY}")
    return file, vocabulary, pairs


def _list(merges: Any, file: Path) -> list[Any]:
    if not isinstance(merges, list) or not all(isinstance(merge, (str, list)) for merge in merges):
        raise InputError(f"{file}: its merges are no list of pairs; {REMEDY}")
    return merges


def _facts(file: Path) -> dict[str, Any]:
    with readable(file, "JSON file", REMEDY):
        facts = json.loads(read_small(file, MOST_BYTES))
    if not isinstance(facts, dict):
        raise InputError(f"{file}: found a {type(facts).__name__}, expected a JSON object; {REMEDY}")
    return facts


def _taken(facts: Mapping[str, Any], known: Any, file: Path, longest: int = LONGEST) -> dict[str, Any]:
    """The known keys whose values the file gives, each of them plain and bounded."""
    defaults = facts.get("_use_default_values") or []  # which the class itself fills in
    passed = defaults if isinstance(defaults, list) else []
    taken = {key: facts[key] for key in known if key in facts and key not in passed}
    for key, value in taken.items():
        if not _bounded(value, longest, key in BELOW_ZERO):
            raise InputError(f"{file}: {key} is {shown(value)}, expected numbers or names of a sound size; {REMEDY}")
    return taken


def _bounded(value: Any, longest: int, below: bool, depth: int = 0) -> bool:
    if isinstance(value, list):
        return len(value) <= longest and depth < 2 and all(_bounded(v, longest, below, depth + 1) for v in value)
    if isinstance(value, (int, float)):
        return (-MOST if below else 0) <= value <= MOST  # which NaN is not
    return value is None or (isinstance(value, str) and len(value) <= 100)


def _largest(value: Any) -> int:
    """The largest number in a value, at least 1."""
    numbers = [_largest(part) for part in value] if isinstance(value, list) else [value]
    return max([1, *(math.ceil(number) for number in numbers if isinstance(number, (int, float)))])


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _require_layers(layers: int, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    if layers > len(shapes):
        raise InputError(f"{file}: describes {layers:,} layers, but the weights are {len(shapes):,} tensors; {REMEDY}")


def _files(folder: Path, stem: str) -> list[Path]:
    """The file of a network's weights, or the files that it is parted into."""
    whole = folder / f"{stem}.safetensors"
    parts = sorted(folder.glob(f"{stem}-[0-9]*-of-[0-9]*.safetensors"))
    if not is_regular(whole) and not parts:
        raise InputError(f"{folder}: no {whole.name} in it; copy it there")
    return [whole] if is_regular(whole) else parts


def _shapes(folder: Path, stem: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors by their present names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _files(folder, stem):
        with readable(file, "safetensors file", REMEDY), open_regular(file), safe_open(file, "pt") as tensors:
            names = list(tensors.keys())
            if len(names) > MOST_TENSORS:
                raise ValueError(f"{len(names):,} tensors, expected at most {MOST_TENSORS:,}")
            shapes |= {_present(name): tuple(tensors.get_slice(name).get_shape()) for name in names}
    return {name: shape for name, shape in shapes.items() if not name.endswith("position_ids")}


def _tensors(folder: Path, stem: str) -> Iterator[tuple[str, Tensor]]:
    for file in _files(folder, stem):
        with readable(file, "safetensors file", REMEDY), safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point():
                    yield _present(name), tensor.float()


def _present(name: str) -> str:
    """A tensor's name as it is today."""
    return OLD.sub(lambda found: f"{found[1]}{RENAMED[found[2]]}.", name.removeprefix("text_model."))


def _require_fit(network: nn.Module, shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """`InputError` where the weights are not those of the network."""
    wanted = {_present(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(wanted.keys() | shapes.keys()):
        if wanted.get(name) != shapes.get(name):
            told = f"tensor {name} has the shape {shapes.get(name)}, config.json asks for {wanted.get(name)}"
            raise InputError(f"{folder}: {told} (None: there is none); {REMEDY}")


def _filled(network: Any, folder: Path, stem: str) -> Any:
    """The network with its weights, which it fits."""
    names = {_present(name): name for name in network.state_dict()}
    state = {names[name]: tensor for name, tensor in _tensors(folder, stem) if name in names}
    with readable(folder, "network", REMEDY):
        network.load_state_dict(state, strict=True, assign=True)
    return network.eval()
