"""A Hub on loopback that takes data sets and models and gives them back: create, preupload, LFS, commit, pull requests,
tags, files at a revision, and READMEs to be read. It can cut connections, before a request is heard or after it is done."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from loopback import Replies

TOKEN = "hf_" + "w" * 30
SHA = "c0ffee" + "0" * 34
KINDS = {"dataset": "datasets/", "space": "spaces/"}  # of addresses
LARGE = (".parquet", ".safetensors", ".pt")


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
    lost: dict[str, int] = field(default_factory=dict)  # requests that are done and whose answer never arrives
    tagged: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)  # repository and tag -> its files then
    pulls: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)  # repository -> the files of each pull request
    busy: list[dict[str, str]] = field(default_factory=list)  # headers of the 429 that the next requests for a file get

    def at(self, name: str, revision: str) -> dict[str, bytes] | None:
        """The files of a repository at a branch, commit, tag or pull request; None where there is no such revision."""
        if revision in ("main", SHA):
            return self.files[name]
        if revision.startswith("refs/pr/"):
            return self.pulls[name][int(revision.removeprefix("refs/pr/")) - 1]
        return self.tagged.get((name, revision))


class Hub(Replies):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, store = self.begin(), self.server.store
        parts = path.split("/")
        if store.busy and "resolve" in parts:
            self.reply(429, b"", store.busy.pop(0))
        elif parts[3:] == ["resolve", parts[-2], "README.md"] and "/".join(parts[1:3]) in store.readmes:
            content = store.readmes["/".join(parts[1:3])]
            self.reply(200, content, {"X-Repo-Commit": parts[4], "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        elif (
            path.startswith(("/api/datasets/", "/api/models/", "/api/spaces/"))
            and (name := "/".join(parts[3:5])) in store.files
        ):
            rest = "/".join(parts[5:])
            if rest == "refs":
                tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in store.tags[name].items()]
                pulls = [f"refs/pr/{number + 1}" for number in range(len(store.pulls.get(name, ())))]
                pulls = [{"name": ref, "ref": ref, "targetCommit": SHA} for ref in pulls]
                self.reply(200, {"branches": [], "converts": [], "tags": tags, "pullRequests": pulls})
            elif rest.startswith("tree/"):
                revision, inside = unquote(parts[6]), "/".join(parts[7:])
                files = store.at(name, revision)
                if files is None or inside:
                    self.reply(404, b"", {"X-Error-Code": "EntryNotFound" if inside else "RevisionNotFound"})
                else:
                    self.reply(200, [listed(file, content) for file, content in files.items()])
            elif rest.startswith("revision/") and store.at(name, unquote(parts[6])) is None:
                self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                self.reply(200, {"id": name, "sha": SHA, "private": store.private.get(name, False)})
        elif parts[3:4] == ["resolve"] and (name := "/".join(parts[1:3])) in store.files:
            content = (store.at(name, unquote(parts[4])) or {}).get("/".join(parts[5:]))
            if content is None:
                self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
            else:
                self.reply(200, content, {"X-Repo-Commit": SHA, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
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
            kind = KINDS.get(asked.get("type"), "")
            self.reply(status, {"url": f"{self.server.address}/{kind}{name}", "name": name})
        elif path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.reply(200, {"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                if one["oid"] not in store.lfs:  # what is there is not asked for again
                    one["actions"] = {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}}
            self.reply(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            name, kind = "/".join(path.split("/")[3:5]), f"{path.split('/')[2]}/".removeprefix("models/")
            files, answer = (
                store.files[name],
                {"commitUrl": f"{self.server.address}/{kind}{name}/commit/{SHA}", "commitOid": SHA},
            )
            if "create_pr=1" in self.path:
                files = dict(files)
                pulls = store.pulls.setdefault(name, [])
                pulls.append(files)
                answer["pullRequestUrl"] = f"{self.server.address}/{kind}{name}/discussions/{len(pulls)}"
            self.commit(files, [json.loads(line) for line in body.splitlines()])
            if not self.hang_up(path, store.lost):
                self.reply(200, answer)
        elif "/tag/" in path:
            name, revision = "/".join(path.split("/")[3:5]), path.split("/")[-1]
            tag = json.loads(body)["tag"]
            store.tags[name][tag], store.tagged[name, tag] = revision, dict(store.files[name])
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
        if any(part in path and left for part, left in self.server.store.cuts.items()):
            self.rfile.read(int(self.headers.get("content-length", 0)) // 2)
        return self.hang_up(path, self.server.store.cuts)

    def hang_up(self, path: str, cuts: dict[str, int]) -> bool:
        part = next((part for part, left in cuts.items() if part in path and left), None)
        if part is None:
            return False
        cuts[part] -= 1
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


def listed(file: str, content: bytes) -> dict:
    """A file as the Hub's tree lists it: git's hash of it, or of a large one that of its content."""
    entry = {"type": "file", "path": file, "size": len(content)}
    if file.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        return {**entry, "oid": "0" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}}
    return {**entry, "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}


@contextmanager
def loopback_hub():
    """The store of a running Hub and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.store, server.address = Store(), f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.store, server.address
    server.shutdown()
    server.server_close()
