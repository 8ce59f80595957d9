//! The student's folder: one subfolder per lab, and a hidden one for progress and what is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::course::Lab;
use crate::error::LabError;

/// A folder in which a student does labs.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// How far a student is with one lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Names of the steps that the last check passed.
    pub passed: BTreeSet<String>,
    /// How many hints of each step were shown.
    pub hints: BTreeMap<String, usize>,
}

impl Progress {
    /// Whether every step is passed.
    pub fn is_done(&self, lab: &Lab) -> bool {
        lab.steps.iter().all(|step| self.passed.contains(step.name))
    }
}

/// Progress of all labs by name. Names that this version does not know are kept.
type Record = BTreeMap<String, Progress>;

const HIDDEN: &str = ".ferroce";
const RECORD: &str = "progress.json";

impl Folder {
    /// Makes `root` a folder of labs; nothing happens if it is one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(root: &Path) -> Result<Folder, LabError> {
        fs::create_dir_all(root).map_err(LabError::io("make the folder", root))?;
        let folder = Folder { root: absolute(root)? };
        let hidden = folder.hidden();
        fs::create_dir_all(&hidden).map_err(LabError::io("make the folder", &hidden))?;
        if !hidden.join(RECORD).exists() {
            folder.write_record(&Record::new())?;
        }
        Ok(folder)
    }

    /// The folder of labs that `path` is, or lies in. Also says which lab's folder `path` lies in.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(path: &Path) -> Result<(Folder, Option<String>), LabError> {
        let path = absolute(path)?;
        let root = path.ancestors().find(|dir| dir.join(HIDDEN).join(RECORD).is_file());
        let root = root.ok_or_else(|| LabError::NoFolder(path.clone()))?.to_owned();
        let below = path.strip_prefix(&root).ok().and_then(|below| below.iter().next());
        let lab = below.and_then(|name| name.to_str()).map(str::to_owned);
        Ok((Folder { root }, lab))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder as the user would type it here in a shell.
    pub fn shown(&self) -> String {
        self.shown_file(&self.root)
    }

    /// What the user types here behind `ferroce lab check` and the like to mean `lab`, with a blank before it: nothing in the
    /// lab's own folder.
    pub fn shown_lab(&self, lab: &Lab) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        match here.starts_with(self.lab(lab)) {
            true => String::new(),
            false => format!(" {} {}", self.shown(), lab.name),
        }
    }

    /// A path in the folder, likewise.
    pub(crate) fn shown_file(&self, path: &Path) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let path = match (path.strip_prefix(&here), here.strip_prefix(&self.root)) {
            (Ok(below), _) if below.as_os_str().is_empty() => ".".to_owned(),
            (Ok(below), _) => below.display().to_string(),
            // Up to the folder and down again is shorter than a path from the root of all.
            (_, Ok(down)) => {
                let up = "../".repeat(down.iter().count());
                let below = path.strip_prefix(&self.root).unwrap_or(path);
                format!("{up}{}", below.display()).trim_end_matches('/').to_owned()
            }
            _ => path.display().to_string(),
        };
        let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c));
        if is_plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
    }

    /// The file of `lab` that the student edits.
    pub fn file(&self, lab: &Lab) -> PathBuf {
        self.lab(lab).join(lab.file)
    }

    /// Whether `lab` has been started here.
    pub fn has(&self, lab: &Lab) -> bool {
        self.file(lab).is_file()
    }

    /// Writes text and starter of `lab`.
    ///
    /// # Errors
    /// When the student's file is there already, or the files cannot be written.
    pub fn start(&self, lab: &Lab) -> Result<(), LabError> {
        let file = self.file(lab);
        if file.exists() {
            return Err(LabError::Exists(file));
        }
        let dir = self.lab(lab);
        fs::create_dir_all(&dir).map_err(LabError::io("make the folder", &dir))?;
        let text = dir.join("README.md");
        fs::write(&text, lab.text).map_err(LabError::io("write", &text))?;
        for (name, source) in lab.modules {
            let path = dir.join(lab.language.file_of(name));
            fs::write(&path, source).map_err(LabError::io("write", &path))?;
        }
        fs::write(&file, lab.starter).map_err(LabError::io("write", &file))
    }

    /// Writes the starter of `lab` anew and forgets its progress. The student's file is kept under the name
    /// returned.
    ///
    /// # Errors
    /// When the lab was not started, or files cannot be written.
    pub fn reset(&self, lab: &Lab) -> Result<PathBuf, LabError> {
        self.must_have(lab)?;
        let file = self.file(lab);
        let ending = file.extension().unwrap_or_default().to_string_lossy().into_owned();
        let kept = (1..).map(|n| file.with_extension(format!("{ending}.{n}"))).find(|path| !path.exists());
        let kept = kept.expect("some number is free");
        fs::rename(&file, &kept).map_err(LabError::io("rename", &file))?;
        self.start(lab)?;
        self.record(lab, |progress| *progress = Progress::default())?;
        Ok(kept)
    }

    /// How far the student is with `lab`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn progress(&self, lab: &Lab) -> Result<Progress, LabError> {
        Ok(self.read_record()?.remove(lab.name).unwrap_or_default())
    }

    /// Changes what is recorded of `lab`.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn record<R>(&self, lab: &Lab, change: impl FnOnce(&mut Progress) -> R) -> Result<R, LabError> {
        let mut record = self.read_record()?;
        let result = change(record.entry(lab.name.to_owned()).or_default());
        self.write_record(&record)?;
        Ok(result)
    }

    pub(crate) fn must_have(&self, lab: &Lab) -> Result<(), LabError> {
        if self.has(lab) {
            return Ok(());
        }
        Err(LabError::NotStarted { lab: lab.name, folder: self.root.clone() })
    }

    /// Where the student's file of `lab` lies.
    pub(crate) fn lab(&self, lab: &Lab) -> PathBuf {
        self.root.join(lab.name)
    }

    /// Where progress is kept and programs are built.
    pub(crate) fn hidden(&self) -> PathBuf {
        self.root.join(HIDDEN)
    }

    /// Where the run is recorded that the last check of `lab` failed in.
    pub(crate) fn recording(&self, lab: &Lab, ending: &str) -> PathBuf {
        self.hidden().join(lab.name).join("failed").with_extension(ending)
    }

    fn read_record(&self) -> Result<Record, LabError> {
        let path = self.hidden().join(RECORD);
        let text = fs::read(&path).map_err(LabError::io("read", &path))?;
        serde_json::from_slice(&text).map_err(|error| LabError::Record { path, error })
    }

    /// Writes beside the file and renames, so that an interrupted write loses nothing.
    fn write_record(&self, record: &Record) -> Result<(), LabError> {
        let path = self.hidden().join(RECORD);
        let text = serde_json::to_string_pretty(record).expect("strings and numbers");
        let new = path.with_extension("new");
        fs::write(&new, text + "\n").map_err(LabError::io("write", &new))?;
        fs::rename(&new, &path).map_err(LabError::io("write", &path))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, LabError> {
    path.canonicalize().map_err(LabError::io("open", path))
}
