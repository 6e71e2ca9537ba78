"""The command `sirtjax review`: a local page to review, edit and sign a plan's masks, and to plan again."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sirtjax.cli._console import note, progress, use_compilation_cache, use_patient_key
from sirtjax.cli._options import Pdf

if TYPE_CHECKING:
    from sirtjax.review import ReviewServer, Session


def review(
    output: Annotated[Path, typer.Argument(help="Folder that sirtjax plan or verify wrote.", show_default=False)],
    case: Annotated[
        Path | None,
        typer.Option("--case", help="Case file, if its files have moved since the plan.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of the local server; 0 selects a free port.")
    ] = 0,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser", help="Open the page in a browser, or print an address that opens it once."
        ),
    ] = True,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Plan again with the reviewed masks, without opening the page.")
    ] = False,
    pdf: Pdf = True,
) -> None:
    """Review, edit and sign off a plan's masks in a local web page."""
    use_compilation_cache()
    use_patient_key()
    from sirtjax.review import open_review

    with progress("review") as on_step:
        session = open_review(output, case_file=case, pdf=pdf, on_step=on_step, on_note=note)
    if recompute:
        with progress("plan") as on_step:
            session.replan_now(on_step)
        note(f"report: {output / 'report.html'}")
        return
    _serve(session, port=port, browser=browser)


def _serve(session: Session, *, port: int, browser: bool) -> None:
    from sirtjax.errors import OutputError
    from sirtjax.review import ReviewServer

    try:
        server = ReviewServer(session, port=port)
    except OSError as error:
        raise OutputError(f"port {port}: cannot be opened ({error.strerror}); choose another with --port") from error
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
