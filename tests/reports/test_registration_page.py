"""The page of a registration: whole, by itself, and true to the result."""

import base64
import dataclasses
import io
import json
import re
from enum import Enum
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sirtjax.reports import registration_html, registration_panels, registration_record
from sirtjax.reports._registration_page import quality_rows
from sirtjax.reports._registration_panels import LIVER_COLOUR, mask_colours
from sirtjax.reports._registration_record import flat_settings
from sirtjax.spatial import AffineTransform, DisplacementField, identity, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

EMPTY = {"meta", "img", "br", "link", "input", "hr"}
REFERENCE = Geometry.from_axes((44, 40, 30), spacing_mm=(4.0, 4.5, 5.0), origin_mm=(-90.0, -80.0, 20.0))
FLOATING = Geometry.from_axes((50, 46, 36), spacing_mm=(4.0, 4.0, 5.0), origin_mm=(-95.0, -85.0, 10.0))
SHIFT_MM = np.array([12.0, -9.0, 14.0])
LIVER_MM, LESION_MM = np.array([-10.0, 5.0, 95.0]), np.array([-20.0, 5.0, 95.0])


class Status(Enum):
    SUCCESS = ("every stage improved on the one before", "look at the report before using it")
    FOLDED = ("the deformation folds tissue over itself", "raise weights.regularisation")

    @property
    def cause(self):
        return self.value[0]

    @property
    def remedy(self):
        return self.value[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    losses: dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    transform: object
    affine: AffineTransform
    status: Status
    notes: tuple
    stages: tuple
    folding_fraction: float
    quality: dict
    config: object
    fit: dict = dataclasses.field(default_factory=dict)


CONFIG = SimpleNamespace(
    model_dump=lambda **_: {
        "name": "cnn",
        "weights": {"image": 0.5},
        "levels": [{"steps": 60, "control_points": [4, 5]}],
        "x": [],
    }
)
QUALITY = {
    "start": {"dsc liver": 0.78, "msd_mm liver": 9.5, "similarity": 0.3},
    "affine": {"dsc liver": 0.93, "msd_mm liver": 2.25, "similarity": 0.31},
    "final": {"dsc liver": 0.985, "msd_mm liver": 0.6, "similarity": 0.29},
}
PROVENANCE = {
    "preset": "cnn-lm",
    "created": "2026-03-02T10:00:00+00:00",
    "versions": {"sirtjax": "0.2.0", "jax": "0.8"},
    "inputs": {
        "reference": {"file": "<ct>.nii.gz", "grid": str(REFERENCE), "series_uid": "1.2.3", "sha256": "ab" * 32},
        "reference labels 1": {"file": "liver.nii.gz", "sha256": None},
    },
    "seconds": {"registration": 6.25},
}


def scene(geometry, shift_mm, *, scale, unit):
    """A liver with a lesion and a stripe, moved."""
    world = voxel_centres_mm(geometry) - shift_mm
    liver = (((world - LIVER_MM) / [55, 45, 40]) ** 2).sum(-1) <= 1
    lesion = np.linalg.norm(world - LESION_MM, axis=-1) <= 15
    array = 20 + 90 * liver - 60 * lesion + 20 * np.sin(world[..., 0] / 9)
    masks = {"liver": LabelMap.from_mask(liver, geometry, name="liver")}
    masks["lesion 1"] = LabelMap.from_mask(lesion, geometry, name="lesion 1")
    return Volume((scale * array).astype(np.float32), geometry, unit=unit), masks


@pytest.fixture(scope="module")
def pair():
    return scene(REFERENCE, 0.0, scale=1.0, unit="HU"), scene(FLOATING, SHIFT_MM, scale=3.0, unit="1")


def result_of(transform, **more):
    values = {
        "transform": transform, "affine": identity(), "status": Status.SUCCESS, "folding_fraction": 0.0,
        "notes": ("the <i>liver</i> includes lesion 1",), "quality": QUALITY, "config": CONFIG,
        "stages": (Stage(name="affine", losses={"total": np.linspace(1, 0.2, 30)}),),
    }  # fmt: skip
    return Result(**(values | more))


def translation(shift_mm):
    matrix = np.eye(4)
    matrix[:3, 3] = shift_mm
    return AffineTransform(matrix)


@pytest.fixture(scope="module")
def true_result():
    """The true shift, as a field on a box of the region followed by the affine map."""
    box = Geometry.from_axes((12, 12, 10), spacing_mm=(12.0, 12.0, 12.0), origin_mm=LIVER_MM - 60)
    half = np.broadcast_to((SHIFT_MM / 2).astype(np.float32), (*box.shape, 3))
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT_MM / 2
    return result_of(DisplacementField(np.ascontiguousarray(half), box, matrix))


def page_of(result, pair, **more):
    (reference, masks), (floating, floating_masks) = pair
    given = {"reference_masks": masks, "floating_masks": floating_masks, "provenance": PROVENANCE} | more
    return registration_html(result, reference, floating, **given)


def panels_of(result, pair, **more):
    (reference, masks), (floating, floating_masks) = pair
    panels = registration_panels(result, reference, floating, masks, floating_masks, **more)
    return {panel.key: panel for panel in panels}


def pictures(panel):
    """The pixels of a panel's planes."""
    found = re.findall(r'href="data:image/png;base64,([^"]+)"', panel.svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float) for data in found]


def lines(panel, *, dashes):
    """The points (n, 2) of the liver's lines in the first plane, solid or dashed."""
    first = panel.svg.split("</g>")[0]
    marked = r' stroke-dasharray="5 4"' if dashes else ""
    (path,) = re.findall(
        rf'<path d="([^"]+)" fill="none" stroke="{LIVER_COLOUR}" stroke-width="[\d.]+"{marked} v', first
    )
    return np.array([[float(x), float(y)] for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)])


def farthest_mm(points, others):
    return np.linalg.norm(points[:, None] - others[None], axis=-1).min(axis=1).max()


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.tags, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "data", "xlink:href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_one_file_that_loads_nothing(true_result, pair):
    text = page_of(true_result, pair)
    page = Page(text)
    assert page.open == []
    assert len(page.loads) == 18 and all(value.startswith("data:image/png;base64,") for value in page.loads)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import", text)


def test_the_page_says_what_was_done(true_result, pair):
    words = " ".join(" ".join(Page(page_of(true_result, pair)).text).split())
    for piece in ("success", "Every stage improved on the one before. Look at the report before using it.",
                  "affine and non-rigid, preset cnn-lm", "0.985", "2.25",
                  "the <i>liver</i> includes lesion 1", "<ct>.nii.gz", "1.2.3", "ab" * 32, "weights.image",
                  "levels[1].steps", "registration 6.25", "30 steps", "Local volume change"):  # fmt: skip
        assert piece in words
    assert "for inspection, not for use" not in words


def test_a_failed_registration_says_so_at_the_top(true_result, pair):
    failed = dataclasses.replace(true_result, status=Status.FOLDED, folding_fraction=0.012)
    text = page_of(failed, pair)
    assert 'class="banner bad"' in text and 'class="banner bad"' not in page_of(true_result, pair)
    words = " ".join(" ".join(Page(text).text).split())
    assert "The deformation folds tissue over itself. Raise weights.regularisation." in words
    assert "for inspection, not for use" in words
    assert words.index("folds tissue") < words.index("Agreement")


def test_what_got_worse_is_marked():
    rows = {row["what"]: row for row in quality_rows(QUALITY)}
    assert rows["DSC"]["values"] == ["0.780", "0.930", "0.985"] and not rows["DSC"]["worse"]
    assert rows["mean surface distance (mm)"]["where"] == "liver"
    assert rows["similarity of the images, as the preset measures it"]["worse"]
    gone = quality_rows({"start": {"tre_mm x": 3.0}, "final": {"tre_mm x": 3.4, "new_thing": float("nan")}})
    assert [row["worse"] for row in gone] == [True, False]
    assert gone[1] == {"what": "new thing", "where": "", "values": ["–", "–"], "worse": False}


def test_the_true_transform_makes_the_squares_and_contours_agree(true_result, pair):
    panels = panels_of(true_result, pair)
    solid, dashed = (lines(panels["contours_reference"], dashes=dashes) for dashes in (False, True))
    assert len(solid) > 50
    assert farthest_mm(solid, dashed) < 5 and farthest_mm(dashed, solid) < 5
    before = panels_of(result_of(identity()), pair)
    assert farthest_mm(solid, lines(before["contours_reference"], dashes=True)) > 10
    # Red is the same in both tints; the images differ by their scale, which the windows take out up to a constant.
    reference, warped = (pictures(panels[key])[0][..., 0] for key in ("contours_reference", "contours_warped"))
    moved = pictures(before["contours_warped"])[0][..., 0]
    assert np.corrcoef(reference.ravel(), warped.ravel())[0, 1] > 0.9
    assert np.corrcoef(reference.ravel(), moved.ravel())[0, 1] < 0.8


def test_before_is_the_given_start(pair):
    moved = result_of(translation(SHIFT_MM))
    placed = panels_of(moved, pair, before=translation(SHIFT_MM))
    np.testing.assert_allclose(pictures(placed["before"])[1], pictures(placed["after"])[1], atol=3)
    plain = panels_of(moved, pair)
    assert np.abs(pictures(plain["before"])[1] - pictures(plain["after"])[1]).mean() > 5
    assert "coordinates" in plain["before"].caption and "provided start" in placed["before"].caption


def test_the_volume_change_is_that_of_the_transform(pair):
    matrix = np.diag([1.1, 1.0, 1.1, 1.0])
    caption = panels_of(result_of(AffineTransform(matrix)), pair)["jacobian"].caption
    assert "From 1.21 to 1.21 inside the liver" in caption


def test_planes_have_their_letters_places_and_scale(true_result, pair):
    svg = panels_of(true_result, pair)["after"].svg
    letters = re.findall(r">([RLAPHF])</text>", svg)
    assert letters == list("RLAPRLHFAPHF")
    places = dict(re.findall(r">(\w+, [LPS]) = (-?\d+) mm<", svg))
    assert list(places) == ["axial, S", "coronal, P", "sagittal, L"]
    np.testing.assert_allclose([float(mm) for mm in places.values()], LIVER_MM[[2, 1, 0]], atol=3)
    assert svg.count(">50 mm</text>") == 1 and 'h50"' in svg


def test_without_masks_there_are_pictures_too(pair):
    (reference, _), (floating, _) = pair
    panels = registration_panels(result_of(translation(SHIFT_MM)), reference, floating, {}, {})
    assert [panel.key for panel in panels] == [
        "before", "after", "contours_reference", "contours_warped", "grid", "jacobian"
    ]  # fmt: skip
    assert "From 1.00 to 1.00 in these planes" in panels[-1].caption
    text = registration_html(
        result_of(translation(SHIFT_MM), stages=()), reference, floating,
        reference_masks={}, floating_masks={}, provenance=PROVENANCE,
    )  # fmt: skip
    assert "affine only" in text and "Losses" not in text


def test_masks_have_colours_of_their_own():
    colours = mask_colours(["liver", "a", "b"])
    assert colours["liver"] == LIVER_COLOUR and len(set(colours.values())) == 3
    assert mask_colours([f"lesion{n}" for n in range(30)]).keys() == {f"lesion{n}" for n in range(30)}


def test_the_record_is_json_without_what_is_not_finite(true_result):
    stages = (Stage(name="affine", losses={"total": np.array([1 / 3, np.nan], np.float32)}),)
    quality = {"final": {"msd_mm liver": np.float64(np.inf), "dsc liver": np.float32(0.5)}}
    result = dataclasses.replace(true_result, stages=stages, quality=quality, status=Status.FOLDED)
    record = json.loads(json.dumps(registration_record(result, provenance=PROVENANCE), allow_nan=False))
    assert record["status"] == "folded" and record["remedy"] == "raise weights.regularisation"
    assert record["stages"] == [{"name": "affine", "losses": {"total": [0.3333333, None]}}]
    assert record["quality"] == {"final": {"msd_mm liver": None, "dsc liver": 0.5}}
    assert record["affine_floating_from_reference"] == np.eye(4).tolist()
    assert record["provenance"]["inputs"]["reference"]["sha256"] == "ab" * 32


def test_settings_are_flat():
    expected = [
        ("name", "cnn"), ("weights.image", "0.5"), ("levels[1].steps", "60"), ("levels[1].control_points", "4, 5"),
        ("x", "none"),
    ]  # fmt: skip
    assert flat_settings(CONFIG) == expected


def test_the_agreement_of_the_images_is_a_sentence():
    from sirtjax.reports._registration_page import fit_sentence

    figures = {"distance": 0.03, "distance_ratio": 0.251, "margin": 2.1, "blocks": 240.0, "blocks_in_place": 0.873}
    assert fit_sentence({}) == ""
    assert "87 % of 240 blocks" in fit_sentence(figures) and "0.25 times" in fit_sentence(figures)
    assert "too small to compare them" in fit_sentence({**figures, "distance_ratio": float("nan")})


def test_the_page_names_the_stages_that_ran(true_result, pair):
    """From a displacement field, only the deformable stage runs."""
    only = dataclasses.replace(
        true_result, stages=(Stage(name="deformable 1", losses={"total": np.linspace(1, 0.2, 30)}),)
    )
    words = " ".join(" ".join(Page(page_of(only, pair)).text).split())
    assert "non-rigid, preset cnn-lm" in words and "affine and non-rigid" not in words
