//! `ferroce lab grade`: right marks for all, whatever they have handed in, and nothing that gets out.

mod submissions;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use submissions::{SUBMISSIONS, solution};

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("grade").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn grade(dir: &Path, args: &[&str]) -> Output {
    let mut ferroce = Command::new(env!("CARGO_BIN_EXE_ferroce"));
    ferroce.args(["lab", "grade"]).arg(dir).args(["--json", "marks.json", "--csv", "marks.csv"]).args(args);
    ferroce.current_dir(dir.parent().unwrap()).output().unwrap()
}

/// Processes whose command line has these words.
fn running(words: &str) -> usize {
    let lines = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(words)).count()
}

#[test]
fn thirty_submissions_get_the_marks_that_they_deserve() {
    let room = scratch("thirty");
    let dir = room.join("submissions");
    for (name, text, ..) in SUBMISSIONS {
        fs::create_dir_all(dir.join(name)).unwrap();
        let text = text(&room.join("loot").display().to_string());
        fs::write(dir.join(name).join("packet.rs"), text).unwrap();
    }
    for name in ["link", "nothing", "folder"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/course/packet-by-hand");
    symlink(course.join("solution.rs"), dir.join("link/packet.rs")).unwrap();
    fs::create_dir_all(dir.join("folder/packet-by-hand/packet.rs")).unwrap();
    let honest = dir.join("as-started/packet-by-hand");
    fs::create_dir_all(&honest).unwrap();
    fs::write(honest.join("packet.rs"), solution()).unwrap();

    let output = grade(&dir, &["--lab", "packet-by-hand", "--seeds", "1"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let csv = fs::read_to_string(room.join("marks.csv")).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(room.join("marks.json")).unwrap()).unwrap();
    assert_eq!(json["students"].as_array().unwrap().len(), 30);

    let others = [("link", 0, "is no file"), ("nothing", 0, "not handed in"), ("folder", 0, "is no file")];
    let others = others.into_iter().chain([("as-started", 4, "")]);
    let wanted = SUBMISSIONS.iter().map(|&(name, _, passed, words)| (name, passed, words)).chain(others);
    for (name, passed, words) in wanted {
        assert!(
            csv.contains(&format!("\n{name},packet-by-hand,{passed},4,")),
            "{name}: not {passed} in\n{csv}"
        );
        let student =
            json["students"].as_array().unwrap().iter().find(|student| student["name"] == name).unwrap();
        let mark = &student["marks"][0];
        let message = mark["message"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(message.contains(words), "{name}: no '{words}' in\n{message}");
        assert!(mark["fault"].is_null(), "{name}: {mark}");
    }
    // What the kernel does not offer cannot hold; the command has said so.
    if json["walls"]["files"] == true {
        assert!(!room.join("loot").exists(), "something was written outside");
    }
    if json["walls"]["processes"] == true {
        assert_eq!(running("sleep 98765"), 0, "something still runs");
    }
}

#[test]
fn marks_do_not_depend_on_how_many_are_checked_at_once() {
    let room = scratch("order");
    let dir = room.join("submissions");
    for (name, text, ..) in SUBMISSIONS.iter().filter(|(name, ..)| name.starts_with("wrong")) {
        fs::create_dir_all(dir.join(name)).unwrap();
        fs::write(dir.join(name).join("packet.rs"), text("")).unwrap();
    }
    let marks = |jobs: &str| {
        assert!(grade(&dir, &["--seed", "4", "--jobs", jobs]).status.success());
        fs::read_to_string(room.join("marks.json")).unwrap()
    };
    assert_eq!(marks("1"), marks("3"));
}
