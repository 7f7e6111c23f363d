"""The code for Qdrant in web/neighbours/README.md: with the client in memory; over HTTP, where each request and answer is
as Qdrant's OpenAPI document says; and the same with Qdrant's engine."""

import json
import os
import re
import tempfile
import unittest
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import qdrant_edge as edge
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams  # noqa: F401, for the code of the page

from qdrant_stub import DOCUMENT, Stub
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

    def searched(self, client, words=WORDS):
        """What the code of the page finds with a client: for each of the words, by itself."""
        back = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                with open("pictures.jsonl", "w") as file:
                    file.writelines(json.dumps(picture) + "\n" for picture in self.pictures)
                for word, query in zip(words, self.queries):
                    names = {**globals(), "client": client(), "query": query}
                    exec(CODE, names)
                    yield word, [(point.payload["name"], point.score) for point in names["found"]]
            finally:
                os.chdir(back)

    def test_the_client(self):
        for word, found in self.searched(lambda: QdrantClient(":memory:")):
            self.assertEqual(found[0][0], word)
            self.assertEqual(len(found), 5)

    def test_requests(self):
        expected = dict(self.searched(lambda: QdrantClient(":memory:")))
        with Stub() as stub:
            for word, found in self.searched(lambda: QdrantClient(stub.url), WORDS[:1]):
                self.assertEqual(stub.taken, list(DOCUMENT["requests"]))
                self.assertEqual([name for name, _ in found], [name for name, _ in expected[word]])
                for (_, score), (_, same) in zip(found, expected[word]):
                    self.assertAlmostEqual(score, same, 5)
            for path, body in [
                ("", {"vectors": {"size": 0, "distance": "Cosine"}}),
                ("", {"vectors": {"size": 3, "distance": "cosine"}}),
                ("", {"vector": {"size": 3, "distance": "Cosine"}}),
                ("/points", {"points": [{"id": -1, "vector": [1]}]}),
                ("/points/upsert", {"points": []}),
            ]:
                request = Request(f"{stub.url}/collections/pictures{path}", json.dumps(body).encode(), method="PUT")
                with self.assertRaises(HTTPError) as refused:
                    urlopen(request)
                self.assertEqual(refused.exception.code, 400)
                refused.exception.close()

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
