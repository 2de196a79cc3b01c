"""A CLIP tokenizer made here, without a download: every byte is a token, no merges."""

from __future__ import annotations

from tokenizers.pre_tokenizers import ByteLevel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def build_tokenizer(max_length: int = 77) -> CLIPTokenizer:
    """A tokenizer of 514 entries: the 256 bytes inside a word, the same at a word's end, start and end.

    Args:
        max_length: tokens a prompt is padded or cut to; CLIP's own is 77.
    """
    letters = sorted(ByteLevel.alphabet())
    entries = [*letters, *(letter + WORD_END for letter in letters), START, END]
    vocabulary = {entry: position for position, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=max_length)
