//! Where the processes of one user find each other.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use nix::unistd::Uid;

use crate::error::NetError;

/// Names another directory.
const VARIABLE: &str = "FERROCE_RUNTIME_DIR";

/// The directory in which Ferroce's processes of this user find each other, made if it is not there:
/// `/tmp/ferroce-UID`, or what the environment variable `FERROCE_RUNTIME_DIR` names. Nobody else may enter it.
///
/// It is the same however a process was started. That is why it is not below `XDG_RUNTIME_DIR`, which a
/// process has when it was started from a login session, and another of the same user has not.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else or is open to others.
pub fn runtime_directory() -> Result<PathBuf, NetError> {
    let owner = Uid::effective();
    let path = std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(format!("/tmp/ferroce-{owner}")), PathBuf::from);
    let wrong = |why: String| NetError::Directory { path: path.clone(), why };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error.to_string())),
        _ => {}
    }
    // Not following a symbolic link: whoever made one could lead us anywhere.
    let found = path.symlink_metadata().map_err(|error| wrong(error.to_string()))?;
    if !found.is_dir() {
        return Err(wrong("it is not a directory".to_owned()));
    }
    if found.uid() != owner.as_raw() {
        return Err(wrong(format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(wrong(format!("others may enter it (its mode is {:o})", found.mode() & 0o777)));
    }
    Ok(path)
}
