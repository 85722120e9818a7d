"""A folder of a text model, which is looked through before its vectors are taken for meaning.

A model without its tokenizer, with half of its weights or of another kind gives vectors, too, that
mean nothing. So the kind, the size and the headers of its files are checked before any is loaded,
and what was loaded is checked against what the model needs.
"""

from __future__ import annotations

import json
import re
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys.features.errors import DataError
from recsys.features.settings import nearest

_MOST_BYTES = {"config.json": 1 << 20, "tokenizer_config.json": 1 << 24, "tokenizer.json": 1 << 28}
_MOST_HEADER, _MOST_WEIGHTS = 1 << 27, 1 << 36  # bytes
_INDEX, _WEIGHTS = "model.safetensors.index.json", "model.safetensors"
_TOKENIZERS = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("spm.model",),
    ("tokenizer.model",),
)
_READ = (".json", ".txt", ".model", ".safetensors")
_ENCODERS = tuple(
    re.findall(
        r"\S+",
        "albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie "
        "eurobert megatron-bert mobilebert modernbert mpnet nomic_bert nystromformer rembert "
        "roberta roberta-prelayernorm roformer squeezebert xlm-roberta xlm-roberta-xl",
    )
)
"""What transformers calls the kinds of models that embed texts."""
_OTHER_WORK = re.compile(r"For(?!MaskedLM|PreTraining|TextEncoding)[A-Z]\w*$|LMHead|ImageModel")
_ATTENTION = (None, "eager", "sdpa", "flash_attention_2")
_UNUSED = re.compile(r"pooler|position_ids|^(?:cls|lm_head|mlm|vocab|generator|discrim)")
_PARTS = re.compile(r"(?:^|\.)(?:embeddings?|layers?|encoder)\.")


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model whose folder is whole; nothing of it is loaded.

    Raises DataError that names the file and what to do where one is missing, is no regular file, is
    too large, is a pickle, an adapter, quantised, brings its own code or is of another kind.
    """
    if not (folder / "config.json").exists():
        raise DataError(f"{folder} is no folder of a text model: it has no config.json")
    for path in folder.iterdir():
        if path.suffix in _READ:
            _check_file(path)
    config = read_json(folder / "config.json")
    _check_kind(config, folder)
    _check_tokenizer(folder)
    _check_weights(config, folder)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """An object of JSON; raises DataError where the file holds none."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error!s:.200}") from None
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold an object of JSON; got a {type(values).__name__}")
    return values


def dimension_of(config: Mapping[str, Any]) -> int:
    """The length of its vectors."""
    return int(config.get("hidden_size") or config["dim"])


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path} of the text model must be a regular file")
    most = _MOST_WEIGHTS if path.suffix == ".safetensors" else _MOST_BYTES.get(path.name, 1 << 28)
    if found.st_size > most:
        raise DataError(f"{path} has {found.st_size:,} bytes; at most {most:,} are read")


def _check_kind(config: Mapping[str, Any], folder: Path) -> None:
    path = folder / "config.json"
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).exists() and read_json(folder / name).get("auto_map"):
            raise DataError(
                f"{folder / name} names code of its own (auto_map), which is never run; "
                "give a model that transformers knows by itself"
            )
    if (folder / "adapter_config.json").exists():
        raise DataError(
            f"{folder} holds adapters (adapter_config.json): merge them into their model (peft's "
            "merge_and_unload) and give the folder of that"
        )
    if config.get("quantization_config"):
        raise DataError(f"{path} is of a quantised model; give the model in float32 or float16")
    kind = config.get("model_type")
    if kind not in _ENCODERS:
        raise DataError(
            f"{path}: model_type {kind!r:.60} is no encoder of texts that is known; "
            f"{nearest(str(kind)[:60], _ENCODERS)}"
        )
    if config.get("is_decoder") or config.get("is_encoder_decoder"):
        raise DataError(f"{path} is of a decoder; texts are embedded by an encoder")
    for name in config.get("architectures") or ():
        if isinstance(name, str) and _OTHER_WORK.search(name):
            raise DataError(
                f"{path}: {name[:60]} is made for other work, such as a cross-encoder, which "
                "scores pairs; give a model that embeds texts"
            )
    for key in ("attn_implementation", "_attn_implementation"):
        if config.get(key) not in _ATTENTION:
            raise DataError(f"{path}: {key} = {config[key]!r:.60} is not allowed")
    _check_numbers(config, path)


def _check_numbers(config: Mapping[str, Any], path: Path) -> None:
    size = "hidden_size" if "hidden_size" in config else "dim"
    bounds = {size: 65_536, "vocab_size": 10_000_000, "num_hidden_layers": 1_000, "n_layers": 1_000}
    bounds |= {"num_attention_heads": 1_024, "intermediate_size": 1 << 20}
    bounds |= {"max_position_embeddings": 1 << 20, "type_vocab_size": 1_024}
    for key, most in bounds.items():
        value = config.get(key, 1 if key not in (size, "vocab_size") else None)
        least = 0 if key in ("type_vocab_size", "max_position_embeddings") else 1
        if type(value) is not int or not least <= value <= most:
            raise DataError(
                f"{path}: {key} must be a whole number from {least} to {most:,}; got {value!r:.60}"
            )


def _check_tokenizer(folder: Path) -> None:
    if not any(all((folder / name).exists() for name in names) for names in _TOKENIZERS):
        raise DataError(
            f"{folder} has no tokenizer, without which vectors mean nothing: it needs "
            "tokenizer.json (or vocab.txt) of its model; save it there with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
        )


def _check_weights(config: Mapping[str, Any], folder: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for path in _weight_files(folder):
        shapes |= _shapes(path)
    width = config.get("embedding_size", dimension_of(config))
    for name, shape in shapes.items():
        if name.endswith(_WORDS) and shape != (config["vocab_size"], width):
            raise DataError(
                f"{folder}: its weights {name!r} are of {shape}, its config.json says vocab_size = "
                f"{config['vocab_size']:,} and {width:,} numbers each: they are of different models"
            )
    own = [int(found[1]) for name in shapes if (found := _LAYER.search(name)) is not None]
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    if own and isinstance(layers, int) and max(own) + 1 != layers:
        raise DataError(
            f"{folder}: its weights have {max(own) + 1} layers, its config.json says "
            f"num_hidden_layers = {layers:,}: they are of different models"
        )


_WORDS = ("word_embeddings.weight", "tok_embeddings.weight")
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d{1,6})\.")


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).exists():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).exists():
        parts = read_json(folder / _INDEX).get("weight_map")
        names = sorted(set(map(str, parts.values()))) if isinstance(parts, dict) else []
        for name in names:
            if Path(name).name != name or not (folder / name).exists():
                raise DataError(f"{folder / _INDEX} names {name!r:.100}, which is not in {folder}")
            if not name.endswith(".safetensors"):
                raise DataError(f"{folder / _INDEX} names {name!r:.100}, which is no safetensors")
        if names:
            return [folder / name for name in names]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise DataError(
            f"{folder} has its weights as a pickle ({pickles[0]}), which could run code and is not "
            "read; save them as safetensors with save_pretrained(folder)"
        )
    raise DataError(f"{folder} has no weights: it needs {_WEIGHTS}")


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """What the header of a safetensors file says that it holds, if its data are all there."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            (length,) = struct.unpack("<Q", file.read(8))
            if not 2 <= length <= min(_MOST_HEADER, size - 8):
                raise ValueError(f"a header of {length:,} bytes")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = [each["data_offsets"][1] for each in header.values()]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(f"{size:,} bytes, where its header wants {8 + length + max(ends):,}")
        shapes = {name: tuple(map(int, each["shape"])) for name, each in header.items()}
        kinds = {each["dtype"] for each in header.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error,
            RecursionError) as error:  # fmt: skip
        raise DataError(
            f"{path} is damaged or no file of safetensors: {error!s:.200}; copy it again"
        ) from None
    if not shapes:
        raise DataError(f"{path} holds no weights")
    if strange := kinds - {"F64", "F32", "F16", "BF16", "I64", "I32", "BOOL", "U8"}:
        raise DataError(f"{path} holds weights of {sorted(strange)}; give float32 or float16")
    return shapes


def load_tokenizer(folder: Path, config: Mapping[str, Any]) -> Any:
    """The tokenizer; raises DataError where it is damaged or that of another model."""
    from transformers import AutoTokenizer

    with _readable(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        highest, known = max(tokenizer.get_vocab().values(), default=-1), len(tokenizer)
    vocabulary = int(config["vocab_size"])
    if highest >= vocabulary or known < vocabulary / 2:
        raise DataError(
            f"{folder}: its tokenizer knows {known:,} tokens up to number {highest:,}, its "
            f"config.json says vocab_size = {vocabulary:,}: it is the tokenizer of another model"
        )
    return tokenizer


def load_network(folder: Path) -> Any:
    """The model in float32; raises DataError where weights are missing, left over or not finite."""
    import torch
    from transformers import AutoModel

    with _readable(folder, "model"), _quiet():
        network, about = AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **_LOCAL,
        )
    missing = sorted(name for name in about["missing_keys"] if not _UNUSED.search(name))
    left = sorted(
        name
        for name in about["unexpected_keys"]
        if _PARTS.search(name) and not _UNUSED.search(name)
    )
    other = sorted(str(each) for each in about.get("mismatched_keys", ()))
    for names, what in ((missing, "lack"), (left, "have more than"), (other, "do not fit")):
        if names:
            raise DataError(
                f"{folder}: its weights {what} what its config.json describes: {names[0]:.100}"
                + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")
            )
    for name, values in network.named_parameters():
        if not bool(torch.isfinite(values).all()):
            raise DataError(f"{folder}: its weights {name!r} hold values that are not finite")
    return network


_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


_PANIC = "PanicException"
"""What Rust raises where it breaks off: each library has a class of its own, none an Exception."""


@contextmanager
def _readable(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever the reading of a foreign model raises into a DataError."""
    try:
        yield
    except MemoryError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        first = str(error).strip().partition("\n")[0]
        raise DataError(
            f"the {what} in {folder} cannot be loaded: {type(error).__name__}: {first:.200}"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar that transformers shows for its weights, and its report of them."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
