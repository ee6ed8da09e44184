"""What gpu.sh has found, in two files: `machine` writes summary.json, `seeds` writes seeds.json. Called by gpu.sh alone.

summary.json: date, card, driver, versions, and each part's state, seconds and files. seeds.json: system -> metric -> its
mean over the held-out cards, one value a seed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where only Python and what is needed are installed

from data_prep.core.files import write_json
from data_prep.core.manifest import versions

SHOWN = ("all_pass", "fact_recall", "numbers_grounded", "links_grounded", "looped")


def machine(out: Path) -> None:
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "parts").glob("*.json"))]
    found = {"date": date.today().isoformat(), **card(), "versions": {"python": sys.version.split()[0], **versions()}}
    write_json(out / "summary.json", {**found, "parts": parts})
    print(f"\n{found['card'] or 'no GPU'}, driver {found['driver']}, {found['date']}")
    for part in parts:
        there = part["result"] if (out / part["result"]).exists() else "no result yet"
        print(f"{part['part']:<6} {part['state']:<12} {part['seconds']:>4} s  {there}")
    print(out / "summary.json")


def card() -> dict[str, Any]:
    import torch

    named = {"card": None, "driver": None, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        named["card"] = torch.cuda.get_device_name()
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        named["driver"] = subprocess.run(asked, capture_output=True, text=True).stdout.partition("\n")[0] or None
    return named


def seeds(out: Path) -> None:
    runs = sorted(out.glob("seed-*/eval/metrics.json"))
    found: dict[str, dict[str, list[float | None]]] = {}
    for run in runs:
        for system, metrics in json.loads(run.read_text(encoding="utf-8"))["systems"].items():
            for name, figure in metrics.items():
                found.setdefault(system, {}).setdefault(name, []).append(figure["mean"])
    write_json(out / "seeds.json", {"seeds": [run.parts[-3] for run in runs], "systems": found})
    for system, metrics in found.items():
        print(system, *(f"{name} {metrics[name]}" for name in SHOWN), sep="  ")


if __name__ == "__main__":
    {"machine": machine, "seeds": seeds}[sys.argv[1]](Path(sys.argv[2]))
