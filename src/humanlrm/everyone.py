"""Everybody in a photo, one reconstruction each."""

from humanlrm.mesh.surface import EmptySurfaceError
from humanlrm.photo.blazepose import PoseDetector
from humanlrm.photo.competition import with_hidden_people
from humanlrm.photo.load import PhotoError, PhotoSource, load_photo
from humanlrm.photo.upright import turn_upright
from humanlrm.reconstruct import Completion, Reconstruction, Reconstructor, Selection, Settings


def reconstruct_everyone(
    reconstructor: Reconstructor,
    photo: PhotoSource,
    settings: Settings | None = None,
    completion: Completion | None = None,
) -> list[Reconstruction]:
    """Reconstruct each person that the detector sees, from left to right.

    A photo of one person, and a cut-out, give what the reconstructor gives. All people get the height of the settings.
    Somebody who cannot be reconstructed is left out, unless it is everybody.

    Args:
        photo: one photo, but no open file: it is read once per person.

    Raises:
        PhotoError: the photo cannot be read or shows nobody.
        EmptySurfaceError: nothing solid was reconstructed of anybody.
    """
    count = count_people(photo, reconstructor.detector)
    if count < 2:
        return [reconstructor(photo, None, settings, completion)]
    people: list[Reconstruction] = []
    errors: list[PhotoError | EmptySurfaceError] = []
    for number in range(1, count + 1):
        try:
            people.append(reconstructor(photo, None, settings, completion, Selection(person=str(number))))
        except (PhotoError, EmptySurfaceError) as error:
            errors.append(error)
    if not people:
        raise errors[0]
    return people


def count_people(photo: PhotoSource, detector: PoseDetector) -> int:
    """People that the detector sees in the upright photo, also behind the main person; 1 in a cut-out.

    Raises:
        PhotoError: the photo cannot be read.
    """
    loaded = load_photo(photo)
    if loaded.alpha is not None:
        return 1
    upright = turn_upright(loaded, detector, Selection())
    rgb = upright.photo.seen
    poses = detector.survey(rgb) if upright.poses is None else list(upright.poses)
    return len(with_hidden_people(rgb, poses, detector))
