"""Ray (extra ``cluster``): connection to a cluster, and an actor class mapped over plain rows on its machines."""

import importlib.util
from collections.abc import Iterator
from typing import Any


def start_ray(address: str, cores: int) -> None:
    """Connect to a cluster; ``ray.shutdown()`` ends the connection.

    Args:
        address: of the cluster, e.g. "auto" or "ray://head:10001"; "local" starts one on this machine.
        cores: of a cluster that is started.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError("--ray needs Ray, which is not installed: pip install 'humanlrm[cluster]'")
    import ray  # pyright: ignore[reportMissingImports]

    where: dict[str, Any] = {"address": address} if address != "local" else {"num_cpus": cores}
    try:
        ray.init(**where, include_dashboard=False if address == "local" else None, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ValueError(f"no Ray cluster at {address!r} ({error}); start one, or use --ray local") from error


def map_on_ray(
    rows: list[dict[str, Any]], actor: type, arguments: tuple[Any, ...], address: str, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield the mapped rows in the order in which they are done.

    Args:
        rows: values that Arrow knows: texts and numbers.
        actor: its instances are called with one row and return one.
        arguments: of the actor's constructor. Actors run elsewhere: folders must be absolute and shared.
        address: see :func:`start_ray`.
        workers: actors, one core each.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    start_ray(address, cores=workers)
    import ray.data  # pyright: ignore[reportMissingImports]

    try:
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        actors = ray.data.ActorPoolStrategy(size=min(workers, len(rows)))
        yield from data.map(actor, fn_constructor_args=arguments, num_cpus=1, compute=actors).iter_rows()
    finally:
        ray.shutdown()
