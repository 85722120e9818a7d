"""Folders of text models that are incomplete, damaged or of another kind: an error, no vectors."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recsys.features.errors import ArtifactError, DataError
from recsys.features.text import TextEncoder
from recsys.features.text_adapters import Adapters
from tests.bert import tiny_bert

WORDS = ["red", "blue", "cup", "shoe"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"), WORDS)


def config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def weights(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        path = folder / "model.safetensors"
        held = load_file(path)
        change(held)
        save_file(held, path, {"format": "pt"})

    return changed


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in folder.iterdir():
            if any(name in path.name for name in names):
                path.unlink()

    return change


def written(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def of_another(folder: Path) -> None:
    other = tiny_bert(folder / "other", [f"w{n}" for n in range(90)])
    shutil.copy(other / "tokenizer.json", folder / "tokenizer.json")
    shutil.rmtree(other)


def piped(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def indexed(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        index = {"metadata": {}, "weight_map": {"x": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def cut(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 3_000)


QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("token", "vocab"), "has no tokenizer, without which vectors mean nothing"),
        (of_another, "the tokenizer of another model"),
        (written("tokenizer.json", "{"), "the tokenizer in .* cannot be loaded"),
        (without("config.json"), "it has no config.json"),
        (written("config.json", "[]"), "must hold an object of JSON; got a list"),
        (written("config.json", "[" * 100_000), "cannot be read: RecursionError"),
        (config(auto_map={"AutoModel": "own.Model"}), "names code of its own .*auto_map"),
        (config(model_type="gpt2"), "model_type 'gpt2' is no encoder of texts"),
        (config(model_type="vit"), "model_type 'vit' is no encoder of texts"),
        (config(is_decoder=True), "is of a decoder"),
        (config(architectures=["BertForSequenceClassification"]), "other work, such as a cross"),
        (config(quantization_config={"quant_method": "awq"}), "is of a quantised model"),
        (config(attn_implementation="hub/kernel"), "attn_implementation = 'hub/kernel' is not"),
        (config(hidden_size=10**9), "hidden_size must be a whole number from 1 to 65,536"),
        (config(vocab_size="9"), "vocab_size must be a whole number"),
        (config(vocab_size=12), "they are of different models"),
        (config(hidden_size=32), "they are of different models"),
        (config(num_hidden_layers=1), "have 2 layers, its config.json says num_hidden_layers = 1"),
        (config(num_attention_heads=3), "cannot be loaded: "),
        (config(intermediate_size=64), "cannot be loaded: |do not fit"),
        (written("adapter_config.json", "{}"), "holds adapters .*merge them"),
        (pickled, r"a pickle \(pytorch_model.bin\), which could run code"),
        (without("safetensors"), "has no weights: it needs model.safetensors"),
        (indexed("../../etc/passwd"), "names '../../etc/passwd', which is not in"),
        (indexed("config.json"), "which is no safetensors"),
        (cut, "is damaged or no file of safetensors"),
        (piped, "must be a regular file"),
        (weights(lambda held: held.pop(QUERY)), "lack what its config.json describes"),
        (weights(lambda held: held.update({QUERY: held[QUERY] * np.nan})), "are not finite"),
        (weights(lambda held: held.clear()), "holds no weights"),
        (
            weights(lambda held: held.update({"embeddings.more.weight": held[QUERY]})),
            "have more than what its config.json describes: embeddings.more.weight",
        ),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused(
    whole: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    change(folder)
    with pytest.raises(DataError, match=message):
        TextEncoder(str(folder), device="cpu", cache=tmp_path / "cache").embed(["red shoe"])


def test_what_a_model_does_not_use_may_be_missing_or_left_over(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    expected = TextEncoder(str(whole), device="cpu", cache=tmp_path / "one").embed(["red shoe"])
    weights(lambda held: held.pop("pooler.dense.weight"))(folder)
    weights(lambda held: held.update({"cls.predictions.bias": np.ones(9, np.float32)}))(folder)
    (folder / "pytorch_model.bin").write_bytes(b"the same as a pickle, which nobody reads")
    found = TextEncoder(str(folder), device="cpu", cache=tmp_path / "two").embed(["red shoe"])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name", ["", " ", "a\x00b", "x" * 5_000, "../../etc", "http://127.0.0.1:1"]
)
def test_names_that_are_no_models_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a folder nor to be had from the hub"):
        TextEncoder(name, cache=tmp_path).embed(["red"])


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(DataError, match="is a file; give the folder"):
        TextEncoder(str(tmp_path / "model.bin"), cache=tmp_path).embed(["red"])


@pytest.mark.parametrize(
    ("rank", "changed", "message"),
    [
        (0, {}, "a rank of 1 or more"),
        (3, {}, "no half of a pair of rank 3"),
        (2, {"x.lora_B.weight": None}, "no half of a pair"),
        (2, {"x.lora_A.weight": np.full((2, 4), np.nan, np.float32)}, "not finite"),
        (2, {"x.bias": np.ones(4, np.float32)}, "no half of a pair"),
    ],
)
def test_adapters_that_are_no_pairs_are_refused(rank, changed, message, tmp_path) -> None:
    pair = {
        "x.lora_A.weight": np.ones((2, 4), np.float32),
        "x.lora_B.weight": np.ones((4, 2), np.float32),
    }
    held = {name: each for name, each in {**pair, **changed}.items() if each is not None}
    Adapters(held, rank, 1.0).save(tmp_path)
    with pytest.raises(ArtifactError, match=message):
        Adapters.load(tmp_path)
