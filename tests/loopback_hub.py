"""A Hub on loopback that takes data sets and models: create, preupload, LFS, commit, tags, and READMEs to be read. It can
cut connections."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
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
    """What has been pushed and what may be read. `cuts` says how many requests, by a part of their path, end in the middle
    of their body; `commits` holds the message of each commit and its paths."""

    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    lfs: dict[str, bytes] = field(default_factory=dict)
    readmes: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    commits: list[tuple[str, list[str]]] = field(default_factory=list)
    cuts: dict[str, int] = field(default_factory=dict)


class Hub(Replies):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, store = self.begin(), self.server.store
        parts = path.split("/")
        if parts[3:] == ["resolve", parts[-2], "README.md"] and "/".join(parts[1:3]) in store.readmes:
            content = store.readmes["/".join(parts[1:3])]
            self.reply(200, content, {"X-Repo-Commit": parts[4], "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        elif path.startswith(("/api/datasets/", "/api/models/")) and (name := "/".join(parts[3:5])) in store.files:
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
        if self.is_cut(path):
            return
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
            kind = "datasets/" if asked.get("type") == "dataset" else ""
            self.reply(status, {"url": f"{self.server.address}/{kind}{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith((".parquet", ".safetensors", ".pt")) else "regular",
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
            name, kind = "/".join(path.split("/")[3:5]), "datasets/" if path.startswith("/api/datasets/") else ""
            self.commit(store.files[name], [json.loads(line) for line in body.splitlines()])
            self.reply(200, {"commitUrl": f"{self.server.address}/{kind}{name}/commit/{SHA}", "commitOid": SHA})
        elif "/tag/" in path:
            name, revision = "/".join(path.split("/")[3:5]), path.split("/")[-1]
            self.server.store.tags[name][json.loads(body)["tag"]] = revision
            self.reply(200, {})
        else:
            self.reply(404, b"")

    def do_PUT(self):
        path = self.begin()
        if self.is_cut(path):
            return
        content = self.rfile.read(int(self.headers["content-length"]))
        oid = path.rpartition("/")[2]
        if hashlib.sha256(content).hexdigest() == oid:
            self.server.store.lfs[oid] = content
            self.reply(200, b"")
        else:
            self.reply(400, b"the bytes have another hash")

    def commit(self, files: dict[str, bytes], lines: list[dict]) -> None:
        message = ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.store.lfs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        paths = [line["value"]["path"] for line in lines if line["key"] in ("file", "lfsFile")]
        self.server.store.commits.append((message, sorted(paths)))

    def is_cut(self, path: str) -> bool:
        """Hangs up after half of the body where the store says so."""
        cuts = self.server.store.cuts
        part = next((part for part, left in cuts.items() if part in path and left), None)
        if part is None:
            return False
        cuts[part] -= 1
        self.rfile.read(int(self.headers.get("content-length", 0)) // 2)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        return True

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
