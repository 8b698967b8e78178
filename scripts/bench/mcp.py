"""An MCP server on loopback, and a client that measures a proxy in front of it.

  mcp.py serve
      Streamable HTTP with JSON answers, one tool `echo`, behind OAuth that lets everybody in. Prints its URL.

  mcp.py measure URL SPAWNS CALLS LABEL CMD ARG..
      One line: label, and of the proxy CMD, which has a stored sign-in:
      - spawn: from before the fork to the answer to `initialize` read, median of SPAWNS processes, ms;
      - direct, through: CALLS echo calls one after another, each from the write of the request to its answer read, median
        ms; `direct` writes the same message in a ready-made HTTP request to one open socket, and reads no more of the
        answer than its length, so that next to nothing of it is this program's own. They take turns in blocks of 100;
      - peak: the proxy's VmHWM after these calls, KB;
      - lost, doubled: of 1,000 calls written at once, each of which the server holds for 100 ms, how many ids had no
        answer, and how many answers were of an id already answered or of another call; all, the ms until the last;
        peak_all, VmHWM after them.
"""

import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

TOKEN = "bench-" + "t" * 600
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


# ---- the server


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(length[1]) if length else 0
            if not found or len(rest) < length:
                return
            self.buffer = rest[length:]
            self.take(head.decode(), rest[:length])

    def answer(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body, headers["content_type"] = json.dumps(body).encode(), "application/json"
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def take(self, head, body):
        method, target, _ = head.split("\r\n")[0].split(" ")
        place = urllib.parse.urlsplit(target)
        if place.path == "/mcp" and f"Bearer {TOKEN}" not in head:
            metadata = f'Bearer resource_metadata="{ORIGIN}/.well-known/oauth-protected-resource/mcp"'
            self.answer(401, www_authenticate=metadata)
        elif place.path == "/mcp" and method == "POST":
            self.message(json.loads(body))
        elif place.path == "/mcp":
            self.answer(405 if method == "GET" else 200)
        elif place.path.startswith("/.well-known/oauth-protected-resource"):
            self.answer(200, {"resource": f"{ORIGIN}/mcp", "authorization_servers": [ORIGIN]})
        elif place.path == "/.well-known/oauth-authorization-server":
            names = {"authorization": "authorize", "token": "token", "registration": "register"}
            metadata = {f"{name}_endpoint": f"{ORIGIN}/{path}" for name, path in names.items()}
            metadata |= {"issuer": ORIGIN, "response_types_supported": ["code"]}
            metadata |= {"code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"]}
            self.answer(200, metadata)
        elif place.path == "/register":
            self.answer(201, json.loads(body) | {"client_id": "bench"})
        elif place.path == "/authorize":
            asked = dict(urllib.parse.parse_qsl(place.query))
            query = urllib.parse.urlencode({"code": "c", "state": asked["state"]})
            self.answer(302, location=f"{asked['redirect_uri']}?{query}")
        elif place.path == "/token":
            grant = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 86400, "refresh_token": "r"}
            self.answer(200, grant)
        else:
            self.answer(404)

    def message(self, message):
        if "id" not in message or "method" not in message:
            return self.answer(202)
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "initialize":
            info = {"serverInfo": {"name": "bench", "version": "1"}, "capabilities": {"tools": {}}}
            version = message["params"]["protocolVersion"]
            answer["result"] = info | {"protocolVersion": version}
            return self.answer(200, answer, mcp_session_id="bench")
        if message["method"] != "tools/call":
            return self.answer(200, answer | {"error": {"code": -32601, "message": "no such method"}})
        arguments = message["params"]["arguments"]
        answer["result"] = {"content": [{"type": "text", "text": arguments["text"]}]}
        if "hold_ms" not in arguments:
            return self.answer(200, answer)
        asyncio.get_running_loop().call_later(arguments["hold_ms"] / 1000, self.answer, 200, answer)


async def serve():
    global ORIGIN
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=2048)
    ORIGIN = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(f"listening on {ORIGIN}", flush=True)
    await server.serve_forever()


# ---- the client


def call(id, text, **more):
    params = {"name": "echo", "arguments": {"text": text} | more}
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()


class Proxy:
    def __init__(self, command):
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        self.stdout = self.process.stdout.fileno()
        self.buffer = b""
        answer = json.loads(self.ask(json.dumps(INITIALIZE).encode()))
        self.spawn_ms = (time.perf_counter() - self.began) * 1e3
        assert answer["id"] == 0 and "result" in answer, answer
        self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def write(self, message):
        self.process.stdin.write(message + b"\n")

    def line(self):
        while b"\n" not in self.buffer:
            piece = os.read(self.stdout, 1 << 16)
            assert piece, "the proxy ended"
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def ask(self, message):
        self.write(message)
        return self.line()

    def peak_kb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s*(\d+)", status.read())[1])

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Direct:
    def __init__(self, url):
        place = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = f"Host: {place.netloc}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        headers += "Accept: application/json, text/event-stream\r\nMcp-Session-Id: bench\r\nMCP-Protocol-Version: 2025-11-25"
        self.head = f"POST {place.path} HTTP/1.1\r\n{headers}\r\nContent-Length: ".encode()

    def ask(self, message):
        self.socket.sendall(b"%s%d\r\n\r\n%s" % (self.head, len(message), message))
        answer = b""
        while True:
            answer += self.socket.recv(1 << 16)
            head, found, body = answer.partition(b"\r\n\r\n")
            if found and len(body) >= int(re.search(rb"content-length: (\d+)", head)[1]):
                return body


def echoes(side, ids):
    took = []
    for id in ids:
        message = call(id, "hello")
        began = time.perf_counter()
        answer = side.ask(message)
        took.append((time.perf_counter() - began) * 1e3)
        assert json.loads(answer)["id"] == id, answer
    return took


def at_once(proxy, count):
    """How many calls were lost, how many answers were too many, and the ms until the last answer."""
    missing = {f"call-{at}": f"text {at}" for at in range(count)}
    messages = [call(id, text, hold_ms=100) for id, text in missing.items()]
    began = time.perf_counter()
    writer = threading.Thread(target=lambda: [proxy.write(message) for message in messages])
    writer.start()
    wrong = 0
    # A call that is lost is noticed by its absence.
    alarm = threading.Timer(60, proxy.process.kill)
    alarm.start()
    try:
        for _ in range(count):
            answer = json.loads(proxy.line())
            text = missing.pop(answer.get("id"), None)
            if text is None or answer.get("result", {}).get("content", [{}])[0].get("text") != text:
                wrong += 1
    except AssertionError:
        pass
    alarm.cancel()
    writer.join()
    return len(missing), wrong, (time.perf_counter() - began) * 1e3


def measure(url, spawns, calls, label, *command):
    took = []
    for _ in range(int(spawns)):
        proxy = Proxy(command)
        took.append(proxy.spawn_ms)
        proxy.end()
    proxy, direct = Proxy(command), Direct(url)
    through, straight = [], []
    for first in range(0, int(calls) + 100, 100):
        through += echoes(proxy, range(first + 1, first + 101))
        straight += echoes(direct, range(first + 1, first + 101))
    peak = proxy.peak_kb()
    lost, wrong, all_ms = at_once(proxy, 1000)
    peak_all = proxy.peak_kb() if proxy.process.poll() is None else 0
    proxy.end()
    # The first block warms both up.
    median = statistics.median
    figures = [median(took), median(straight[100:]), median(through[100:]), peak, lost, wrong, all_ms, peak_all]
    print(label, *(f"{figure:.3f}" if isinstance(figure, float) else figure for figure in figures), sep="\t")


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    measure(*sys.argv[2:])
