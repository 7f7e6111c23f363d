"""halfclip_stream.py: a process behind pipes, which may die, be slow or be given nonsense."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from array import array
from itertools import count, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "web/neighbours/spark"))
from halfclip_stream import Embedder, EmbedderFailed  # noqa: E402

COMMAND = ["node", str(ROOT / "dist/cli.js")]
PICTURES = sorted((ROOT / "tests/pictures").glob("*.jpg"))
WORDS = [f"{name} {i}" for i in range(40) for name in ("a cat", "two hearts", "ein Zug", "🚀", "")]


def float32(numbers):
    return array("f", numbers).tolist()


def direct(records, *options):
    """The vectors that the command itself gives, run once."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    command = [*COMMAND, "embed", "--input", "jsonl", *options]
    printed = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    return [float32(json.loads(line)["embedding"]) for line in printed.splitlines()]


def mortal(folder):
    return [sys.executable, str(Path(__file__).with_name("mortal.py")), folder, *COMMAND]


def vectors(answers):
    answers = list(answers)
    assert not any(answer.error for answer in answers), answers
    return [float32(answer.vector) for answer in answers]


def starts(folder):
    return sorted(Path(folder).glob("start-*"))


def alive(folder):
    """Processes that were started and still run."""
    pids = [pid for file in starts(folder) for pid in (file.name.split("-")[1], file.read_text())]
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}/fd") and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"]


def all_end(folder, but=0):
    """Whether all processes that were started end before long, but for some."""
    for _ in range(200):
        if len(alive(folder)) <= but:
            return True
        time.sleep(0.05)
    return False


class Stream(unittest.TestCase):
    def test_the_same_vectors_again_and_again_from_one_process(self):
        expected = direct([{"text": word} for word in WORDS])
        with tempfile.TemporaryDirectory() as folder, Embedder("text", mortal(folder)) as embedder:
            for _ in range(3):
                self.assertEqual(vectors(embedder.embed(WORDS)), expected)
            self.assertEqual(len(starts(folder)), 1)
            embedder.close()
            self.assertTrue(all_end(folder))

    def test_pictures_as_bytes_and_as_paths(self):
        expected = direct([{"image": str(path)} for path in PICTURES], "--tower", "image")
        with Embedder("image", COMMAND) as embedder:
            self.assertEqual(vectors(embedder.embed(map(str, PICTURES))), expected)
            self.assertEqual(vectors(embedder.embed(path.read_bytes() for path in PICTURES)), expected)

    def test_what_is_no_input_has_an_error_in_its_place(self):
        with Embedder("text", COMMAND) as embedder:
            cat, null, dog = embedder.embed(["a cat", None, "a dog"])
            self.assertIsNone(cat.error)
            self.assertEqual(null, (None, 'input/type: has no string "text"'))
            self.assertIsNone(dog.error)
        with Embedder("image", COMMAND) as embedder:
            good, empty, bad = embedder.embed([PICTURES[0].read_bytes(), b"", b"no picture"])
            self.assertIsNone(good.error)
            for answer in (empty, bad):
                self.assertRegex(answer.error, "^input/decode: ")

    def test_inputs_are_taken_as_they_are_needed(self):
        taken = count()
        with Embedder("text", COMMAND, ahead=8) as embedder:
            answers = embedder.embed(f"number {i}" for i in taken)
            self.assertEqual(len(list(islice(answers, 20))), 20)
            self.assertLessEqual(next(taken), 20 + 8)
            answers.close()
            self.assertEqual(vectors(embedder.embed(["a cat"])), direct([{"text": "a cat"}]))

    def test_a_process_that_is_killed_is_replaced(self):
        words = [*WORDS[:50], "kill-process", *WORDS[:50]]
        with tempfile.TemporaryDirectory() as folder, Embedder("text", mortal(folder)) as embedder:
            self.assertEqual(vectors(embedder.embed(words)), direct([{"text": word} for word in words]))
            self.assertEqual(len(starts(folder)), 2)

    def test_an_input_that_always_kills_has_an_error_and_the_others_have_vectors(self):
        with tempfile.TemporaryDirectory() as folder, Embedder("text", mortal(folder)) as embedder:
            answers = list(embedder.embed(["a", "b", "kill-always", "c", "d"]))
            self.assertEqual(
                answers[2], (None, "3 processes ended at this input; the last one was killed by signal 9")
            )
            self.assertEqual(vectors(answers[:2] + answers[3:]), direct([{"text": word} for word in "abcd"]))

    def test_a_process_that_says_nothing_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder, Embedder("text", mortal(folder), patience=15) as embedder:
            self.assertEqual(len(vectors(embedder.embed(["a", "wait-for-ever", "b"]))), 3)
            self.assertEqual(len(starts(folder)), 2)

    def test_a_command_that_fails_is_told(self):
        for command, options, pattern in [
            (COMMAND, ["--model", "ViT-B-33"], "status 1: halfclip: model/unknown"),
            (COMMAND, ["--unknown"], "status 2: halfclip: usage: .*--unknown"),
            (["sh", "-c", "kill -9 $$"], [], "answers nothing any more; it was killed by signal 9"),
        ]:
            with self.assertRaisesRegex(EmbedderFailed, pattern):
                list(Embedder("text", command, options).embed(["a"] * 10))
        with self.assertRaises(FileNotFoundError):
            next(Embedder("text", ["no-such-program"]).embed(["a"]))
        with self.assertRaisesRegex(ValueError, "expected 'text' or 'image'"):
            Embedder("video")


if __name__ == "__main__":
    unittest.main()
