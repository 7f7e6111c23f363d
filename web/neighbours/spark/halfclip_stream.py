"""One `halfclip embed` process, driven through its pipes: inputs go in, vectors come back in order.

Needs Python 3.9 or newer on Linux or macOS, nothing else; `embed_table.py` uses it in Spark's workers.

    with Embedder("text", options=["--model", "halfclip-emoji"]) as embedder:
        for vector, error in embedder.embed(["a cat", "a dog"]):
            ...
"""

import base64
import json
import os
import selectors
import subprocess
import tempfile
from collections import deque
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Union

CHUNK = 1 << 16
TOLD = 2000  # bytes of standard error that a message repeats
END = object()
_shared = {}  # embedders that stay for the life of this process


class Answer(NamedTuple):
    """What became of one input: its vector, or what is wrong with it."""

    vector: Optional[List[float]]
    error: Optional[str]


class EmbedderFailed(RuntimeError):
    """The command itself fails, whatever the inputs: another try would fail as well. Says what it printed."""


class Embedder:
    """A loaded tower in a process of its own, which starts at the first input and lives until close().

    A process that is killed, crashes or says nothing for `patience` seconds is started again, and gets what it has not
    answered once more, one by one: an input that ends `attempts` processes gets an error for an answer.

    Args:
        tower: "text" for inputs that are str; "image" for pictures, as bytes of their files, paths or URLs.
        command: the program and its first arguments, such as ["node", "node_modules/halfclip/dist/cli.js"].
        options: of `halfclip embed`: --model, --weights, --dtype, --threads and so on.
        ahead: how many inputs may be on their way; it bounds the memory.
    """

    def __init__(
        self,
        tower: str,
        command: Sequence[str] = ("halfclip",),
        options: Sequence[str] = (),
        ahead: Optional[int] = None,
        attempts: int = 3,
        patience: float = 900,
    ):
        if tower not in ("text", "image"):
            raise ValueError(f"tower is {tower!r}, expected 'text' or 'image'")
        self._key = tower
        self._command = [*command, "embed", "--tower", tower, "--input", "jsonl", "--out", "-", "--errors", "output", *options]
        self._ahead = ahead or {"text": 256, "image": 4}[tower]
        self._attempts = attempts
        self._patience = patience
        self._process = None
        self._stderr = None

    def embed(self, inputs: Iterable[Union[str, bytes, None]]) -> Iterator[Answer]:
        """An answer for each input, in order. Raises EmbedderFailed where the command itself fails."""
        inputs = iter(inputs)
        more = True
        waiting = deque()  # lines without an answer, the oldest first
        queued = 0  # how many of them this process is given
        unsent = deque()  # what it has not taken of these
        received = b""
        careful = 0  # after a death: how many lines to give one by one
        deaths = lost = 0  # processes that ended at this line alone, and lines in a row that were given up for it
        try:
            while True:
                while more and len(waiting) < self._ahead:
                    value = next(inputs, END)
                    more = value is not END
                    if more:
                        waiting.append(self._line(value))
                if not waiting:
                    return
                while queued < (1 if careful else len(waiting)):
                    unsent.append(memoryview(waiting[queued]))
                    queued += 1
                data = self._exchange(unsent)
                if data:
                    *lines, received = (received + data).split(b"\n")
                    for line in lines:
                        waiting.popleft()
                        queued -= 1
                        careful = max(0, careful - 1)
                        deaths = lost = 0
                        yield self._answer(line)
                elif data is not None:
                    how = self._end()
                    deaths = deaths + 1 if queued == 1 else 0
                    if deaths == self._attempts:
                        waiting.popleft()
                        deaths = 0
                        lost += 1
                        if lost > self._attempts:
                            raise EmbedderFailed(f"{' '.join(self._command)} answers nothing any more; it {how}")
                        yield Answer(None, f"{self._attempts} processes ended at this input; the last one {how}")
                    careful, queued, received = len(waiting), 0, b""
                    unsent.clear()
        finally:
            if waiting:
                self.close()  # its answers are nobody's

    def _line(self, value):
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = "data:;base64," + base64.b64encode(value).decode("ascii")
        return json.dumps({self._key: value}).encode("ascii") + b"\n"

    @staticmethod
    def _answer(line):
        answer = json.loads(line)
        error = answer.get("error")
        if error is None:
            return Answer(answer["embedding"], None)
        return Answer(None, f"{error['code']}: {error['message']}")

    def _start(self):
        if self._process is not None:
            return
        stderr = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
            )
        except OSError:
            stderr.close()
            raise
        self._stderr = stderr
        os.set_blocking(self._process.stdin.fileno(), False)

    def _exchange(self, unsent):
        """Waits until the process takes or gives something: its bytes; b"" if it has ended; None if it only took some."""
        self._start()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if unsent:
                selector.register(self._process.stdin, selectors.EVENT_WRITE)
            ready = {key.fileobj for key, _ in selector.select(self._patience)}
        if not ready:
            self._process.kill()
            return b""
        if self._process.stdout in ready:
            return self._process.stdout.read(CHUNK)
        try:
            taken = os.write(self._process.stdin.fileno(), unsent[0][:CHUNK])
        except BrokenPipeError:
            return self._process.stdout.read(CHUNK)  # its last words
        unsent[0] = unsent[0][taken:]
        if not unsent[0]:
            unsent.popleft()
        return None

    def _end(self):
        """How the process ended. Raises EmbedderFailed where it told what is wrong itself."""
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - TOLD))
        told = self._stderr.read().decode("utf-8", "replace").strip()
        self.close()
        if 0 < status < 128:
            raise EmbedderFailed(f"{' '.join(self._command)} ended with status {status}: {told}")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{how}: {told}" if told else how

    def close(self):
        """Ends the process. The next input starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        self._stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def shared(tower: str, command: Sequence[str], options: Sequence[str]) -> Embedder:
    """The embedder with these arguments that this process has for everyone; it ends with the process."""
    key = (os.getpid(), tower, tuple(command), tuple(options))
    if key not in _shared:
        _shared[key] = Embedder(tower, command, options)
    return _shared[key]
