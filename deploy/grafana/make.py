"""Writes the dashboards from boards/, where each is a page of Python.

    python3 deploy/grafana/make.py            # write dashboards/*.json
    python3 deploy/grafana/make.py --check    # fail unless they are what it makes

Whoever changes a dashboard in Grafana brings the change back here: three dashboards shall have one idea of a percentile,
and of which replicas they show.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from boards import embeddings, rollouts, serving

FOLDER = Path(__file__).resolve().parent / "dashboards"
BOARDS = {"rollouts": rollouts.BOARD, "serving": serving.BOARD, "embeddings": embeddings.BOARD}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    wrong = [path.name for path in FOLDER.glob("*.json") if path.stem not in BOARDS]
    for name, board in BOARDS.items():
        path, text = FOLDER / f"{name}.json", json.dumps(board, indent=1, ensure_ascii=False) + "\n"
        if not args.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(path.name)
    if wrong:
        print(f"not what deploy/grafana/make.py makes: {', '.join(wrong)}; run it and commit", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
