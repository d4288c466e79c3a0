"""A way for a person's browser into the lab: loopback here, loopback of a namespace there."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.networks import Namespace, socket_in

_CHUNK = 1 << 16


async def open_gateway(namespace: Namespace, port: int) -> asyncio.Server:
    """Carry connections to 127.0.0.1:`port` of this machine to the same address of `namespace`.

    OSError when the port is taken here. A connection is closed when nothing answers there.
    """
    return await asyncio.start_server(partial(_carry, namespace, port), "127.0.0.1", port)


async def _carry(
    namespace: Namespace, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    inside = socket_in(namespace)
    inside.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(inside, ("127.0.0.1", port))
    except OSError:
        inside.close()
        writer.close()
        return
    far_reader, far_writer = await asyncio.open_connection(sock=inside)
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()
    except ConnectionError:
        return
    finally:
        target.close()
