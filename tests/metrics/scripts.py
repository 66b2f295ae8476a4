"""A text in each of ten scripts, beside another one that shares no word or nearly none with it."""

PAIRS = {
    "Latin with accents": ("Für Élodie ist das Frühstück schön.", "Müde Vögel fliegen über Zürich."),
    "Chinese": ("今天天气很好，我们去公园散步。", "他昨晚读完了那本旧书。"),
    "Japanese": ("明日の朝、駅前で会いましょう。", "猫が窓から逃げた。"),
    "Korean": ("오늘은 날씨가 아주 좋습니다.", "그는 어제 책을 샀어요."),
    "Arabic": ("الطقس جميل اليوم في المدينة.", "قرأت كتابا قديما عن البحر."),
    "Russian": ("Сегодня в парке хорошая погода.", "Мой брат купил эту книгу."),
    "Greek": ("Ο καιρός είναι καλός σήμερα.", "Διάβασα ένα παλιό βιβλίο χθες."),
    "Hindi": ("आज मौसम बहुत अच्छा है।", "उसने कल पुरानी किताब पढ़ी।"),
    "Thai": ("วันนี้อากาศดีมาก", "เขาซื้อหนังสือเก่า"),
    "emoji": ("👍🎉😀", "😢🌧️"),
}
