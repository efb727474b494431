"""Texts to check and to measure with: the same ones on every run."""

import numpy as np

WORDS = """
the of and a to in is was for on with as by at from it that this be are not have has had were which or an their its but
all one can more other when who there if out so about up them then some her would make like into time two year people
water language city history river mountain government science music children weather system machine teacher question
market number winter summer story bread garden window bridge station doctor letter animal colour morning evening
perch rollout canary latency tokenizer embedding benchmark quarterly inflation unemployment thermodynamics
photosynthesis misunderstanding internationalisation counterintuitive crystallography seventeenth Zürich Reykjavík
""".split()

# The model card's own example: how close the first one is to the others.
CARD = {
    "That is a happy person": 1.0,
    "That is a happy dog": 0.695,
    "That is a very happy person": 0.943,
    "Today is a sunny day": 0.257,
}

ODD = [
    "",
    " \t\n ",
    "a",
    ".",
    "?!… — «»",
    "Grüße aus Zürich, Señor Nuñez: ÆØÅ, İstanbul, Straße",
    "Cafe\u0301 and caf\u00e9 are one word",
    "机器学习模型的滚动发布",
    "日本語の文章とカタカナ",
    "Быстрая бурая лиса прыгает через ленивую собаку",
    "نموذج لغوي صغير",
    "👍🏽 👩‍👩‍👧 flags 🇨🇭 and a zero\u200bwidth space",
    "[CLS] is a token, and so is [MASK]; ##ing is half of one",
    "https://example.org/a/b?c=d&e=%20f#g",
    "def f(x):\n\treturn {'a': x**2, \"b\": [1, 2.5e-3]}",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "\u0000 control \u0007 characters \ufffd",
]


def sentence(words: int, seed: int) -> str:
    """So many words, of a generator that numpy never changes."""
    return " ".join(np.random.RandomState(seed).choice(WORDS, words))


def reference() -> list[str]:
    """Of 0 to 250 words, and two that are longer than the model takes."""
    lengths = [1, 2, 3, 5, 8, 12, 17, 23, 30, 40, 50, 65, 80, 100, 120, 140, 160, 180, 200, 225, 250]
    drawn = [sentence(words, seed) for seed, words in enumerate([*lengths, 400, 700])]
    return [*CARD, *ODD, *drawn]


def mixed() -> list[str]:
    """32 texts of 5 to 180 words, short ones being the more common, in no order."""
    lengths = np.round(5 * 36 ** (np.arange(32) / 31) ** 1.5).astype(int)
    return [sentence(words, 100 + seed) for seed, words in enumerate(np.random.RandomState(0).permutation(lengths))]
