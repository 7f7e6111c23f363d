"""Takes requests as Qdrant's server does, of which it is none: it answers those alone, and as such, that qdrant-openapi.json
has from Qdrant's OpenAPI document, with Qdrant's engine (`qdrant-edge-py`) for the points."""

import json
import re
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import qdrant_edge as edge
from jsonschema import Draft202012Validator

DOCUMENT = json.loads(Path(__file__).with_name("qdrant-openapi.json").read_text())


def check(schema, value):
    Draft202012Validator({**schema, "schemas": DOCUMENT["schemas"]}).validate(value)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Clients ask for the version."""
        self.answer(200, {"title": "qdrant - vector search engine", "version": "1.19.0"})

    def do_PUT(self):
        self.take()

    def do_POST(self):
        self.take()

    def take(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        url = urlsplit(self.path)
        name = f"{self.command} " + re.sub("^/collections/pictures", "/collections/{collection_name}", url.path)
        try:
            described = DOCUMENT["requests"][name]
            unknown = set(dict(parse_qsl(url.query))) - set(described["query"])
            if unknown:
                raise ValueError(f"{name}: {unknown}")
            check(described["request"], body)
            answer = {"result": self.server.do(name, body), "status": "ok", "time": 0.001}
            check(described["response"], answer)
        except Exception as error:
            return self.answer(400, {"status": {"error": f"{name}: {error!r}"}, "time": 0})
        self.server.taken.append(name)
        self.answer(200, answer)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Stub(ThreadingHTTPServer):
    """`url` says where it is; `taken`, what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.taken = []
        self.shard = None
        self.folder = tempfile.TemporaryDirectory()

    def __enter__(self):
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        if self.shard:
            self.shard.close()
        self.folder.cleanup()

    def do(self, name, body):
        if name == "PUT /collections/{collection_name}":
            distance = getattr(edge.Distance, body["vectors"]["distance"])
            vectors = edge.EdgeVectorParams(size=body["vectors"]["size"], distance=distance)
            self.shard = edge.EdgeShard.create(self.folder.name, edge.EdgeConfig(vectors=vectors))
            return True
        if name == "PUT /collections/{collection_name}/points":
            points = [edge.Point(id=p["id"], vector=p["vector"], payload=p["payload"]) for p in body["points"]]
            self.shard.update(edge.UpdateOperation.upsert_points(points))
            return {"operation_id": len(self.taken), "status": "completed"}
        query = edge.Query.Nearest(body["query"]["nearest"])
        request = edge.QueryRequest(limit=body["limit"], query=query, with_payload=body["with_payload"])
        points = self.shard.query(request)
        return {"points": [{"id": p.id, "version": 0, "score": p.score, "payload": p.payload} for p in points]}
