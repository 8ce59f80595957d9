//! A student's folder with one lab of another language than Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    C,
    Python,
}

/// Whether this computer has what the labs need. In CI it must.
pub(crate) fn needed(language: Language) -> bool {
    let (has, packages) = match language {
        Language::C => {
            let headers =
                ["infiniband/verbs.h", "rdma/rdma_cma.h"].map(|name| Path::new("/usr/include").join(name));
            let compiler = Command::new("cc").arg("--version").output().is_ok();
            (compiler && headers.iter().all(|header| header.exists()), "gcc libibverbs-dev librdmacm-dev")
        }
        Language::Python => {
            let look = Command::new("/usr/bin/python3").args(["-c", "import pyverbs.device"]).output();
            (look.is_ok_and(|output| output.status.success()), "python3-pyverbs")
        }
    };
    let library = PathBuf::from(env!("CARGO_BIN_EXE_ferroce")).with_file_name("libferroce_verbs.so");
    let missing = match (has, library.exists()) {
        (true, true) => return true,
        (false, _) => format!("Debian packages {packages}"),
        (true, false) => "the library: cargo build -p ferroce-cabi".to_owned(),
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing {missing}");
    eprintln!("SKIPPED, missing {missing}");
    false
}

/// How many seeds each file is checked with.
pub(crate) fn seeds() -> usize {
    std::env::var("LABS_SEEDS").ok().map_or(1, |text| text.parse().expect("LABS_SEEDS is a number"))
}

/// Whether a line of a failed check tells of a call that failed.
fn is_panic(line: &serde_json::Value) -> bool {
    line["label"] == "Panic"
}

pub(crate) struct Room {
    lab: &'static str,
    folder: PathBuf,
}

impl Room {
    /// Starts a lab in a folder of its own.
    pub(crate) fn start(lab: &'static str) -> Room {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default().replace("::", "-");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tracks").join(test).join(lab);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let room = Room { lab, folder };
        assert!(room.ferroce(&["lab", "start", ".", lab]).status.success());
        room
    }

    /// Puts the solution with one place changed into the student's file; none if `from` is empty.
    pub(crate) fn solve(&self, from: &str, to: &str) {
        let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/course");
        let (name, language, ending) = match self.lab.strip_suffix("-c") {
            Some(name) => (name, "c", "c"),
            None => (self.lab.strip_suffix("-python").expect("a lab of a track"), "python", "py"),
        };
        let solution = course.join(language).join(name).join("solution").with_extension(ending);
        let solution = fs::read_to_string(solution).unwrap();
        assert!(from.is_empty() || solution.matches(from).count() == 1, "'{from}' must name one place");
        let text = if from.is_empty() { solution } else { solution.replace(from, to) };
        fs::write(self.file(ending), text).unwrap();
    }

    /// The student's file: the one with this ending that is not the lab's own.
    fn file(&self, ending: &str) -> PathBuf {
        let files = fs::read_dir(self.folder.join(self.lab)).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| path.extension().is_some_and(|found| found == ending));
        files.find(|path| path.file_stem().is_some_and(|stem| stem != "lab")).expect("a file to edit")
    }

    /// Checks, and gives the rule that was broken, or "panic" where a call failed; `None` if the lab is passed.
    pub(crate) fn broken_rule(&self) -> Option<String> {
        let output = self.ferroce(&["lab", "check", ".", self.lab, "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        match said["verdict"].as_str() {
            Some("passed") => None,
            _ if said["lines"].as_array().is_some_and(|lines| lines.iter().any(is_panic)) => {
                Some("panic".to_owned())
            }
            _ => Some(said["rule"].as_str().map_or_else(|| said.to_string(), str::to_owned)),
        }
    }

    /// What a check says.
    pub(crate) fn check(&self) -> String {
        String::from_utf8(self.ferroce(&["lab", "check", ".", self.lab]).stdout).unwrap()
    }

    /// What a command of `ferroce` prints.
    pub(crate) fn run(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        String::from_utf8(self.ferroce(&words).stdout).unwrap()
    }

    fn ferroce(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ferroce")).args(args).current_dir(&self.folder).output().unwrap()
    }
}
