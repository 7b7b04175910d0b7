"""Find which pixels of synthetic pictures are people's: python -m training.scenes --synthetic DIR -o FILE.

The pictures are rendered again from their seeds, which gives the same pixels. In training the people then
stand in photographs: rendered surroundings alone teach little about real ones.
"""

from __future__ import annotations

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from edgepose.synth.scene import render_scene
from training.crop import Picture
from training.cutouts import write

# Seed, size h and w, fewest and most persons, shot.
Scene = tuple[int, tuple[int, int], tuple[int, int], str | None]


def people(scene: Scene) -> Picture:
    """Return where a scene shows people, (H, W) 0 to 255."""
    seed, size_hw, persons, shot = scene
    inside = render_scene(seed, size_hw=size_hw, persons=persons, shot=shot, clean=True).owners != 255
    return np.asarray(cv2.GaussianBlur(np.where(inside, np.uint8(255), np.uint8(0)), (3, 3), 0), np.uint8)


def scenes(folder: Path) -> list[Scene]:
    """Return the scenes of a folder made by `edgepose synth`, in the order of its pictures."""
    document = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    low, high = document["info"]["persons"]
    shot = document["info"].get("shot")
    return [
        (image["seed"], (image["height"], image["width"]), (low, high), shot) for image in document["images"]
    ]


def main() -> None:
    """Render what each picture of the folder shows again and write where people are."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by edgepose synth")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npz")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with Pool() as pool:
        found = pool.map(people, scenes(options.synthetic), chunksize=16)
    write(options.output, dict(enumerate(found)))
    print(f"{len(found)} pictures")


if __name__ == "__main__":
    main()
