"""The vector of words, by a text encoder whose vectors lie in one space with the run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from thresher import extras
from thresher.data.faults import reason
from thresher.errors import SettingsError
from thresher.features.backbone import network_session
from thresher.vectors import unit_length

#: The output that holds the vector, where a network has several; of other names the first of two dimensions.
_OUTPUTS = ("text_embeds", "sentence_embedding")
#: Longer texts are refused: an encoder reads a few dozen words at most.
MOST_CHARACTERS = 1000
_EXPECTED = (
    "Expected an ONNX text encoder: inputs the tokens (1, n) of int64 or int32 and, if any, their attention_mask and "
    "token_type_ids; an output (1, width)."
)


class TextEncoder:
    """A text encoder and its tokenizer; threads may share it."""

    def __init__(self, encoder: Path, tokenizer: Path) -> None:
        """Open both.

        Args:
            encoder: ONNX file.
            tokenizer: The `tokenizer.json` of Hugging Face's tokenizers.

        Raises:
            SettingsError: the optional part `text` is not installed, a file is not there, or is none of these.
        """
        extras.require("text", "text_encoder")
        import tokenizers

        for name, path in (("text_encoder", encoder), ("tokenizer", tokenizer)):
            if not path.is_file():
                raise SettingsError(f"{name} = {path}: no such file.")
        try:
            self._session = network_session(encoder)
        except Exception as error:  # onnxruntime's errors have no common parent but this
            raise SettingsError(f"text_encoder = {encoder}: cannot be opened ({reason(error)}). {_EXPECTED}") from error
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # tokenizers raises nothing narrower
            raise SettingsError(
                f"tokenizer = {tokenizer}: not a tokenizer ({reason(error)}). Expected the file tokenizer.json of "
                "Hugging Face's tokenizers."
            ) from error
        self._path = encoder
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        self._fit_length()

    def _fit_length(self) -> None:
        """Cut and fill texts to the number of tokens that the encoder takes, if it takes one number only."""
        shape = next(iter(self._inputs.values())).shape
        length = shape[1] if len(shape) == 2 else None
        if not isinstance(length, int):
            return
        filled: dict[str, Any] = self._tokenizer.padding or {}
        known = {name: filled[name] for name in ("pad_id", "pad_type_id", "pad_token") if name in filled}
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, **known)

    def vector(self, words: str) -> Float32[np.ndarray, " c"]:
        """The vector of some words, at unit length.

        Raises:
            SettingsError: no words or too many, or the encoder cannot be run on them.
        """
        words = words.strip()
        if not 0 < len(words) <= MOST_CHARACTERS:
            raise SettingsError(f"words: {len(words):,} characters; expected 1 to {MOST_CHARACTERS:,}.")
        given = self._tokenizer.encode(words)
        try:
            found = self._session.run(None, self._tokens(given))
        except SettingsError:
            raise
        except Exception as error:  # as above
            raise SettingsError(f"text_encoder = {self._path}: fails on “{words}” ({reason(error)}).") from error
        named = dict(zip((each.name for each in self._session.get_outputs()), found, strict=True))
        flat = [each for each in found if each.ndim == 2 and len(each) == 1]
        chosen = next((named[name] for name in _OUTPUTS if name in named), flat[0] if flat else None)
        if chosen is None or not np.isfinite(chosen).all():
            shapes = ", ".join(f"{name} {each.shape}" for name, each in named.items())
            raise SettingsError(f"text_encoder = {self._path}: gives {shapes}, or no finite numbers. {_EXPECTED}")
        vector: Float32[np.ndarray, " c"] = unit_length(chosen.reshape(1, -1))[0]
        return vector

    def _tokens(self, given: Any) -> dict[str, np.ndarray]:
        tokens = {}
        for place, (name, told) in enumerate(self._inputs.items()):
            kind = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}.get(told.type)
            values = given.attention_mask if "mask" in name else given.type_ids if "token_type" in name else given.ids
            if kind is None or (values is given.ids and place):
                raise SettingsError(f"text_encoder = {self._path}: input {name} of {told.type}. {_EXPECTED}")
            tokens[name] = np.array([values], kind)
        return tokens


def text_encoder_of_width(encoder: Path, tokenizer: Path, width: int) -> TextEncoder:
    """A text encoder for a run whose vectors have this width; tried once.

    Raises:
        SettingsError: as `TextEncoder`, or its vectors have another width, so that they lie in another space.
    """
    opened = TextEncoder(encoder, tokenizer)
    own = len(opened.vector("a"))
    if own != width:
        raise SettingsError(
            f"text_encoder = {encoder}: its vectors have {own} numbers, those of this run's images {width}. Expected "
            "the text encoder of the same model as the image encoder that the run was embedded with."
        )
    return opened
