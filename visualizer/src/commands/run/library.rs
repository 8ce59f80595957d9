//! Where the library is that stands in for libibverbs and librdmacm.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The library's file, as Cargo calls it.
const NAME: &str = "libferroce_verbs.so";

/// Finds it: where `FERROCE_LIBRARY` says, beside the command, where Cargo puts it, or in the `lib` beside the
/// command's `bin`.
pub(crate) fn find() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("FERROCE_LIBRARY").map(PathBuf::from) {
        return match path.is_file() {
            true => Ok(path),
            false => Err(missing(&[path], "correct or unset FERROCE_LIBRARY")),
        };
    }
    let command = env::current_exe().and_then(|path| path.canonicalize()).map_err(|error| {
        Failure::new(format_args!("cannot find out where ferroce is: {error}"), "set FERROCE_LIBRARY")
    })?;
    let places = places(&command);
    let found = places.iter().find(|path| path.is_file()).cloned();
    found.ok_or_else(|| {
        let profile =
            if command.parent().is_some_and(|bin| bin.ends_with("release")) { " --release" } else { "" };
        missing(&places, &format!("build it with `cargo build{profile} -p ferroce-cabi`"))
    })
}

/// Where it can be for a command at this path.
fn places(command: &Path) -> Vec<PathBuf> {
    let Some(bin) = command.parent() else { return Vec::new() };
    let beside = bin.join(NAME);
    // Tests are run from `deps`.
    let above = bin.parent().map(|above| above.join(NAME));
    let installed = bin.parent().map(|above| above.join("lib/ferroce").join(NAME));
    [Some(beside), above, installed].into_iter().flatten().collect()
}

fn missing(places: &[PathBuf], next: &str) -> Failure {
    let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    Failure::new(format_args!("there is no {NAME}; looked for {}", places.join(", ")), next)
}
