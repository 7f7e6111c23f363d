"""How much processor time an input takes on its way through halfclip_stream.py, in the process and in Python.

    python3 tests/neighbours/rate.py image FOLDER --model ViT-B-32 --weights image.safetensors
    python3 tests/neighbours/rate.py text captions.txt --model ViT-B-32 --weights text.safetensors

One thread, in ten parts after a first one that does not count; the least and the median part. Linux only. NODE is the
Node.js to use.
"""

import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from test_stream import COMMAND

from halfclip_stream import Embedder

PARTS = 10
ROWS = {"image": 10, "text": 100}  # in a part


def used(pid):
    """Milliseconds of processor time of all threads that a process has."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def main():
    tower, place, *options = sys.argv[1:]
    if tower == "image":
        inputs = [path.read_bytes() for path in sorted(Path(place).iterdir())]
    else:
        inputs = Path(place).read_text().splitlines()
    rows, inputs = ROWS[tower], cycle(inputs)
    command = [os.environ.get("NODE", COMMAND[0]), *COMMAND[1:]]
    with Embedder(tower, command, [*options, "--threads", "1"]) as embedder:
        list(embedder.embed(islice(inputs, rows)))
        times = {"halfclip": [], "Python": []}
        for _ in range(PARTS):
            before, start = used(embedder._process.pid), time.process_time()
            answers = list(embedder.embed(islice(inputs, rows)))
            times["Python"].append((time.process_time() - start) * 1000 / rows)
            times["halfclip"].append((used(embedder._process.pid) - before) / rows)
            assert not any(answer.error for answer in answers), answers
    for name, found in times.items():
        found.sort()
        print(f"{name}: least {found[0]:.2f} ms, median {found[PARTS // 2]:.2f} ms for one {tower}")


if __name__ == "__main__":
    main()
