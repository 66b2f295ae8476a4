"""What a language changes in a score. A source names its language as ``language`` of its ``template`` parameters."""

from __future__ import annotations

_BLEU_TOKENIZERS = {
    **dict.fromkeys(("zh", "yue", "wuu", "lzh"), "zh"),
    **dict.fromkeys(("ja", "ko", "th", "lo", "km", "my"), "char"),
}
"""Language (ISO 639) → tokenizer of ``sacrebleu``. Only tokenizers that need no further package: the score must not
depend on what is installed. ``ja-mecab`` and ``ko-mecab`` do."""


def bleu_tokenizer(language: str | None) -> str:
    """The tokenizer of ``sacrebleu`` for texts in ``language``: by characters, or its default ``13a``."""
    return _BLEU_TOKENIZERS.get(_code(language), "13a")


def is_english(language: str | None) -> bool:
    """Whether the English word lists apply: also where no language is named."""
    return _code(language) in ("", "en")


def _code(language: str | None) -> str:
    """``zh`` of ``zh-TW``; empty for None."""
    return (language or "").partition("-")[0]
