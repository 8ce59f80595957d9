//! The library that turns ordinary sockets into sockets over RDMA.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Directories of libraries, in which or below which it lies.
const PLACES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

const NAME: &str = "rsocket/librspreload.so";

/// Finds the preload library of librdmacm.
pub(super) fn find() -> Result<PathBuf, Failure> {
    let found = PLACES.iter().find_map(|place| below(Path::new(place)));
    found.ok_or_else(|| {
        Failure::new(
            format_args!("there is no {NAME} in {}", PLACES.join(", ")),
            "install it; Debian has it in the package librdmacm1",
        )
    })
}

/// In the directory, or in one for this architecture below it.
fn below(place: &Path) -> Option<PathBuf> {
    let own = std::iter::once(place.to_owned());
    let deeper = fs::read_dir(place).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    own.chain(deeper).map(|directory| directory.join(NAME)).find(|path| path.is_file())
}
