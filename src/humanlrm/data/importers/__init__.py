"""Data sets, one file each; ``ADAPTERS`` maps the names of ``humanlrm prepare`` to them. To add one:

1. Write ``NAME.py`` beside this file; ``custom_humans.py`` (scans) and ``humman.py`` (photographs) are short examples.
2. ``find(source)`` lists the people of a folder as :class:`Item`; it reads no more than it must.
3. ``read(item, options)`` makes one of them a ``Scan`` (``io.mesh_files.read_mesh``, ``io.placement.make_scan``) or a
   ``Capture`` (``photo.calibrated.Shot``, ``read_shots``). Raise ``ValueError`` for files that cannot be used.
4. End with ``ADAPTER = Adapter(name, title, layout, find, read, licence)``; below, import it and add it to the list.
5. Write a tiny copy of its layout in ``tests/support/layouts.py`` and a test beside those in ``tests/data/importers``.
"""

from humanlrm.data.importers import (
    custom_humans,
    humans_2k2k,
    humman,
    multiview,
    renderpeople,
    scans,
    thuman,
    x_humans,
    zju_mocap,
)
from humanlrm.data.importers.adapter import Adapter

_ADAPTERS = (
    thuman.ADAPTER,
    humman.ADAPTER,
    custom_humans.ADAPTER,
    humans_2k2k.ADAPTER,
    x_humans.ADAPTER,
    renderpeople.ADAPTER,
    zju_mocap.ADAPTER,
    scans.ADAPTER,
    multiview.ADAPTER,
)
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in _ADAPTERS}
