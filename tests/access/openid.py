"""A real OpenID Connect provider on this machine, which can be told to lie."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its libraries warn of what they will change
    import oidc_provider_mock

SECONDS = 5
Lie = Callable[[dict[str, Any]], dict[str, Any]]


class RunningProvider:
    """`lie` changes what its token endpoint answers; `broken` are paths that fail, and `instead` JSON."""

    def __init__(self) -> None:
        self.honest = oidc_provider_mock.app()
        self.lie: Lie = lambda answer: answer
        self.broken: set[str] = set()
        self.instead: dict[str, object] = {}
        self.server = make_server("localhost", 0, self, threaded=True)
        self.url = f"http://localhost:{self.server.server_port}"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path in self.broken:
            return Response("out of order", 500)(environ, start_response)
        if path in self.instead:
            return Response(json.dumps(self.instead[path]), mimetype="application/json")(
                environ, start_response
            )
        if path != "/oauth2/token":
            return self.honest(environ, start_response)
        told = Response.from_app(self.honest, environ)
        if told.status_code == 200:
            told.data = json.dumps(self.lie(json.loads(told.data)))
        return told(environ, start_response)

    def knows(self, subject: str, **claims: Any) -> None:
        requests.put(f"{self.url}/users/{subject}", json=claims, timeout=SECONDS).raise_for_status()

    def lets_in(self, address: str, name: str) -> str:
        """Where it sends the browser of somebody who has just signed in there."""
        answer = requests.post(address, data={"sub": name}, timeout=SECONDS, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]


@contextmanager
def running() -> Iterator[RunningProvider]:
    found = RunningProvider()
    thread = Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        thread.join(SECONDS)
        found.server.server_close()
