"""Reads a model's ``config.json`` in the format of Hugging Face."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pl_env.cold_start.models import LanguageModel
from pl_env.errors import FileFormatError, InvalidValue, shown
from pl_env.files import MOST_JSON_BYTES, parse_json, reason

GATED = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Architectures with rotated positions and three matrices in the feed-forward part."""

ARCHITECTURES = (*GATED, "GPT2LMHeadModel")

_BITS = {"float32": 32, "float16": 16, "bfloat16": 16}


def read_model(path: str | os.PathLike[str]) -> LanguageModel:
    """The model that a ``config.json`` describes.

    Args:
        path: The file, or the folder that it lies in.

    Raises:
        FileFormatError: The file is missing or no such config, or of an architecture whose layers are not known here.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "config.json"
    try:
        with open(file, "rb") as stream:
            config = parse_json(stream.read(MOST_JSON_BYTES + 1))
    except FileNotFoundError:
        raise FileFormatError(f"{file}: there is no such file") from None
    except OSError as error:
        raise FileFormatError(f"{file}: cannot be read ({reason(error)})") from None
    except ValueError as error:
        raise FileFormatError(f"{file}: not JSON, or truncated ({error})") from None
    try:
        return _model(config, file.parent.name or file.stem)
    except (InvalidValue, _Fault) as error:
        raise FileFormatError(f"{file}: {error}") from None


class _Fault(Exception):
    """What is wrong with a config."""


def _model(config: Any, name: str) -> LanguageModel:
    architecture = _architecture(config)
    keys = ("n_layer", "n_embd", "n_head") if architecture == "GPT2LMHeadModel" else (
        "num_hidden_layers", "hidden_size", "num_attention_heads")  # fmt: skip
    layers, width, heads = (_integer(config, key) for key in keys)
    shared: dict[str, Any] = {
        "name": str(config.get("_name_or_path") or name),
        "vocabulary": _integer(config, "vocab_size"),
    }
    if architecture == "GPT2LMHeadModel":
        inner = config.get("n_inner")
        return LanguageModel(
            **shared,
            layers=layers,
            width=width,
            query_heads=heads,
            key_value_heads=heads,
            head_width=_share(config, keys[1], keys[2]),
            feed_forward=4 * width if inner is None else _integer(config, "n_inner"),
            gated=False,
            bits=_bits(config, "float32"),
            positions=_integer(config, "n_positions"),
            tied=bool(config.get("tie_word_embeddings", True)),
        )
    given = config.get("head_dim") is not None
    return LanguageModel(
        **shared,
        layers=layers,
        width=width,
        query_heads=heads,
        key_value_heads=_integer(config, "num_key_value_heads") if "num_key_value_heads" in config else heads,
        head_width=_integer(config, "head_dim") if given else _share(config, keys[1], keys[2]),
        feed_forward=_integer(config, "intermediate_size"),
        bits=_bits(config, "bfloat16"),
        weight_bits=_quantised_bits(config),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _architecture(config: Any) -> str:
    if not isinstance(config, dict):
        raise _Fault("not the config of a model")
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise _Fault(f"architectures is {shown(names)}; it must name one of: {', '.join(ARCHITECTURES)}")
    if names[0] not in ARCHITECTURES:
        raise _Fault(f"the architecture {shown(names[0])} is not known; known are: {', '.join(ARCHITECTURES)}")
    return names[0]


def _integer(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= 10**9:
        raise _Fault(f"{key} is {shown(value)}; it must be an integer from 1 to {10**9}")
    return value


def _share(config: dict[str, Any], whole: str, parts: str) -> int:
    """The width of a head where the config does not say it."""
    width, heads = _integer(config, whole), _integer(config, parts)
    if width % heads:
        raise _Fault(f"{whole} is {width}; it must be a multiple of {parts}, {heads}")
    return width // heads


def _bits(config: dict[str, Any], otherwise: str) -> int:
    name = config.get("dtype", config.get("torch_dtype")) or otherwise
    if not isinstance(name, str) or name not in _BITS:
        raise _Fault(f"torch_dtype is {shown(name)}; it must be one of {', '.join(_BITS)}")
    return _BITS[name]


def _quantised_bits(config: dict[str, Any]) -> int:
    """Bits of a weight where the weights are quantised; else 0."""
    quantisation = config.get("quantization_config")
    if quantisation is None:
        return 0
    bits = quantisation.get("bits") if isinstance(quantisation, dict) else None
    if type(bits) is not int or bits == 0:
        raise _Fault("quantization_config does not say how many bits a weight has; take it out and say it yourself")
    return bits
