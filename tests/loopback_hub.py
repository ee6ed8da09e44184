"""A Hub on loopback that takes data sets: create, preupload, LFS, commit, tags, and READMEs of models to be read."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from loopback import Replies

TOKEN = "hf_" + "w" * 30
SHA = "c0ffee" + "0" * 34


@dataclass
class Store:
    """What has been pushed and what may be read."""

    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    lfs: dict[str, bytes] = field(default_factory=dict)
    readmes: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Hub(Replies):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, store = self.begin(), self.server.store
        parts = path.split("/")
        if parts[3:] == ["resolve", parts[-2], "README.md"] and "/".join(parts[1:3]) in store.readmes:
            content = store.readmes["/".join(parts[1:3])]
            self.reply(200, content, {"X-Repo-Commit": parts[4], "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        elif path.startswith("/api/datasets/") and (name := "/".join(parts[3:5])) in store.files:
            rest = "/".join(parts[5:])
            if rest == "refs":
                tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in store.tags[name].items()]
                self.reply(200, {"branches": [], "converts": [], "tags": tags})
            elif rest.startswith("tree/"):
                files = [
                    {"type": "file", "path": file, "size": len(text), "oid": "0"} for file, text in store.files[name].items()
                ]
                self.reply(200, files)
            else:
                self.reply(200, {"id": name, "sha": SHA, "private": store.private[name]})
        else:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound" if "resolve" in parts else "RepoNotFound"})

    def do_POST(self):
        path, store = self.begin(), self.server.store
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.reply(401, {"error": "Invalid credentials in Authorization header"})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            status = 409 if name in store.files else 200
            if status == 200:
                store.private[name] = asked.get("visibility") == "private"
                store.files[name], store.tags[name] = {}, {}
            self.reply(status, {"url": f"{self.server.address}/datasets/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.reply(200, {"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self.reply(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            name = "/".join(path.split("/")[3:5])
            self.commit(store.files[name], [json.loads(line) for line in body.splitlines()])
            self.reply(200, {"commitUrl": f"{self.server.address}/datasets/{name}/commit/{SHA}", "commitOid": SHA})
        elif "/tag/" in path:
            name, revision = "/".join(path.split("/")[3:5]), path.split("/")[-1]
            self.server.store.tags[name][json.loads(body)["tag"]] = revision
            self.reply(200, {})
        else:
            self.reply(404, b"")

    def do_PUT(self):
        path = self.begin()
        content = self.rfile.read(int(self.headers["content-length"]))
        oid = path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() == oid:
            self.server.store.lfs[oid] = content
            self.reply(200, b"")
        else:
            self.reply(400, b"the bytes have another hash")

    def commit(self, files: dict[str, bytes], lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.store.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]

    def begin(self) -> str:
        path = urlsplit(self.path).path
        self.server.store.asked.append(f"{self.command} {path}")
        return path

    def reply(self, status, body, headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(status, content, headers)


@contextmanager
def loopback_hub():
    """The store of a running Hub and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.store, server.address = Store(), f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.store, server.address
    server.shutdown()
    server.server_close()
