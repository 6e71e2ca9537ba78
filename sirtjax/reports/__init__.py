"""Results to files: pictures, tables and pages. Nothing is computed here."""

from sirtjax.reports._accumulation_folder import write_accumulation as write_accumulation
from sirtjax.reports._accumulation_folder import write_accumulation_folder as write_accumulation_folder
from sirtjax.reports._accumulation_page import accumulation_html as accumulation_html
from sirtjax.reports._accumulation_page import accumulation_pdf as accumulation_pdf
from sirtjax.reports._accumulation_tables import limit_table as limit_table
from sirtjax.reports._accumulation_tables import sum_table as sum_table
from sirtjax.reports._accumulation_tables import transform_table as transform_table
from sirtjax.reports._alignment_page import alignment_page as alignment_page
from sirtjax.reports._box_plots import box_plots as box_plots
from sirtjax.reports._descent import DescentCurves as DescentCurves
from sirtjax.reports._descent import descent_figure as descent_figure
from sirtjax.reports._dicom_results import DicomResults as DicomResults
from sirtjax.reports._dicom_results import case_references as case_references
from sirtjax.reports._dicom_results import write_dicom_results as write_dicom_results
from sirtjax.reports._divide_liver_file import DividedLiver as DividedLiver
from sirtjax.reports._divide_liver_file import divide_liver_file as divide_liver_file
from sirtjax.reports._files import REPORT_PDF as REPORT_PDF
from sirtjax.reports._files import write_results as write_results
from sirtjax.reports._html import report_html as report_html
from sirtjax.reports._lung_reassignment_tables import lung_reassignment_rows as lung_reassignment_rows
from sirtjax.reports._measured_tables import measured_tables as measured_tables
from sirtjax.reports._optimal_section import optimal_tables as optimal_tables
from sirtjax.reports._overwritten import refuse_outputs_that_are_inputs as refuse_outputs_that_are_inputs
from sirtjax.reports._plan_folder import DICOM_FOLDER as DICOM_FOLDER
from sirtjax.reports._plan_folder import WrittenPlan as WrittenPlan
from sirtjax.reports._plan_folder import fill_plan_folder as fill_plan_folder
from sirtjax.reports._plan_folder import refuse_replacement as refuse_replacement
from sirtjax.reports._plan_folder import run_step as run_step
from sirtjax.reports._plan_folder import write_plan as write_plan
from sirtjax.reports._plan_folder import write_plan_folder as write_plan_folder
from sirtjax.reports._plan_tables import dose_text as dose_text
from sirtjax.reports._register_files import RegisteredFiles as RegisteredFiles
from sirtjax.reports._register_files import register_files as register_files
from sirtjax.reports._registration_page import registration_html as registration_html
from sirtjax.reports._registration_panels import RegistrationPanel as RegistrationPanel
from sirtjax.reports._registration_panels import registration_panels as registration_panels
from sirtjax.reports._registration_record import RegistrationRecord as RegistrationRecord
from sirtjax.reports._registration_record import registration_record as registration_record
from sirtjax.reports._report_pdf import report_pdf as report_pdf
from sirtjax.reports._resolution_file import PhantomSphere as PhantomSphere
from sirtjax.reports._resolution_file import RegionResolution as RegionResolution
from sirtjax.reports._resolution_file import ResolutionFile as ResolutionFile
from sirtjax.reports._resolution_file import measure_resolution_file as measure_resolution_file
from sirtjax.reports._resolution_file import sphere_occupancy as sphere_occupancy
from sirtjax.reports._segment_atlas_file import AtlasSegmentedFile as AtlasSegmentedFile
from sirtjax.reports._segment_atlas_file import segment_file_by_atlas as segment_file_by_atlas
from sirtjax.reports._segment_diagnostic_file import DiagnosticFiles as DiagnosticFiles
from sirtjax.reports._segment_diagnostic_file import DiagnosticSegmentedFile as DiagnosticSegmentedFile
from sirtjax.reports._segment_diagnostic_file import diagnostic_outputs as diagnostic_outputs
from sirtjax.reports._segment_diagnostic_file import segment_file_by_diagnostic as segment_file_by_diagnostic
from sirtjax.reports._segment_file import Segmented as Segmented
from sirtjax.reports._segment_file import SegmentedFile as SegmentedFile
from sirtjax.reports._segment_file import segment_file as segment_file
from sirtjax.reports._segment_uptake_file import SuvInputs as SuvInputs
from sirtjax.reports._segment_uptake_file import UptakeFile as UptakeFile
from sirtjax.reports._segment_uptake_file import segment_uptake_file as segment_uptake_file
from sirtjax.reports._segmentation_preview import segmentation_preview as segmentation_preview
from sirtjax.reports._steps_files import own_step_files as own_step_files
from sirtjax.reports._steps_folder import load_saved_case as load_saved_case
from sirtjax.reports._steps_folder import load_steps as load_steps
from sirtjax.reports._steps_folder import save_steps as save_steps
from sirtjax.reports._steps_folder import saved_step_states as saved_step_states
from sirtjax.reports._steps_state import StepState as StepState
from sirtjax.reports._sweep import SweepSurface as SweepSurface
from sirtjax.reports._sweep import sweep_figure as sweep_figure
from sirtjax.reports._tables import voi_csv as voi_csv
from sirtjax.reports._training_page import TrainingPage as TrainingPage
from sirtjax.reports._training_page import training_html as training_html
from sirtjax.reports._uncertainty_terminal import uncertainty_tables as uncertainty_tables
from sirtjax.reports._warp_files import warp_file as warp_file

__all__ = [
    "DICOM_FOLDER",
    "REPORT_PDF",
    "AtlasSegmentedFile",
    "DescentCurves",
    "DiagnosticFiles",
    "DiagnosticSegmentedFile",
    "DicomResults",
    "DividedLiver",
    "PhantomSphere",
    "RegionResolution",
    "RegisteredFiles",
    "RegistrationPanel",
    "RegistrationRecord",
    "ResolutionFile",
    "Segmented",
    "SegmentedFile",
    "StepState",
    "SuvInputs",
    "SweepSurface",
    "TrainingPage",
    "UptakeFile",
    "WrittenPlan",
    "accumulation_html",
    "accumulation_pdf",
    "alignment_page",
    "box_plots",
    "case_references",
    "descent_figure",
    "diagnostic_outputs",
    "divide_liver_file",
    "dose_text",
    "fill_plan_folder",
    "limit_table",
    "load_saved_case",
    "load_steps",
    "lung_reassignment_rows",
    "measure_resolution_file",
    "measured_tables",
    "optimal_tables",
    "own_step_files",
    "refuse_outputs_that_are_inputs",
    "refuse_replacement",
    "register_files",
    "registration_html",
    "registration_panels",
    "registration_record",
    "report_html",
    "report_pdf",
    "run_step",
    "save_steps",
    "saved_step_states",
    "segment_file",
    "segment_file_by_atlas",
    "segment_file_by_diagnostic",
    "segment_uptake_file",
    "segmentation_preview",
    "sphere_occupancy",
    "sum_table",
    "sweep_figure",
    "training_html",
    "transform_table",
    "uncertainty_tables",
    "voi_csv",
    "warp_file",
    "write_accumulation",
    "write_accumulation_folder",
    "write_dicom_results",
    "write_plan",
    "write_plan_folder",
    "write_results",
]
