"""A step that measures nothing, run as a process of its own."""

import argparse
import json
from pathlib import Path

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--fail", action="store_true")
    options = parser.parse_args()
    if options.fail:
        raise SystemExit(1)
    options.json.write_text(json.dumps({"measured": 1}))
