"""Diversity of rendered people: distributions of their tags and views, as a table and a figure."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from humanlrm.body.landmarks import INDEX, LANDMARKS
from humanlrm.data.shards import ShardFolder
from humanlrm.people.facts import POSTURES, SKIN_CLASSES

#: Numbers of people: tag -> title and the borders of its bars.
_NUMBERS: dict[str, tuple[str, Float[np.ndarray, "_"]]] = {
    "height_m": ("height (m)", np.arange(0.8, 2.15, 0.1)),
    "age_years": ("age (years, where known)", np.arange(0, 91, 10.0)),
    "left_knee_deg": ("knee bend (deg, left)", np.arange(0, 181, 20.0)),
    "left_hip_deg": ("hip bend (deg, left)", np.arange(0, 181, 20.0)),
    "left_elbow_deg": ("elbow bend (deg, left)", np.arange(0, 181, 20.0)),
    "left_arm_deg": ("upper arm from the trunk (deg, left)", np.arange(0, 181, 20.0)),
    "trunk_deg": ("lean of the trunk (deg)", np.arange(0, 181, 20.0)),
}
#: Words of people: tag -> title and the words in their order; none: the commonest first.
_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kind": ("kind", ("procedural", "avatar", "composed")),
    "sex": ("sex", ("female", "male")),
    "skin_tone": ("skin tone (ITA)", tuple(name for name, _ in SKIN_CLASSES)),
    "posture": ("posture", POSTURES),
    "clothes": ("clothes", ()),
    "pose": ("pose", ()),
}
_MOST = 12


@dataclass(frozen=True)
class Bars:
    """One distribution: a title and the share of each label (they need not sum to 1)."""

    title: str
    shares: dict[str, float]


@dataclass(frozen=True)
class PeopleStatistics:
    """Numbers of people and views in a folder of shards, distributions, and problems with its shards."""

    people: int
    views: int
    bars: list[Bars]
    problems: list[str] = field(default_factory=list)


def describe(folder: Path) -> PeopleStatistics:
    """Reads the tags and view records of all people in a folder of shards.

    Raises:
        ShardError: no readable subject.
    """
    shards = ShardFolder(folder)
    tags = [shards.about(index)["tags"] for index in range(len(shards))]
    detected, _, truth = shards.landmarks()
    bars = [_words(tags, key, *labels) for key, labels in _WORDS.items()]
    bars += [_numbers([t[key] for t in tags if key in t], *labels) for key, labels in _NUMBERS.items()]
    bars.append(_numbers(yaw_deg(truth), "yaw of the person in the view (deg)", np.arange(-180, 181, 30.0)))
    seen = (detected[..., 3] > 0.5).mean(0)
    bars.append(Bars("landmarks that the detector sees", dict(zip(LANDMARKS, map(float, seen), strict=True))))
    per_view = (detected[..., 3] > 0.5).mean(1)
    bars.append(_numbers(per_view, "share of landmarks seen per view", np.arange(0, 1.01, 0.125)))
    return PeopleStatistics(len(shards), len(truth), [b for b in bars if b.shares], shards.problems)


def yaw_deg(landmarks: Float[np.ndarray, "N 19 3"]) -> Float[np.ndarray, "N"]:
    """Direction that people face in the frames of their views: 0 toward the camera, 90 toward the image's right; from
    the lines between the shoulders and hips."""
    left, right = (landmarks[:, [INDEX[f"{s}_shoulder"], INDEX[f"{s}_hip"]]].mean(1) for s in ("left", "right"))
    across = (left - right).astype(np.float64)
    return np.rad2deg(np.arctan2(-across[:, 2], across[:, 0]))


def _words(tags: list[dict[str, str | float]], key: str, title: str, order: tuple[str, ...]) -> Bars:
    """Words joined by "+" count one by one; shares are of the people who have the tag."""
    having = [str(t[key]).split("+") for t in tags if key in t]
    counts = Counter(word for words in having for word in words)
    names = [w for w in order if w in counts] or [word for word, _ in counts.most_common(_MOST)]
    more = len(counts) - len(names)
    shares = {name: counts[name] / len(having) for name in names}
    return Bars(title if more <= 0 else f"{title}: commonest of {len(counts)}", shares)


def _numbers(values: list[float] | Float[np.ndarray, "N"], title: str, borders: Float[np.ndarray, "_"]) -> Bars:
    numbers = np.clip(np.asarray(values, dtype=float), borders[0], borders[-1])
    if len(numbers) == 0:
        return Bars(title, {})
    counts, _ = np.histogram(numbers, borders)
    labels = [f"{a:g} - {b:g}" for a, b in zip(np.round(borders[:-1], 3), np.round(borders[1:], 3), strict=True)]
    return Bars(title, {label: int(count) / len(numbers) for label, count in zip(labels, counts, strict=True)})


_COLUMNS, _PANEL_PX, _ROW_PX, _LABEL_PX, _BAR_PX = 4, 330, 14, 150, 130
_INK, _BAR = (40, 40, 40), (70, 116, 168)


def figure(statistics: PeopleStatistics) -> UInt8[np.ndarray, "H W 3"]:
    """All distributions as bar charts in four columns, each column filled from the top."""
    columns: list[list[Bars]] = [[] for _ in range(_COLUMNS)]
    for bars in sorted(statistics.bars, key=lambda b: -len(b.shares)):
        min(columns, key=_height_px).append(bars)
    image = Image.new("RGB", (_COLUMNS * _PANEL_PX, max(map(_height_px, columns)) + 30), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    draw.text((8, 8), f"{statistics.people:,} people in {statistics.views:,} views", _INK, ImageFont.load_default(13))
    for k, column in enumerate(columns):
        y = 32
        for bars in column:
            draw.text((k * _PANEL_PX + 8, y), bars.title, _INK, ImageFont.load_default(12))
            y += _ROW_PX + 4
            for label, share in bars.shares.items():
                _draw_bar(draw, font, (k * _PANEL_PX, y), label, share, max(bars.shares.values()))
                y += _ROW_PX
            y += 12
    return np.asarray(image)


def _draw_bar(draw: ImageDraw.ImageDraw, font, at: tuple[int, int], label: str, share: float, largest: float) -> None:
    x, y = at
    width = round(_BAR_PX * share / max(largest, 1e-9))
    draw.text((x + _LABEL_PX - 6, y), label[:26], _INK, font, anchor="ra")
    draw.rectangle((x + _LABEL_PX, y + 2, x + _LABEL_PX + width, y + _ROW_PX - 3), fill=_BAR)
    draw.text((x + _LABEL_PX + width + 4, y), f"{100 * share:.0f}%", _INK, font)


def _height_px(column: list[Bars]) -> int:
    return sum((len(bars.shares) + 1) * _ROW_PX + 16 for bars in column)
