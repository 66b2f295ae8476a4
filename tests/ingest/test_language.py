"""The language of texts, and when none is suggested."""

from __future__ import annotations

import pytest

from tasks.ingest.demo import generate
from tasks.ingest.language import language_of

TEXTS = {
    "de": "Das Paket ist zu spät. Wir rufen Sie morgen früh an, wenn es da ist.",
    "fr": "Le colis est en retard. Nous vous appellerons demain matin à son arrivée.",
    "ru": "Сегодня в парке хорошая погода. Мой брат купил эту книгу.",
    "uk": "Привіт, як справи? Що нового у вашому місті цієї весни?",
    "zh": "今天天气很好，我们去公园散步。他昨晚读完了那本旧书，现在很高兴。",
    "ja": "明日の朝、駅前で会いましょう。猫が窓から逃げた。",
    "ko": "오늘은 날씨가 아주 좋습니다. 그는 어제 책을 샀어요.",
    "th": "วันนี้อากาศดีมาก เขาซื้อหนังสือเก่าที่ตลาดเมื่อวานนี้",
    "hi": "आज मौसम बहुत अच्छा है। उसने कल पुरानी किताब पढ़ी।",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_languages(language: str, text: str) -> None:
    assert language_of([text]) == language


def test_texts_count_together_and_equal_ones_once() -> None:
    summaries = [text for row in generate(seed=0, train_rows=20, test_rows=5)[0] for text in row["summaries"]]
    assert language_of(summaries) == "en"
    assert language_of([*["ja"] * 500, *TEXTS["de"].split()]) == "de"


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["positive", "negative"], ["1", "2.5", "17:00"], ["👍🎉"], ["https://example.org/1 12 34 56 78 90"]],
)
def test_texts_that_show_no_language(texts: list[str]) -> None:
    assert language_of(texts) is None
