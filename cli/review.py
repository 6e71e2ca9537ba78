"""The verb `sirtjax review`: a local page to look at a plan's masks, correct and sign them, and plan again."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import note, progress, use_compilation_cache, use_patient_key
from sirtjax.cli._options import Pdf
from sirtjax.parsing import parse_json

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.review import ReviewServer, Session
    from sirtjax.workflows import Case, Products


def review(
    output: Annotated[Path, typer.Argument(help="The folder that sirtjax plan or verify wrote.", show_default=False)],
    case: Annotated[
        Path | None,
        typer.Option("--case", help="The case file, where its files have moved since.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or print an address that opens it once.")
    ] = True,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="No page: plan again with the masks as they were reviewed.")
    ] = False,
    pdf: Pdf = True,
) -> None:
    """Look at the masks of a plan in the browser, correct and sign them, and plan again. Stays on this machine."""
    use_compilation_cache()
    use_patient_key()
    session = _session(output, case, pdf=pdf)
    if recompute:
        with progress("plan") as on_step:
            session.replan_now(on_step)
        note(f"report: {output / 'report.html'}")
        return
    _serve(session, port=port, browser=browser)


def _session(output: Path, case_file: Path | None, *, pdf: bool = True) -> Session:
    from sirtjax.reports import load_saved_case, load_steps
    from sirtjax.review import Session
    from sirtjax.workflows import load_case

    case = load_saved_case(output / "steps") if case_file is None else load_case(case_file)
    with progress("review") as on_step:
        on_step("images and masks")
        products = load_steps(output / "steps", case, on_note=note)

    def replan(products: Products, on_step: Callable[[str], None]) -> None:
        plan_again(output, case, products, on_step, approval=session.approval(), pdf=pdf)

    session = Session(output, products, replan)
    return session


def plan_again(
    output: Path,
    case: Case,
    products: Products,
    on_step: Callable[[str], None],
    *,
    approval: Approval | None = None,
    pdf: bool = True,
) -> None:
    """Make the plan (or verification) of a folder anew with these products; its review stays in it.

    DICOM objects are written where the folder has some, approved where all masks are.
    """
    from sirtjax import io
    from sirtjax.reports import DICOM_FOLDER, fill_plan_folder
    from sirtjax.review import REVIEW

    kind = parse_json((output / "results.json").read_text(encoding="utf-8"))["kind"]
    objects = (output / DICOM_FOLDER).is_dir()
    with io.atomic_folder(output, force=True, own=("steps/*",), keep=(REVIEW,), private=True) as folder:
        fill_plan_folder(
            folder,
            "plan" if kind == "plan" else "verify",
            case,
            products=products,
            objects=objects,
            pdf=pdf,
            approval=approval,
            on_step=on_step,
        )


def _serve(session: Session, *, port: int, browser: bool) -> None:
    from sirtjax.errors import OutputError
    from sirtjax.review import ReviewServer

    try:
        server = ReviewServer(session, port=port)
    except OSError as error:
        raise OutputError(f"port {port}: can't be listened on ({error.strerror}); choose another by --port") from error
    if browser:
        print(server.address, flush=True)
        entry = server.write_entry_file()
        threading.Thread(target=_open_browser, args=(server, entry.path), daemon=True).start()
    else:
        print(server.issue_address(), flush=True)
        note("The address opens the page once, within 15 minutes, on this machine. Keep it to yourself.")
    note("If no page opens, use --no-browser. Ctrl-C ends it." if browser else "Ctrl-C ends it.")
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        note("review: ended")
    finally:
        server.server_close()
        if session.replanning.progress.state == "running":
            note("review: the plan under way is finished first")
        session.replanning.wait()


def _open_browser(server: ReviewServer, path: Path) -> None:
    # The path of a file, because each user of the machine can read the browser's command line.
    if not webbrowser.open(path.as_uri()):
        server.remove_entry_files()
        note(f"no browser could be started; open this address once, within 15 minutes: {server.issue_address()}")
