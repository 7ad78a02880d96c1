"""One file per data set. ``ADAPTERS`` is the one list of them: the name of ``humanlrm prepare`` to its adapter."""

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
from humanlrm.data.importers.io.adapter import Adapter

ADAPTERS: dict[str, Adapter] = {
    "thuman": thuman.ADAPTER,
    "humman": humman.ADAPTER,
    "custom-humans": custom_humans.ADAPTER,
    "2k2k": humans_2k2k.ADAPTER,
    "x-humans": x_humans.ADAPTER,
    "renderpeople": renderpeople.ADAPTER,
    "zju-mocap": zju_mocap.ADAPTER,
    "scans": scans.ADAPTER,
    "multiview": multiview.ADAPTER,
}
