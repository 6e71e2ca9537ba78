"""The review page in a real browser, by real mouse and keys; nothing of it leaves this machine."""

import gzip
import hashlib
import json
import time
from contextlib import contextmanager

import diagnostic_case
import nibabel
import numpy as np
import pytest
from reviewed_plan import Client, grid, mask_on, served

from sirtjax import workflows
from sirtjax.io import Image, Source
from sirtjax.review import ReviewMask, Session, read_history
from sirtjax.review import open_review as opened
from sirtjax.volume import Geometry, LabelMap, Volume
from sirtjax.workflows import CaseImages, StepResults, Voi

pytestmark = pytest.mark.clinic

CHROMIUM = "/usr/bin/chromium"
# Graphics in software, and none of the browser's own talk with its maker.
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_S = 120
SMALL = {"width": 1000, "height": 680}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Page:
    """A page that is open, with what it asked for and what it complained of."""

    def __init__(self, browser, server, *, viewport=SMALL, **options):
        self.server = server
        self.context = browser.new_context(viewport=viewport, **options)
        self.page = self.context.new_page()
        self.asked, self.complaints = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.goto(server.issue_address())
        self.page.wait_for_url(server.address)
        self.until("document.body.dataset.ready !== undefined && document.getElementById('busy').hidden")

    def get(self, script):
        return self.page.evaluate(script)

    def until(self, script, *, within_s=PATIENCE_S):
        # Polled from here: the page's policy forbids what the browser's own waiting would run in it.
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if found := self.get(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {within_s} s: {script}; toast: {self.toast()}; {self.complaints}")

    def toast(self):
        return self.page.locator("#toast").text_content()

    def voxels(self):
        """Of the active mask, (i, j, k) of the page."""
        flat = np.array(self.get("Array.from(review.state.active.data)"), np.uint8)
        return flat.reshape(self.get("review.view.shape"), order="F")

    def pixel(self, plane, u, v):
        """Where on the screen a place of a slice is, by the tile that shows the plane."""
        script = f"(() => {{ const t = review.view.tiles().find((one) => one.plane === {plane});"
        x, y = self.get(script + f"return review.view.toScreen(t, {u}, {v}); }})()")
        box = self.page.locator("#overlay").bounding_box()
        return box["x"] + x, box["y"] + y

    def drag(self, plane, *places):
        mouse = self.page.mouse
        mouse.move(*self.pixel(plane, *places[0]))
        mouse.down()
        for place in places[1:]:
            mouse.move(*self.pixel(plane, *place), steps=4)
        mouse.up()
        self.settle()

    def settle(self):
        """Until what was done is drawn and counted."""
        self.get("new Promise((done) => setTimeout(() => requestAnimationFrame(done), 120))")
        self.until("!document.getElementById('doses').textContent.includes('…')")

    def go(self, slice_):
        """To an axial slice: the last step by key, for each one draws, and software is slow at that."""
        self.get(f"review.view.moveTo([...review.view.cross.slice(0, 2), {slice_ - 1}])")
        self.page.locator("#overlay").focus()
        self.page.keyboard.press("ArrowUp")
        self.settle()
        assert self.get("review.view.cross[2]") == slice_

    def tool(self, name):
        self.page.click(f'[data-tool="{name}"]')

    def brush_mm(self, diameter_mm):
        size = np.log(diameter_mm / 2 / 0.5) / np.log(60 / 0.5)
        self.page.locator("#brush").fill(f"{round(float(size), 2)}")
        self.settle()

    def save(self, reviewer="Dr. A. Example"):
        self.page.fill("#reviewer", reviewer)
        self.page.click("#save")
        self.until("!review.state.active.dirty")

    def replan(self):
        self.page.click("#replan")
        self.until("!document.getElementById('replan').disabled", within_s=300)
        assert self.page.locator("#replan-state").text_content() == "the plan is up to date"

    def close(self):
        assert self.complaints == []
        server = self.asked[0].split("/enter")[0]
        assert [url for url in self.asked if not url.startswith((f"{server}/", "data:", "blob:"))] == []
        self.context.close()


@contextmanager
def page_on(browser, session, **options):
    with served(session) as server:
        page = Page(browser, server, **options)
        try:
            yield page
        finally:
            page.context.set_default_timeout(1000)
        page.close()


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A plan made through the command line's own functions, with masks on a diagnostic CT."""
    from sirtjax.reports import save_steps, write_results

    folder = tmp_path_factory.mktemp("patient")
    diagnostic_case.write_patient(folder)
    case = diagnostic_case.diagnostic_case(folder, "file", "moved.tfm")
    result, maps, products = workflows.plan_case(case)
    out = folder / "out"
    out.mkdir()
    write_results(out, result, maps)
    save_steps(out / "steps", case, products)
    written = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    (out / ".sirtjax-files").write_text("\n".join(written))
    return out


def test_the_entry_file_opens_the_page_once(browser, session):
    """As `sirtjax review` starts a browser: from a local file, whose token is not in the history afterwards."""
    with served(session) as server:
        entry = server.write_entry_file()
        page_text = entry.path.read_text()
        context = browser.new_context(viewport=SMALL)
        page = context.new_page()
        page.goto(entry.path.as_uri())
        page.wait_for_url(server.address)
        deadline = time.monotonic() + PATIENCE_S
        while not page.evaluate("document.body.dataset.ready !== undefined") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert page.evaluate("document.body.dataset.ready !== undefined")
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert not entry.path.exists()
        entry.path.parent.mkdir()
        entry.path.write_text(page_text)  # as if somebody had copied it
        other = browser.new_context(viewport=SMALL).new_page()
        other.goto(entry.path.as_uri())
        other.wait_for_url(f"{server.address}enter")
        assert "already used" in other.content()
        entry.remove()
        context.close()


def test_erase_fill_undo_save_conflict_sign_and_plan_again(browser, planned):
    session = opened(planned)
    given = planned / "steps" / "liver" / "liver.nii.gz"
    before_save = nibabel.load(given)
    sform = before_save.header.binaryblock[280:328]
    with page_on(browser, session) as page:
        assert page.page.title() == "TEST-01 · sirtjax review"
        assert page.page.locator("#plan-state").text_content() == "no draft masks"
        first = page.voxels()
        i, j, k = page.get("review.view.cross")
        assert first[i, j, k] == 1  # it opens in the middle of the liver
        page.settle()
        for row in json.loads((planned / "results.json").read_text())["vois"]:
            cells = page.page.locator(f'[data-voi="{row["name"]}"] td')
            if cells.count():  # the table has the report's own numbers
                found = [float(cells.nth(column).text_content()) for column in (1, 2, 3)]
                expected = [row["volume_ml"], row["mean_gy"], row["d_gy"]["70"]]
                assert found == pytest.approx(expected, rel=6e-3)
        before_ml = float(page.page.locator('[data-voi="liver"] td').nth(1).text_content())

        # Erase with the mouse: voxels of this slice alone, at this place.
        page.tool("erase")
        page.brush_mm(14)
        page.drag(0, (i - 4, j), (i + 4, j))
        erased = page.voxels()
        gone = np.argwhere(first != erased)
        assert set(gone[:, 2]) == {k}
        assert erased[i - 4 : i + 5, j, k].max() == 0
        spacing = page.get("review.view.spacing")
        far = np.hypot((np.abs(gone[:, 0] - i) - 4).clip(0) * spacing[0], (gone[:, 1] - j) * spacing[1])
        assert far.max() <= 7.3
        after_ml = float(page.page.locator('[data-voi="liver"] td').nth(1).text_content())
        voxel_ml = page.get("review.state.scene.voxel_ml")
        assert before_ml - after_ml == pytest.approx(len(gone) * voxel_ml, abs=0.2)
        assert page.page.locator("#state").text_content() == "unsaved"

        # Around: a drawn loop is filled, in another plane.
        page.tool("fill")
        page.drag(1, (i - 3, k - 3), (i + 3, k - 3), (i + 3, k + 3), (i - 3, k + 3), (i - 3, k - 3))
        filled = page.voxels()
        assert set(np.argwhere(filled != erased)[:, 1]) == {j}
        assert filled[i - 2 : i + 3, j, k - 2 : k + 3].min() == 1

        # Undo and redo by keys.
        page.page.keyboard.press("Control+z")
        assert np.array_equal(page.voxels(), erased)
        page.page.keyboard.press("Control+z")
        assert np.array_equal(page.voxels(), first)
        page.settle()
        assert page.page.locator("#state").text_content() == "given"
        page.page.keyboard.press("Control+Shift+z")
        page.settle()
        assert np.array_equal(page.voxels(), erased)

        # Saved by key: on the grid of the file, bit by bit, and only what was drawn is changed.
        page.page.fill("#reviewer", "Dr. A. Example")
        page.page.locator("#overlay").focus()
        page.page.keyboard.press("Control+s")
        page.until("!review.state.active.dirty")
        history = read_history(planned / "review" / "liver")
        assert [one.author for one in history.versions] == ["", "Dr. A. Example"]
        saved_path = planned / "review" / "liver" / history.current.file
        assert hashlib.sha256(saved_path.read_bytes()).hexdigest() == history.current.sha256
        saved = nibabel.load(saved_path)
        assert saved.header.binaryblock[280:328] == sform
        assert saved.get_data_dtype() == np.uint8
        difference = np.asarray(saved.dataobj) != np.asarray(before_save.dataobj)
        assert difference.sum() == len(gone)

        # Somebody else saves; ours is refused, and theirs can be loaded.
        other = Client(page.server)
        theirs = erased.copy()
        theirs[i, j, k] = 1
        plan = json.loads(gzip.decompress(other.ask("GET", "/api/plan")[2]))
        headers = {
            "If_Match": f'"{history.current.sha256}"',
            "X_Grid": plan["scenes"][0]["grid"],
            "X_Reviewer": "Dr.%20C",
        }
        assert other.ask("PUT", "/api/masks/liver", theirs.tobytes(order="F"), **headers)[0] == 200
        page.tool("pen")
        page.drag(0, (i, j + 2), (i + 2, j + 2))
        page.page.click("#save")
        page.until("document.getElementById('conflict').open")
        assert "version 3 was saved by Dr. C meanwhile" in page.page.locator("#conflict-text").text_content()
        page.page.click("#conflict-load")
        page.until("!review.state.active.dirty")
        assert np.array_equal(page.voxels(), theirs)
        assert len(read_history(planned / "review" / "liver").versions) == 3
        page.complaints = [line for line in page.complaints if "412" not in line]  # the browser's own note of it

        # A plan of what nobody signed says so, on the page, in the results and in the report.
        page.replan()
        assert page.page.locator("#plan-state").text_content() == "DRAFT"
        results = json.loads((planned / "results.json").read_text())
        assert len(results["unreviewed_masks"]) == 1 and results["unreviewed_masks"][0].startswith(
            "liver: changed by Dr. C on "
        )
        assert "<h1>DRAFT: SIRT treatment plan" in (planned / "report.html").read_text()
        assert len(read_history(planned / "review" / "liver").versions) == 3
        mask_ml = next(voi for voi in results["vois"] if voi["name"] == "liver")["mask_ml"]
        assert mask_ml == pytest.approx(theirs.sum() * voxel_ml, rel=1e-4)

        # Signed, and planned again: no draft any more.
        page.page.fill("#comment", "dome checked")
        page.page.click("#verify")
        page.until("review.state.active.told.state === 'verified'")
        page.replan()
        assert page.page.locator("#plan-state").text_content() == "no draft masks"
        assert json.loads((planned / "results.json").read_text())["unreviewed_masks"] == []
        assert "DRAFT" not in (planned / "report.html").read_text()
        signature = read_history(planned / "review" / "liver").signature()
        assert (signature.reviewer, signature.state, signature.comment) == (
            "Dr. A. Example",
            "verified",
            "dome checked",
        )


def test_grow_cut_interpolation_and_filled_outlines(browser, planned):
    session = opened(planned)
    with page_on(browser, session) as page:
        page.page.click('[data-mask="lesion-alpha"]')
        page.settle()
        truth = page.voxels()
        i, j, k = page.get("review.view.cross")
        page.get("(review.state.active.data.fill(0), review.overlay.forget())")

        # Marks inside and outside grow to the lesion's edge in the image.
        page.brush_mm(4)
        page.tool("inside")
        page.drag(0, (i - 1, j), (i + 1, j))
        page.tool("outside")
        page.brush_mm(2)
        r = 6
        page.drag(0, (i - r, j - r), (i + r, j - r), (i + r, j + r), (i - r, j + r), (i - r, j - r))
        page.brush_mm(30)
        for slice_ in (k + 4, k - 4):
            page.go(slice_)
            page.drag(0, (i - 2, j), (i + 2, j))
        page.page.click("#grow")
        page.settle()
        grown = page.voxels()
        overlap = 2 * (grown & truth).sum() / (grown.sum() + truth.sum())
        assert overlap > 0.8, overlap
        page.page.click("#undo")
        page.settle()
        assert page.voxels().sum() == 0

        # A ring is filled; two slices drawn, those between follow.
        page.brush_mm(4)
        page.tool("pen")
        areas = {}
        for slice_, radius in ((k - 4, 5), (k + 4, 9)):
            page.go(slice_)
            ring = [(i + radius * np.cos(a), j + radius * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 17)]
            page.drag(0, *ring)
            assert page.voxels()[i, j, slice_] == 0
            page.page.click("#fill-slice")
            page.settle()
            drawn = page.voxels()
            assert drawn[i, j, slice_] == 1
            areas[slice_] = drawn[:, :, slice_].sum()
        page.page.click("#interpolate")
        page.settle()
        between = page.voxels().sum(axis=(0, 1))[k - 4 : k + 5]
        assert (np.diff(between) >= 0).all() and between[0] == areas[k - 4] and between[-1] == areas[k + 4]
        # A cone: the radius grows evenly.
        assert np.sqrt(between[4]) == pytest.approx((np.sqrt(between[0]) + np.sqrt(between[-1])) / 2, rel=0.06)


def test_closing_with_unsaved_changes_asks_first(browser, planned):
    with page_on(browser, opened(planned)) as page:
        i, j, _ = page.get("review.view.cross")
        page.tool("erase")
        page.drag(0, (i, j), (i + 2, j))
        asked = []
        page.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.page.close(run_before_unload=True)
        for _ in range(100):
            if asked:
                break
            page.context.pages[0].wait_for_timeout(50)
        assert asked == ["beforeunload"]


def test_hounsfield_units_and_dose_under_the_cursor(browser, planned):
    session = opened(planned)
    with page_on(browser, session) as page:
        i, j, k = page.get("review.view.cross")
        page.page.mouse.move(*page.pixel(0, i, j))
        page.until("document.getElementById('readout').textContent !== ''")
        hu, gy, *names = page.page.locator("#readout").text_content().split(" · ")
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(session.image_bytes("0")))
        dose = nibabel.Nifti1Image.from_bytes(gzip.decompress(session.dose_bytes("0")))
        step_gy = float(bytes(dose.header["descrip"]).split()[0])
        assert hu == f"{np.asarray(image.dataobj)[i, j, k]} HU"
        assert float(gy.removesuffix(" Gy")) == pytest.approx(np.asarray(dose.dataobj)[i, j, k] * step_gy, abs=0.06)
        assert "liver" in names
        # The viewer's own idea of where a pixel is agrees with the page's.
        x, y = page.pixel(1, i + 3, k - 5)
        box = page.page.locator("#overlay").bounding_box()
        ratio = page.get("review.view.canvas.width / review.view.canvas.clientWidth")
        script = f"Array.from(review.view.nv.canvasPos2frac([{(x - box['x']) * ratio}, {(y - box['y']) * ratio}]))"
        place = np.array(page.get(script)) * page.get("review.view.shape") - 0.5
        assert place == pytest.approx([i + 3, j, k - 5], abs=0.02)


def test_the_registration_can_be_looked_at(browser, planned):
    with page_on(browser, opened(planned)) as page:
        page.page.select_option("#scene", "1")
        page.until("document.body.dataset.ready === '1' && document.getElementById('busy').hidden")
        pictures = {}
        for mode, moment in (("off", "after"), ("blend", "before"), ("blend", "after"), ("checks", "after")):
            page.page.select_option("#compare-moment", moment)
            page.page.select_option("#compare-mode", mode)
            page.until("document.getElementById('busy').hidden")
            page.settle()
            pictures[mode, moment] = page.page.locator("#stage").screenshot()
        assert len(set(pictures.values())) == 4
        page.page.check("#show-grid")
        page.until("document.getElementById('busy').hidden")
        page.settle()
        assert page.page.locator("#stage").screenshot() != pictures["checks", "after"]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (3840, 2160)])
def test_a_phone_and_a_large_screen(browser, planned, width, height):
    phone = width < 500
    options = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2} if phone else {}
    with page_on(browser, opened(planned), viewport={"width": width, "height": height}, **options) as page:
        assert page.get("document.documentElement.scrollWidth") <= width
        assert len(page.get("review.view.tiles()")) == (1 if phone else 3)
        stage = page.page.locator("#stage").bounding_box()
        assert stage["width"] >= (width if phone else 0.5 * width) and stage["height"] >= 0.5 * height
        for name in ("pen", "navigate"):
            button = page.page.locator(f'[data-tool="{name}"]').bounding_box()
            assert min(button["width"], button["height"]) >= (36 if phone else 40)
        first = page.voxels()
        i, j, k = page.get("review.view.cross")
        page.tool("erase")
        page.page.evaluate("scrollTo(0, 0)")
        if phone:
            page.page.touchscreen.tap(*page.pixel(0, i, j))
            page.settle()
        else:
            page.drag(0, (i, j), (i + 1, j))
        gone = np.argwhere(page.voxels() != first)
        assert (gone == (i, j, k)).all(axis=1).any() and set(gone[:, 2]) == {k}


def mask_session(folder, mask):
    """A session on one mask, its image on the same grid."""
    geometry = mask.labels.geometry
    values = np.where(mask.labels.array > 0, 100, -100).astype(np.int16)
    image = Image(volume=Volume(values, geometry, unit="HU"), source=Source(path="ct.nii", format="nifti"))
    from sirtjax.spatial import identity
    from sirtjax.workflows import Alignment

    products = StepResults(
        images=CaseImages(activity=image, ct=image, diagnostic=None),
        liver=Voi("liver", mask.labels, "activity", "a file"),
        lesions=(),
        registration=Alignment(transform=identity()),
    )
    return Session(folder, products, lambda products, on_step: None)


# One of each order of axes, in changing directions; every code is tested without a browser in test_scene.py.
CODES = ("LPS", "RIA", "PSL", "ALI", "SAR", "IRP")


@pytest.mark.parametrize("codes", CODES)
def test_a_voxel_painted_is_the_voxel_saved_on_grids_of_every_axis(browser, plan_folder, codes):
    session = mask_session(plan_folder, mask_on(grid(codes, True)))
    mask = session.masks["liver"]
    ras = np.diag([-1, -1, 1, 1]) @ mask.labels.geometry.affine
    with page_on(browser, session, viewport={"width": 900, "height": 420}) as page:
        i, j, k = page.get("review.view.cross")
        page.tool("erase")
        page.brush_mm(1)
        page.page.mouse.click(*page.pixel(0, i, j))
        page.settle()
        # Where the viewer says that the voxel lies: its own affine, in the world of the file.
        place = np.array(page.get(f"Array.from(review.view.base.vox2mm([{i}, {j}, {k}], review.view.base.matRAS))"))
        page.save()
    history = read_history(plan_folder / "review" / "liver")
    saved = nibabel.load(plan_folder / "review" / "liver" / history.current.file)
    changed = np.argwhere(np.asarray(saved.dataobj) != mask.labels.array)
    assert len(changed) == 1
    assert ras[:3, :3] @ changed[0] + ras[:3, 3] == pytest.approx(place[:3], abs=1e-3)
    assert np.array_equal(saved.affine, saved.affine.astype(np.float32))
    first = nibabel.load(plan_folder / "review" / "liver" / history.versions[0].file)
    assert np.array_equal(saved.affine, first.affine)


def test_a_liver_of_64_voxels_a_side_is_corrected_and_rejected(browser, plan_folder):
    geometry = Geometry.from_axes((64, 64, 64), spacing_mm=(3, 3, 3), origin_mm=(-95, -95, -95), direction=np.eye(3))
    centre = np.moveaxis(np.indices(geometry.shape), 0, -1) - 31.5
    ball = (np.linalg.norm(centre, axis=-1) < 24).astype(np.uint8)
    labels = LabelMap(ball, geometry, names=((1, "liver"),))
    mask = ReviewMask(key="liver", name="liver", role="liver", frame="activity", labels=labels, origin="a file")
    with page_on(browser, mask_session(plan_folder, mask)) as page:
        assert page.get("Array.from(review.view.shape)") == [64, 64, 64]
        i, j, k = page.get("review.view.cross")
        page.tool("erase")
        page.brush_mm(20)
        page.drag(0, (i - 6, j), (i + 6, j))
        drawn = page.voxels()
        assert (ball != drawn).any() and (ball != drawn).any(axis=(0, 1)).nonzero()[0].tolist() == [k]
        page.save()
        page.page.click("#reject")
        page.until("review.state.active.told.state === 'rejected'")
    history = read_history(plan_folder / "review" / "liver")
    assert (history.signature().state, history.signature().reviewer) == ("rejected", "Dr. A. Example")
    saved = nibabel.load(plan_folder / "review" / "liver" / history.current.file)
    # The page has axes of its own: right, anterior, superior.
    assert np.array_equal(np.asarray(nibabel.as_closest_canonical(saved).dataobj), drawn)
    assert np.array_equal(saved.affine, np.diag([-1.0, -1, 1, 1]) @ geometry.affine)
