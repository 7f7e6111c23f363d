"""Embeds a column of a table with Spark: texts, pictures as bytes of their files, or paths and URLs of pictures.

    spark-submit embed_table.py --input captions.parquet --column caption --tower text --output vectors.parquet \\
        -- --model ViT-B-32 --weights text.safetensors

What stands after `--` are options of `halfclip embed`. The output has the input's columns (without pictures' bytes), and
`embedding`, a list of floats, or what is wrong with the row in `error`.
"""

import argparse
import shlex
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, BinaryType, FloatType, StringType, StructField, StructType

ROWS = {"text": 1024, "image": 32}  # of a batch, which a worker holds in memory


def embed_table(table, column, tower, command=("halfclip",), options=()):
    """The table with the columns `embedding` and `error`.

    Each of Spark's Python workers loads the tower once, for all partitions that it gets. A row that cannot be embedded
    has an error; a process that dies is replaced (see halfclip_stream.py); what else fails is Spark's to try again. Sets
    how many rows the session gives to Python at once (spark.sql.execution.arrow.maxRecordsPerBatch).
    """
    source = next((field for field in table.schema.fields if field.name == column), None)
    if source is None:
        raise ValueError(f"there is no column {column!r}, expected one of {', '.join(table.columns)}")
    taken = {"embedding", "error"} & set(table.columns)
    if taken:
        raise ValueError(f"the table has a column {taken.pop()!r} already, rename it")
    kept = [field for field in table.schema.fields if field is not source or not isinstance(source.dataType, BinaryType)]
    schema = StructType(
        [*kept, StructField("embedding", ArrayType(FloatType(), False)), StructField("error", StringType())]
    )
    names = [field.name for field in kept]

    def embed_batches(batches):
        embedder = loaded(tower, tuple(command), tuple(options))
        for batch in batches:
            answers = list(embedder.embed(batch[column]))
            vectors = pd.Series([answer.vector for answer in answers], index=batch.index, dtype=object)
            errors = pd.Series([answer.error for answer in answers], index=batch.index, dtype=object)
            yield batch[names].assign(embedding=vectors, error=errors)

    spark = table.sparkSession
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", ROWS[tower])
    for file in (Path(__file__), Path(__file__).with_name("halfclip_stream.py")):
        spark.sparkContext.addPyFile(str(file))
    return table.mapInPandas(embed_batches, schema)


def loaded(tower, command, options):
    """The embedder of this worker process, which Spark uses for one partition after another."""
    # Imported by the worker from the file that it was sent: what this function had of its own would be new for each task.
    import halfclip_stream

    return halfclip_stream.shared(tower, command, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a table that Spark reads")
    parser.add_argument("--format", default="parquet", help="of the input; binaryFile: a folder's files, column content")
    parser.add_argument("--output", required=True, help="the Parquet table to write, which must not be there")
    parser.add_argument("--column", required=True)
    parser.add_argument("--tower", required=True, choices=["text", "image"])
    parser.add_argument("--partitions", type=int, help="of the output; default: those of the input")
    parser.add_argument("--command", default="halfclip", help='default: halfclip; or "node …/dist/cli.js"')
    parser.add_argument("options", nargs="*", help="of halfclip embed, after --; default: --threads 1")
    arguments = parser.parse_args()
    # Spark runs a task a core, each with a tower of its own.
    options = arguments.options if "--threads" in arguments.options else ["--threads", "1", *arguments.options]

    spark = SparkSession.builder.appName("halfclip").getOrCreate()
    table = spark.read.format(arguments.format).load(arguments.input)
    if arguments.partitions:
        table = table.repartition(arguments.partitions)
    vectors = embed_table(table, arguments.column, arguments.tower, shlex.split(arguments.command), options)
    vectors.write.parquet(arguments.output)
    written = spark.read.parquet(arguments.output)
    failed = written.where("error is not null").count()
    print(f"{written.count()} rows, {failed} of them with an error")
    spark.stop()


if __name__ == "__main__":
    main()
