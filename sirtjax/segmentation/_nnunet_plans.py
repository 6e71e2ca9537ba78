from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sirtjax.errors import ModelError
from sirtjax.parsing import parse_json
from sirtjax.preprocess import ChannelNormalisation, NnunetPreprocessing, Resampling

# Keys of a configuration, and whether they were written by planners before nnU-Net 2.4 alone.
CONFIGURATION_KEYS = frozenset(
    {
        *("inherits_from", "data_identifier", "preprocessor_name", "batch_size", "batch_dice", "patch_size", "spacing"),
        *("median_image_size_in_voxels", "normalization_schemes", "use_mask_for_norm", "architecture"),
        *("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities", "resampling_fn_data_kwargs"),
        *("resampling_fn_seg_kwargs", "resampling_fn_probabilities_kwargs", "previous_stage", "next_stage"),
    }
)
OLD_KEYS = frozenset(
    {
        *("UNet_class_name", "UNet_base_num_features", "unet_max_num_features", "num_pool_per_axis"),
        *("n_conv_per_stage_encoder", "n_conv_per_stage_decoder", "pool_op_kernel_sizes", "conv_kernel_sizes"),
    }
)
ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet")
LAYERS = {
    "norm_op": "InstanceNorm3d",
    "eps of the norm": 1e-5,
    "affine of the norm": True,
    "nonlin": "LeakyReLU",
    "slope of the nonlin": 0.01,
    "nonlin_first": False,
}
DEFAULT_RESAMPLING, TORCH_RESAMPLING = "resample_data_or_seg_to_shape", "resample_torch_fornnunet"
# The most characters of a message, excluding the path.
MESSAGE_MAX = 300
RESAMPLING_KWARGS = frozenset(
    {
        *("is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold", "device"),
        *("num_threads", "memefficient_seg_resampling", "mode", "aniso_axis_mode"),
    }
)


@dataclass(frozen=True, kw_only=True)
class NnunetPlans:
    """One configuration in `plans.json` and `dataset.json` of a trained nnU-Net folder.

    Attributes:
      dataset: name of the data set.
      configuration: "3d_fullres", "3d_lowres" or "3d_cascade_fullres", or one that inherits from these.
      previous: configuration whose labels are input, for a cascade.
      architecture: "PlainConvUNet" or "ResidualEncoderUNet".
      options: keyword arguments of the architecture, of new and old plans alike.
      patch_shape: voxels of the network's input.
      preprocessing: preprocessing as this library describes it.
      channels: names of the input images.
      labels: names and values; for regions, in the order in which they are written.
      regions: whether classes are overlapping regions.
      foreground: all values except the background's, ascending: the channels of a cascade.
    """

    dataset: str
    configuration: str
    previous: str | None
    architecture: str
    options: Mapping[str, object]
    patch_shape: tuple[int, int, int]
    preprocessing: NnunetPreprocessing
    channels: tuple[str, ...]
    labels: Mapping[str, int]
    regions: bool
    foreground: tuple[int, ...]

    @property
    def classes(self) -> int:
        """Channels of the network's output."""
        return len(self.labels) if self.regions else len(self.foreground) + 1

    @property
    def inputs(self) -> int:
        """Channels of the network's input."""
        return len(self.channels) + (len(self.foreground) if self.previous is not None else 0)


def read_plans(folder: Path, *, configuration: str) -> NnunetPlans:
    """Reads `plans.json` and `dataset.json` of a trained folder.

    Raises:
      ModelError: a file is missing or damaged, or asks for something the library does not do.
    """
    plans: dict[str, Any] = read_json(folder / "plans.json")
    dataset: dict[str, Any] = read_json(folder / "dataset.json")
    path = folder / "plans.json"
    try:
        return _plans(path, plans, dataset, configuration)
    except ModelError as error:
        raise ModelError(short_message(str(error), path)) from error
    except KeyError as error:
        raise ModelError(
            f"{path} or the dataset.json next to it: no {error.args[0]!r}; check that it is from nnU-Net v2"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{path}: {where}: {first['msg']}; got {first['input']!r}"
        raise ModelError(short_message(message, path)) from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        message = f"{path}: is not in nnU-Net v2's format ({error}); copy the folder again"
        raise ModelError(short_message(message, path)) from error


def short_message(message: str, path: Path) -> str:
    """Returns a message in one line, whose middle is left out if a value in it is long.

    Args:
      message: message that can contain the path.
      path: file or folder, which is not counted.
    """
    line = " ".join(message.split())
    most = MESSAGE_MAX + len(str(path))
    return line if len(line) <= most else f"{line[: most - 100]} ... {line[-95:]}"


def read_json(path: Path) -> dict[str, object]:
    """Returns the table in a JSON file of a trained folder.

    Raises:
      ModelError: the file is missing, damaged or does not contain an object.
    """
    if not path.is_file():
        raise ModelError(f"{path}: is missing; expected the folder of a trained nnU-Net v2 model, with its {path.name}")
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: is damaged ({error}); copy the folder again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: contains no table; expected a file of nnU-Net v2")
    return found


def _plans(path: Path, plans: dict[str, Any], dataset: dict[str, Any], name: str) -> NnunetPlans:
    table = _resolved(path, plans["configurations"], name)
    _check_configuration(path, plans, table, name)
    channels = dataset["channel_names"] if "channel_names" in dataset else dataset["modality"]
    names = tuple(str(channels[key]) for key in sorted(channels, key=int))
    labels, regions, foreground = _labels(path.with_name("dataset.json"), dataset)
    architecture, options = _architecture(path, table)
    i, j, k = (int(n) for n in table["patch_size"])
    return NnunetPlans(
        dataset=str(plans["dataset_name"]),
        configuration=name,
        previous=table.get("previous_stage"),
        architecture=architecture,
        options=options,
        patch_shape=(i, j, k),
        preprocessing=_preprocessing(path, plans, table, len(names)),
        channels=names,
        labels=labels,
        regions=regions,
        foreground=foreground,
    )


def _resolved(path: Path, configurations: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits; its own values win."""
    chain: list[str] = []
    table: dict[str, Any] = {}
    following: str | None = name
    while following is not None:
        if following not in configurations:
            raise ModelError(f"{path}: has no configuration {following!r}; it has {', '.join(sorted(configurations))}")
        if following in chain:
            raise ModelError(f"{path}: configuration {following!r} inherits from itself; the file is damaged")
        chain.append(following)
        table = configurations[following] | table
        following = configurations[following].get("inherits_from")
    return table


def _check_configuration(path: Path, plans: dict[str, Any], table: dict[str, Any], name: str) -> None:
    unknown = sorted(set(table) - CONFIGURATION_KEYS - OLD_KEYS)
    if unknown:
        raise ModelError(
            f"{path}: configuration {name!r} has unknown keys ({', '.join(unknown)}); nnU-Net v2 does not write them. "
            "Delete them if they do not change the network's input"
        )
    if len(table["patch_size"]) != 3:
        raise ModelError(f"{path}: configuration {name!r} is {len(table['patch_size'])}D; import a 3D configuration")
    for key, found, known in (
        ("preprocessor_name", table.get("preprocessor_name", "DefaultPreprocessor"), "DefaultPreprocessor"),
        ("label_manager", plans.get("label_manager", "LabelManager"), "LabelManager"),
    ):
        if found != known:
            raise ModelError(f"{path}: {key} {found!r} is unknown; only nnU-Net's own {known} can be imported")


def _labels(path: Path, dataset: dict[str, Any]) -> tuple[dict[str, int], bool, tuple[int, ...]]:
    found = {name: value for name, value in dataset["labels"].items() if name != "ignore"}
    if found.get("background") != 0:
        raise ModelError(f"{path}: labels must name a background of value 0, got {found.get('background')!r}")
    values = {name: value if isinstance(value, list) else [value] for name, value in found.items()}
    foreground = tuple(sorted({int(one) for value in values.values() for one in value} - {0}))
    if not any(len(value) > 1 for value in values.values()):
        if foreground != tuple(range(1, len(foreground) + 1)):
            raise ModelError(f"{path}: labels must be numbered 1, 2, 3 ... without gaps, got {foreground}")
        ascending = sorted((int(value[0]), name) for name, value in values.items() if value != [0])
        return {name: value for value, name in ascending}, False, foreground
    names = [name for name, value in values.items() if set(value) != {0}]
    order = dataset.get("regions_class_order")
    if not isinstance(order, list) or len(order) != len(names):
        raise ModelError(f"{path}: {len(names)} regions require a regions_class_order of as many labels, got {order!r}")
    return {name: int(value) for name, value in zip(names, order, strict=True)}, True, foreground


def _preprocessing(path: Path, plans: dict[str, Any], table: dict[str, Any], channels: int) -> NnunetPreprocessing:
    schemes, masks = table["normalization_schemes"], table["use_mask_for_norm"]
    if len(schemes) != channels or len(masks) != channels:
        raise ModelError(f"{path}: {len(schemes)} normalisation schemes for {channels} channels; the files disagree")
    key = "foreground_intensity_properties_per_channel"
    statistics = plans[key] if key in plans else plans["foreground_intensity_properties_by_modality"]
    forward, backward = plans["transpose_forward"], plans["transpose_backward"]
    if [forward[axis] for axis in backward] != [0, 1, 2]:
        raise ModelError(f"{path}: transpose_backward {backward} does not undo transpose_forward {forward}")
    return NnunetPreprocessing(
        reader=plans["image_reader_writer"],
        transpose_forward=tuple(forward),
        spacing_mm=tuple(table["spacing"]),
        channels=tuple(
            _channel(scheme, bool(mask), statistics.get(str(number), {}))
            for number, (scheme, mask) in enumerate(zip(schemes, masks, strict=True))
        ),
        image_resampling=_resampling(path, table, "data"),
        label_resampling=_resampling(path, table, "seg"),
        logit_resampling=_resampling(path, table, "probabilities"),
    )


def _channel(scheme: str, mask: bool, statistics: Mapping[str, float]) -> ChannelNormalisation:
    if scheme != "CTNormalization":
        # The others look at the image itself; TypeErrors and odd names are pydantic's to tell.
        return ChannelNormalisation(scheme=scheme, mask=mask)  # type: ignore[arg-type]
    return ChannelNormalisation(
        scheme="CTNormalization",
        mean=statistics["mean"],
        std=statistics["std"],
        percentile_00_5=statistics["percentile_00_5"],
        percentile_99_5=statistics["percentile_99_5"],
    )


def _resampling(path: Path, table: dict[str, Any], what: str) -> Resampling:
    name, options = table[f"resampling_fn_{what}"], table[f"resampling_fn_{what}_kwargs"]
    unknown = sorted(set(options) - RESAMPLING_KWARGS)
    if name not in (DEFAULT_RESAMPLING, TORCH_RESAMPLING) or unknown:
        odd = f"with {', '.join(unknown)} " if unknown else ""
        known = f"{DEFAULT_RESAMPLING} or {TORCH_RESAMPLING}"
        raise ModelError(f"{path}: resampling_fn_{what} {name!r} {odd}is unknown; expected {known}")
    shared = {
        "separate_z": options.get("force_separate_z", None if name == TORCH_RESAMPLING else False),
        "threshold": options.get("separate_z_anisotropy_threshold", 3.0),
    }
    if name == TORCH_RESAMPLING:
        modes = options.get("mode", "linear"), options.get("aniso_axis_mode", "nearest-exact")
        if modes != ("linear", "nearest-exact"):
            raise ModelError(
                f"{path}: resampling_fn_{what} in the modes {modes} is unknown; expected linear resampling"
            )
        return Resampling(order=1, order_z=0, **shared)
    return Resampling(order=options.get("order", 3), order_z=options.get("order_z", 0), **shared)


def _architecture(path: Path, table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "architecture" in table:
        name = str(table["architecture"]["network_class_name"]).rpartition(".")[2]
        options = dict(table["architecture"]["arch_kwargs"])
    else:  # plans before nnU-Net 2.4
        name = str(table["UNet_class_name"])
        encoder = table["n_conv_per_stage_encoder"]
        base, most = int(table["UNet_base_num_features"]), int(table["unet_max_num_features"])
        options = {
            "n_stages": len(encoder),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "kernel_sizes": table["conv_kernel_sizes"],
            "strides": table["pool_op_kernel_sizes"],
            "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": encoder,
            "n_conv_per_stage_decoder": table["n_conv_per_stage_decoder"],
        }
    if name not in ARCHITECTURES:
        raise ModelError(f"{path}: architecture {name!r} is unknown; {' and '.join(ARCHITECTURES)} can be imported")
    _check_layers(path, options)
    return name, options | {key: _triples(options[key]) for key in ("kernel_sizes", "strides")}


def _check_layers(path: Path, options: Mapping[str, Any]) -> None:
    """Refuse what the networks of the library don't have; plans without a word on it mean nnU-Net's own layers."""
    norm, activation = options.get("norm_op_kwargs") or {}, options.get("nonlin_kwargs") or {}
    found = {
        "norm_op": str(options.get("norm_op", "InstanceNorm3d")).rpartition(".")[2],
        "eps of the norm": norm.get("eps", 1e-5),
        "affine of the norm": norm.get("affine", True),
        "nonlin": str(options.get("nonlin", "LeakyReLU")).rpartition(".")[2],
        "slope of the nonlin": activation.get("negative_slope", 0.01),
        "nonlin_first": options.get("nonlin_first", False),
    }
    for what, value in LAYERS.items():
        if found[what] != value:
            raise ModelError(f"{path}: {what} {found[what]!r} is unknown; networks with {value!r} can be imported")


def _triples(sizes: Sequence[Any]) -> tuple[tuple[int, int, int], ...]:
    """One size for each stage and axis, whether the plans name one for all axes or three."""
    rows = [[size] * 3 if isinstance(size, int) else size for size in sizes]
    return tuple((int(a), int(b), int(c)) for a, b, c in rows)
