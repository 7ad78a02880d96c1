"""An adapter finds the people of a data set on disk and reads one at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from humanlrm.data.capture import Capture
from humanlrm.data.job import Options
from humanlrm.data.scan import Scan

#: Licence of a folder of files from anywhere.
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Item:
    """One person at one moment.

    Attributes:
        id: unique within the data set.
        path: the file or folder that holds it; messages name it.
        group: the scan or sequence it belongs to; lists of held-out ids may name groups.
        frame: running number within the group.
        part: "train" or "test" if the data set's own folders separate them.
        companion: another file that its adapter needs.
    """

    id: str
    path: Path
    group: str
    frame: int = 0
    part: str | None = None
    companion: Path | None = None


@dataclass(frozen=True)
class Adapter:
    """A data set.

    Attributes:
        name: for ``humanlrm prepare``; the source of its people.
        title: its full name.
        layout: its folders, one line.
        find: source folder to items; one that is damaged as a whole is an item whose reading fails.
        read: item to scan or capture; raises ValueError for unusable files. Call :meth:`load`.
        licence: goes into every shard; the user states it if the data set does not.
    """

    name: str
    title: str
    layout: str
    find: Callable[[Path], list[Item]]
    read: Callable[[Item, Options], Scan | Capture]
    licence: str = NOT_STATED

    def load(self, item: Item, options: Options) -> Scan | Capture:
        """Read one item and label it with its id, source and licence.

        Raises:
            ValueError: its files cannot be used; names the file.
        """
        licence = (options.licence or NOT_STATED) if self.licence == NOT_STATED else self.licence
        try:
            return replace(self.read(item, options), id=item.id, source=self.name, licence=licence)
        except ValueError as error:
            if str(item.path) in str(error):
                raise
            raise ValueError(f"{item.path}: {error}") from error
