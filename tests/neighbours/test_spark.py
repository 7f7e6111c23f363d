"""embed_table.py in Spark, with two workers that each run a task at a time and four tries for each task."""

import shlex
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from pyspark.sql import SparkSession

from test_stream import COMMAND, PICTURES, all_end, direct, float32, mortal, starts

import embed_table

OPTIONS = ["--threads", "1"]


class Spark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.spark = (
            SparkSession.builder.master("local[2,4]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "1g")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.files.maxPartitionBytes", "16384")
            .config("spark.sql.files.openCostInBytes", "16384")  # a partition for each file
            .getOrCreate()
        )
        cls.spark.sparkContext.setLogLevel("OFF")  # deaths are a part of this
        captions = [(i, f"{name} number {i}") for i in range(60) for name in ("a cat", "zwei Herzen")]
        cls.captions = cls.table("captions", captions, ["id", "caption"], 12)
        cls.expected = {
            caption: vector
            for (_, caption), vector in zip(captions, direct([{"text": caption} for _, caption in captions]))
        }

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()
        cls.folder.cleanup()

    @classmethod
    def at(cls, name):
        return str(Path(cls.folder.name) / name)

    @classmethod
    def table(cls, name, rows, columns, files):
        """A table that was written as Parquet, in so many files."""
        cls.spark.createDataFrame(rows, columns).repartition(files).write.parquet(cls.at(name))
        return cls.spark.read.parquet(cls.at(name))

    def embed(self, name, table, column, tower, command=COMMAND):
        """The rows of the Parquet table that is made of another."""
        embed_table.embed_table(table, column, tower, command, OPTIONS).write.parquet(self.at(name))
        return self.spark.read.parquet(self.at(name)).collect()

    def check_captions(self, rows):
        self.assertEqual({row.caption: float32(row.embedding) for row in rows}, self.expected)
        self.assertEqual(len(rows), len(self.expected))
        self.assertEqual({row.error for row in rows}, {None})

    def test_captions_the_same_vectors_and_a_tower_for_each_worker(self):
        self.assertEqual(self.captions.rdd.getNumPartitions(), 12)
        with tempfile.TemporaryDirectory() as folder:
            self.check_captions(self.embed("vectors", self.captions, "caption", "text", mortal(folder)))
            self.assertIn(len(starts(folder)), (1, 2))

    def test_pictures(self):
        rows = [(path.name, path.read_bytes()) for path in PICTURES] + [("bad", b"no picture"), ("none", None)]
        table = self.table("pictures", rows, ["name", "picture"], 3)
        found = {row.name: row for row in self.embed("picture-vectors", table, "picture", "image")}
        expected = direct([{"image": str(path)} for path in PICTURES], "--tower", "image")
        self.assertEqual([float32(found[path.name].embedding) for path in PICTURES], expected)
        self.assertEqual(set(found["bad"].asDict()), {"name", "embedding", "error"})
        self.assertRegex(found["bad"].error, "^input/decode: ")
        self.assertRegex(found["none"].error, "^input/type: ")
        self.assertIsNone(found["bad"].embedding)

        paths = self.table("paths", [(str(path),) for path in PICTURES], ["path"], 2)
        found = {row.path: float32(row.embedding) for row in self.embed("path-vectors", paths, "path", "image")}
        self.assertEqual([found[str(path)] for path in PICTURES], expected)

    def test_dead_processes_and_dead_workers(self):
        deadly = ["kill-process", "kill-worker", "kill-always"]
        table = self.captions.union(
            self.spark.createDataFrame([(-i, f"{word} {i}") for i, word in enumerate(deadly)], ["id", "caption"])
        )
        with tempfile.TemporaryDirectory() as folder:
            rows = {row.caption: row for row in self.embed("dead", table, "caption", "text", mortal(folder))}
            self.assertGreaterEqual(len(starts(folder)), 2 + 3)
            self.assertTrue(all((Path(folder) / word).exists() for word in deadly[:2]))
            always = rows.pop("kill-always 2")
            self.assertEqual(always.error, "3 processes ended at this input; the last one was killed by signal 9")
            for word in ("kill-process 0", "kill-worker 1"):
                self.assertEqual([float32(rows.pop(word).embedding)], direct([{"text": word}]))
            self.check_captions(rows.values())
            self.assertTrue(all_end(folder, but=2 * 2), "those of at most two workers, and of no dead one, still run")

    def test_a_command_that_fails_ends_the_job_and_writes_no_table(self):
        vectors = embed_table.embed_table(self.captions, "caption", "text", COMMAND, ["--model", "ViT-B-33"])
        with self.assertRaisesRegex(Exception, "model/unknown: model"):
            vectors.write.parquet(self.at("none"))
        self.assertEqual(list(Path(self.at("none")).glob("*.parquet")), [])

    def test_columns_that_do_not_do(self):
        with self.assertRaisesRegex(ValueError, "no column 'text', expected one of id, caption"):
            embed_table.embed_table(self.captions, "text", "text")
        with self.assertRaisesRegex(ValueError, "a column 'error' already"):
            embed_table.embed_table(self.captions.withColumnRenamed("id", "error"), "caption", "text")

    def test_pipe(self):
        lines = self.captions.selectExpr("to_json(struct(id, caption as text))").rdd.map(lambda row: row[0])
        command = [*COMMAND, "embed", "--input", "jsonl", "--out", "-", "--errors", "output", *OPTIONS]
        vectors = self.spark.read.json(lines.coalesce(3).pipe(shlex.join(command), checkCode=True))
        rows = vectors.withColumnRenamed("text", "caption").selectExpr("*", "null as error").collect()
        self.check_captions(rows)

    def run_program(self, name, *arguments):
        """The rows that embed_table.py writes, and what it prints."""
        arguments = ["embed_table.py", *arguments, "--output", self.at(name), "--command", shlex.join(COMMAND)]
        with mock.patch.object(sys, "argv", [*arguments, "--", "--dtype", "int8"]), mock.patch("builtins.print") as printed:
            with mock.patch.object(self.spark, "stop"):
                embed_table.main()
        return self.spark.read.parquet(self.at(name)).collect(), printed.call_args[0][0]

    def test_the_program(self):
        arguments = ["--input", self.at("captions"), "--column", "caption", "--tower", "text", "--partitions", "1"]
        rows, printed = self.run_program("program", *arguments)
        self.assertEqual(printed, "120 rows, 0 of them with an error")
        self.check_captions(rows)
        self.assertEqual(len(list(Path(self.at("program")).glob("*.parquet"))), 1)

    def test_the_program_with_a_folder_of_pictures(self):
        folder = str(PICTURES[0].parent)
        arguments = ["--input", folder, "--format", "binaryFile", "--column", "content", "--tower", "image"]
        rows, printed = self.run_program("folder", *arguments)
        others = len(list(PICTURES[0].parent.iterdir())) - len(PICTURES)
        self.assertEqual(printed, f"{len(rows)} rows, {others} of them with an error")
        found = {Path(row.path).name: row.embedding for row in rows}
        expected = direct([{"image": str(path)} for path in PICTURES], "--tower", "image")
        self.assertEqual([float32(found[path.name]) for path in PICTURES], expected)


if __name__ == "__main__":
    unittest.main()
