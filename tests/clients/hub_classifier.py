"""huggingface_hub's InferenceClient against a classifier: the fixture toy_classifier."""

from __future__ import annotations

import json
from pathlib import Path

from check import arguments, expect
from huggingface_hub import InferenceClient, TextClassificationOutputElement

LABELS = ["negative", "neutral", "positive"]
FIXTURE = Path(__file__).resolve().parent.parent / "fixtures/text.json"


def main() -> None:
    args = arguments(__doc__).parse_args()
    cases = [case for case in json.loads(FIXTURE.read_text())[args.model]["1"] if 0 < len(case["text"].split()) < 20]
    expect(len(cases) > 5, f"{len(cases)} cases")
    for url in (args.url, f"{args.url}/predict"):
        client = InferenceClient(model=url)
        for case in cases:
            scores = dict(zip(LABELS, case["scores"], strict=True))
            got = client.text_classification(case["text"])
            # Of the list that text-embeddings-inference gives for one text the client takes the first, which is the
            # best; of the nested one that other servers give, all.
            best, *others = got if isinstance(got, list) else [got]
            expect(isinstance(best, TextClassificationOutputElement), type(best))
            expect(best.label == max(scores, key=scores.__getitem__), f"{case['text']}: {best}")
            for element in (best, *others):
                expect(abs(element.score - scores[element.label]) < 1e-4, f"{case['text']}: {element}")
    print("text_classification: as expected")


if __name__ == "__main__":
    main()
