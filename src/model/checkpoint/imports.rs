//! What a checkpoint may import.
//!
//! A pickle is a program, and a checkpoint that comes from elsewhere can start any other. Here nothing is ever called; but whoever got
//! such a file should hear of it before loading it with PyTorch. So the names of all that is imported are compared with a list of what
//! checkpoints need, as `torch.load` does with `weights_only`, which is somewhat stricter: constructors of plain data, and of tensors.

use crate::error::{Error, Result};

/// (module, names; empty for all of them)
const HARMLESS: &[(&str, &[&str])] = &[
    ("collections", &["OrderedDict", "defaultdict", "Counter", "deque"]),
    ("builtins", PLAIN),
    ("__builtin__", PLAIN),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    ("torch._utils", REBUILT),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch", &["Size", "Tensor", "device"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.dtypes", &[]),
    ("pathlib", PATHS),
    ("pathlib._local", PATHS),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
    ("uuid", &["UUID", "SafeUUID"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("ipaddress", &["IPv4Address", "IPv6Address"]),
    ("zoneinfo", &["ZoneInfo"]),
    ("array", &["array", "_array_reconstructor"]),
];
const PLAIN: &[&str] = &[
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "int",
    "float",
    "bool",
    "str",
    "bytes",
    "bytearray",
    "complex",
    "slice",
    "range",
    "xrange",
    "object",
    "long",
    "unicode",
    "type",
    "NoneType",
    "ellipsis",
    "Ellipsis",
    "NotImplementedType",
    "memoryview",
];
const REBUILT: &[&str] =
    &["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_parameter_with_state"];
const PATHS: &[&str] = &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"];
/// Whether `torch` has this as an attribute of itself that is only data: element types (new ones come with every version: `float8_e4m3fn`,
/// `uint16`, `quint4x2`), memory layouts and formats, quantisation schemes.
fn is_attribute(name: &str) -> bool {
    const WORDS: [&str; 14] =
        ["float", "double", "half", "bool", "long", "int", "short", "char", "byte", "cfloat", "cdouble", "chalf", "strided", "jagged"];
    const TYPES: [&str; 8] = ["float", "bfloat", "uint", "int", "complex", "quint", "qint", "bits"];
    const ENDS: [&str; 3] = ["_format", "_affine", "_symmetric"];
    let number = |kind: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    WORDS.contains(&name)
        || TYPES.iter().any(|kind| number(kind))
        || ENDS.iter().any(|end| name.ends_with(end))
        || name.starts_with("sparse_")
        || matches!(name, "channels_last" | "channels_last_3d")
}

pub(super) const REMEDY: &str = "nothing in it was executed; don't load it with PyTorch unless you know who wrote it. A checkpoint of your own \
                                 can be saved again with tensors only: torch.save({\"state_dict\": model.state_dict()}, path)";

/// That `module.name` is harmless.
///
/// # Errors
/// It is not on the list.
pub(super) fn allow(module: &str, name: &str) -> Result<()> {
    let listed = |&(known, names): &(&str, &[&str])| known == module && (names.is_empty() || names.contains(&name));
    if HARMLESS.iter().any(listed) || (module == "torch" && (name.ends_with("Storage") || is_attribute(name))) {
        return Ok(());
    }
    if module.starts_with("torch.") && name.starts_with("_rebuild") {
        return Err(Error::new(format!("it holds tensors of a kind that isn't supported (`{module}.{name}`)"))
            .remedy("save plain tensors: neither sparse, nor quantised, nor of a subclass"));
    }
    Err(Error::new(format!("this checkpoint wants to run code: it calls `{module}.{name}` when it is loaded")).remedy(REMEDY))
}
