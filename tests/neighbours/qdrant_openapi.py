"""Takes from the OpenAPI document of Qdrant (docs/redoc/master/openapi.json of github.com/qdrant/qdrant) the requests of
the page, as JSON Schema that allows no property that the document does not name: what qdrant-openapi.json holds.

    python qdrant_openapi.py openapi.json > qdrant-openapi.json
"""

import json
import sys

REQUESTS = [
    ("put", "/collections/{collection_name}"),
    ("put", "/collections/{collection_name}/points"),
    ("post", "/collections/{collection_name}/points/query"),
]
WORDS = ["description", "example", "examples", "default", "deprecated", "discriminator", "format", "title"]


def schema_of(node, needed, closed=True):
    """A schema of OpenAPI 3.0 as one of JSON Schema, and the names of those that it refers to."""
    if isinstance(node, list):
        return [schema_of(item, needed, closed) for item in node]
    if not isinstance(node, dict):
        return node
    if node == {"nullable": True}:
        return {"type": "null"}
    made = {}
    for key, value in node.items():
        if key == "$ref":
            needed.append(value.rsplit("/", 1)[1])
            made[key] = "#/schemas/" + needed[-1]
        elif key == "properties":
            made[key] = {name: schema_of(item, needed) for name, item in value.items()}
        elif key not in WORDS and key != "nullable":
            made[key] = schema_of(value, needed, closed and key != "allOf")
    if closed and "properties" in made and "allOf" not in made:
        made.setdefault("additionalProperties", False)
    if node.get("nullable"):
        return {"anyOf": [made, {"type": "null"}]}
    return made


def main():
    with open(sys.argv[1]) as file:
        document = json.load(file)
    needed, requests, schemas = [], {}, {}
    for method, path in REQUESTS:
        operation = document["paths"][path][method]
        parts = [operation["requestBody"], operation["responses"]["200"]]
        content = [part["content"]["application/json"]["schema"] for part in parts]
        query = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"]
        request, response = schema_of(content, needed)
        requests[f"{method.upper()} {path}"] = {"query": query, "request": request, "response": response}
    while needed:
        name = needed.pop()
        if name not in schemas:
            schemas[name] = None
            schemas[name] = schema_of(document["components"]["schemas"][name], needed)
    json.dump({"requests": requests, "schemas": dict(sorted(schemas.items()))}, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
