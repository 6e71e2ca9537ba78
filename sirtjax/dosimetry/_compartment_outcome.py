"""Dose responses of a prescription from compartments, by name and slope."""

from __future__ import annotations

from sirtjax.dosimetry._biology_parameters import Endpoint, ResponseParameters, get_response_parameters
from sirtjax.dosimetry._outcome_model import OutcomeModel
from sirtjax.errors import ConfigError, InputError


def compartment_outcome(
    *,
    device: str,
    tcp: str | None = None,
    ntcp: str | None = None,
    wanted_ntcp: float | None = None,
    bilirubin_umol_per_l: float | None = None,
) -> OutcomeModel | None:
    """Returns the dose responses for compartments; None without any.

    A compartment has one dose, so only responses on the mean dose are accepted.

    Args:
      device: device of the protocol.
      tcp: response of the tumours and its slope, as NAME:GAMMA50.
      ntcp: response of the normal liver and its slope, as NAME:M.
      wanted_ntcp: NTCP to reach, for the strategy "ntcp".
      bilirubin_umol_per_l: total bilirubin, for responses that hold only for a range of it.

    Raises:
      InputError: a text is not NAME:SLOPE with a slope above 0.
      ConfigError: a response is unknown, for another device, on another metric, or not for this bilirubin.
    """
    tumour, gamma50 = _response(tcp, "TCP", device, bilirubin_umol_per_l)
    liver, m = _response(ntcp, "NTCP", device, bilirubin_umol_per_l)
    if tumour is None and liver is None:
        return None
    return OutcomeModel(tcp=tumour, tcp_gamma50=gamma50, ntcp=liver, ntcp_m=m, wanted_ntcp=wanted_ntcp)


def _response(
    text: str | None, endpoint: Endpoint, device: str, bilirubin: float | None
) -> tuple[ResponseParameters | None, float | None]:
    if text is None:
        return None, None
    name, _, slope_text = text.rpartition(":")
    try:
        slope = float(slope_text)
    except ValueError:
        slope = 0.0
    if not name or not 0 < slope < float("inf"):
        raise InputError(f"{endpoint} response {text!r}: expected its name and slope, such as glass-tumour:0.8")
    found = get_response_parameters(name)
    if (found.endpoint, found.sphere_type) != (endpoint, device):
        raise ConfigError(f"response {name!r} is {found.endpoint} for {found.sphere_type}, not {endpoint} for {device}")
    if found.metric != "mean dose":
        raise ConfigError(f"response {name!r} is on the {found.metric}; compartments have only a mean dose")
    found.check_bilirubin(bilirubin)
    return found, slope
