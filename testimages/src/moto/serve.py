"""Serves moto on a free port of loopback, with its EBS direct APIs and S3 mended where every client trips.

Prints the port once it listens, and ends when its standard input does: it never outlives the test that started it.
"""

import os
import sys
import threading

from moto.ebs import models
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

BLOCK_SIZE = 512 * 1024


def list_changed_blocks(backend, first_snapshot_id, second_snapshot_id):
    """The blocks that differ, those which only the second snapshot has included (moto walks the first one's only)."""
    first = backend.snapshots[first_snapshot_id]
    second = backend.snapshots[second_snapshot_id]
    changed = {}
    for index in sorted(first.blocks.keys() | second.blocks.keys()):
        pair = (first.blocks.get(index), second.blocks.get(index))
        data = [block and block.block_data for block in pair]
        if data[0] != data[1]:
            changed[index] = tuple(block and block.block_token for block in pair)
    return changed, second


class Quiet(MotoRequestHandler):
    """Keeps connections open, as EBS does, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_arguments):
        pass


class OneWrite:
    """Takes one PUT at a time: moto looks whether its condition is met, and writes later."""

    def __init__(self, application):
        self.application = application
        self.turn = threading.Lock()

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] != "PUT":
            return self.application(environ, start_response)
        with self.turn:
            return self.application(environ, start_response)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


# moto says 512 bytes.
models.EBSSnapshot.block_size = property(lambda _: BLOCK_SIZE, lambda _snapshot, _size: None)
models.EBSBackend.list_changed_blocks = list_changed_blocks
application = OneWrite(DomainDispatcherApplication(create_backend_app))
server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
threading.Thread(target=end_with_parent, daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
