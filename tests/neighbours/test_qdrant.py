"""The code for Qdrant in web/neighbours/README.md, with the client in memory, and the same with Qdrant's engine."""

import json
import os
import re
import tempfile
import unittest

import qdrant_edge as edge
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams  # noqa: F401, for the code of the page

from test_stream import PICTURES, ROOT, direct

README = (ROOT / "web/neighbours/README.md").read_text()
CODE = re.search(r"^## Qdrant$.*?^```python$(.*?)^```$", README, re.M | re.S)[1]
WORDS = ["castle", "pizza", "tiger"]


class Qdrant(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        names = [path.stem for path in PICTURES]
        vectors = direct([{"image": str(path)} for path in PICTURES], "--tower", "image")
        cls.pictures = [{"input": name, "embedding": vector} for name, vector in zip(names, vectors)]
        cls.queries = direct([{"text": word} for word in WORDS])

    def test_the_client(self):
        back = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                with open("pictures.jsonl", "w") as file:
                    file.writelines(json.dumps(picture) + "\n" for picture in self.pictures)
                for word, query in zip(WORDS, self.queries):
                    names = {**globals(), "client": QdrantClient(":memory:"), "query": query}
                    exec(CODE, names)
                    self.assertEqual(names["found"][0].payload["name"], word)
                    self.assertEqual(len(names["found"]), 5)
            finally:
                os.chdir(back)

    def test_the_engine(self):
        with tempfile.TemporaryDirectory() as folder:
            size = len(self.queries[0])
            vectors = edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)
            shard = edge.EdgeShard.create(folder, edge.EdgeConfig(vectors=vectors))
            points = [
                edge.Point(id=i, vector=picture["embedding"], payload={"name": picture["input"]})
                for i, picture in enumerate(self.pictures)
            ]
            shard.update(edge.UpdateOperation.upsert_points(points))
            for word, query in zip(WORDS, self.queries):
                request = edge.QueryRequest(limit=5, query=edge.Query.Nearest(query), with_payload=True)
                self.assertEqual(shard.query(request)[0].payload["name"], word)
            shard.close()


if __name__ == "__main__":
    unittest.main()
