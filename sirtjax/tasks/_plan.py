"""Plans and verifications of a case file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sirtjax import io, reports, workflows
from sirtjax.errors import ConfigError
from sirtjax.workflows import Case, Result, ResultVolumes, StepResults


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    """A plan or a verification in memory.

    Attributes:
      case: the checked case.
      result: activities, bounds, doses, histograms and checks, as in results.json.
      maps: dose (Gy) and the other images on the working grid.
      products: the steps that led to the result.
    """

    case: Case
    result: Result
    maps: ResultVolumes
    products: StepResults

    def save(
        self,
        folder: Path | str,
        *,
        force: bool = False,
        dicom: bool = False,
        pdf: bool = True,
        identity: str | None = None,
    ) -> Path:
        """Writes what `sirtjax plan` or `verify` writes; the folder appears when it is complete.

        Args:
          folder: output folder.
          force: replace a folder of an earlier run.
          dicom: also write DICOM objects (structure sets, dose, report); the case must be DICOM.
          pdf: also write report.pdf.
          identity: text printed in the report instead of the pseudonym.

        Returns:
          The folder.

        Raises:
          OutputError: the folder exists and `force` is false, it contains an input, or it cannot be written.
        """
        reports.refuse_replacement(Path(folder), self.case, force=force)
        with io.atomic_folder(folder, force=force, own=reports.own_step_files(Path(folder))) as temporary:
            reports.write_plan_folder(
                temporary,
                self.case,
                self.result,
                self.maps,
                self.products,
                objects=dicom,
                pdf=pdf,
                identity=identity,
            )
        return Path(folder)


def plan(
    case: Path | str | Case, *, overrides: Sequence[str] = (), on_step: Callable[[str], None] = lambda step: None
) -> PlannedCase:
    """Plans a treatment: masks and territories on the SPECT, dose per MBq, bounds and prescribed activity.

    The computation is that of `sirtjax plan`. Missing masks of liver and lungs are segmented.

    Args:
      case: path of a case file (TOML), or a case of `workflows.load_case`.
      overrides: changes of single values of the file, such as "prescription.strategy='lower'".
      on_step: called with the name of each step when it begins.

    Returns:
      The plan; `.result` holds the numbers, `.save(folder)` writes the report and all files.

    Raises:
      ConfigError: the case file is not valid; the message names every key at fault.
      InputError: an image or mask cannot be used.

    Examples:
      >>> import sirtjax as sj
      >>> planned = sj.plan("patient/case.toml")  # doctest: +SKIP
      >>> planned.result.injections[0].activity_mbq  # doctest: +SKIP
      >>> planned.save("plan/")  # doctest: +SKIP
    """
    return _run(case, overrides, on_step, workflows.plan_case)


def verify(
    case: Path | str | Case, *, overrides: Sequence[str] = (), on_step: Callable[[str], None] = lambda step: None
) -> PlannedCase:
    """Verifies a treatment: the delivered dose of a post-treatment image, next to the planned dose.

    Args:
      case: path of a case file with the delivered activities, or a case of `workflows.load_case`.
      overrides: changes of single values of the file.
      on_step: called with the name of each step when it begins.

    Returns:
      The verification; its checks include every objective of the protocol on the delivered dose.

    Raises:
      ConfigError: the case file is not valid.
      InputError: an image, a mask or the plan cannot be used, or the plan is of another patient.

    Examples:
      >>> import sirtjax as sj
      >>> verified = sj.verify("patient/verify.toml")  # doctest: +SKIP
      >>> [check.code for check in verified.result.checks]  # doctest: +SKIP
    """
    return _run(case, overrides, on_step, workflows.verify_case)


def _run(
    case: Path | str | Case,
    overrides: Sequence[str],
    on_step: Callable[[str], None],
    work: Callable[..., tuple[Result, ResultVolumes, StepResults]],
) -> PlannedCase:
    if isinstance(case, Case) and overrides:
        raise ConfigError("overrides change a case file; this case is already read, give them to workflows.load_case")
    checked = case if isinstance(case, Case) else workflows.load_case(Path(case), overrides=overrides)
    hooks = workflows.automatic_hooks(segment_lesions=checked.masks.segment_lesions, on_step=on_step)
    result, maps, products = work(checked, hooks=hooks)
    return PlannedCase(case=checked, result=result, maps=maps, products=products)
