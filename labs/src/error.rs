//! Why something could not be done at all.

use std::io;
use std::path::PathBuf;

/// Why a lab could not be started, checked or reset. A check that fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Neither the folder nor one above it was made by `ferroce lab start`.
    #[error("{0} is no folder of labs")]
    NoFolder(PathBuf),
    /// The lab has not been started in this folder.
    #[error("lab {lab} has not been started in {folder}")]
    NotStarted {
        /// Name of the lab.
        lab: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// Starting would overwrite the student's work.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// The record of progress is damaged.
    #[error("cannot read {path}: {error}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// There is no Rust compiler.
    #[error("cannot run the Rust compiler '{command}': {error}")]
    Compiler {
        /// What was tried.
        command: String,
        /// What came of it.
        error: io::Error,
    },
    /// What a lab in another language needs is not installed.
    #[error("this lab needs Debian packages: {0}")]
    Packages(&'static str),
    /// The helper that shuts programs in did not say what it can do.
    #[error("programs cannot be shut in: {0}")]
    Helper(String),
    /// A file or program of the computer did not do as it should.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried, as in "write".
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
}

impl LabError {
    /// Makes an I/O error of `what` with `path`; for `map_err`.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LabError {
        let path = path.into();
        move |error| LabError::Io { what, path, error }
    }
}
