"""The service: a page, a REST interface, jobs that survive crashes, and a client (extra ``serve``).

``humanlrm reconstruct`` never imports this room.
"""

from humanlrm.serve.client import Client, RemoteReconstruction, ServiceError

__all__ = ["Client", "RemoteReconstruction", "ServiceError"]
