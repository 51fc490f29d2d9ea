"""What does the user want? Intents of messages, English and Vietnamese, from a small generator of sentences.

The last messages have words that the model never saw, "nhỉ" and "bảy".
"""

import numpy as np

from fastrnn.models import SequenceClassifier

PATTERNS = {
    "light on": [
        "turn on the {room} light",
        "light on in the {room}",
        "bật đèn {phòng}",
        "mở đèn {phòng} lên",
    ],
    "light off": [
        "turn off the {room} light",
        "lights out in the {room}",
        "tắt đèn {phòng}",
        "tắt hết đèn {phòng} đi",
    ],
    "weather": [
        "will it rain {time}",
        "how is the weather {time}",
        "{khi} trời có mưa không",
        "thời tiết {khi} thế nào",
    ],
    "alarm": ["wake me up {time}", "set an alarm for {time}", "gọi tôi dậy {khi}", "đặt báo thức {khi}"],
}
WORDS = {
    "room": ["kitchen", "bedroom", "bathroom", "garden"],
    "phòng": ["nhà bếp", "phòng ngủ", "phòng tắm", "ngoài vườn"],
    "time": ["today", "tomorrow", "on monday", "at six", "this evening"],
    "khi": ["hôm nay", "ngày mai", "thứ hai", "lúc sáu giờ", "tối nay"],
}
POLITE = ["", "", "please", "nhé", "can you", "ơi", "hey"]


def sentences(n, rng):
    """Return n messages and what each wants."""
    X, y = [], []
    for _ in range(n):
        intent = str(rng.choice(list(PATTERNS)))
        words = {name: rng.choice(choices) for name, choices in WORDS.items()}
        text = str(rng.choice(PATTERNS[intent])).format(**words)
        X.append(f"{rng.choice(POLITE)} {text} {rng.choice(POLITE)}".strip())
        y.append(intent)
    return X, y


rng = np.random.default_rng(0)
model = SequenceClassifier(hidden_size=32, pool="max", bidirectional=True, dropout=0.2)
model.fit(*sentences(600, rng), epochs=20, validation=0.1, patience=5)
accuracy = model.score(*sentences(300, rng))
print(f"{accuracy:.1%} of 300 new messages are understood, after {model.history_.epochs} epochs")

for message in [
    "hey turn the bathroom light off",
    "Ngày mai trời mưa không nhỉ?",
    "đặt báo thức lúc bảy giờ",
]:
    p = model.predict_proba([message])[0]
    print(f"  {message!r}: {model.classes_[p.argmax()]} ({p.max():.0%})")
assert accuracy > 0.95
