//! What happens to the student's files.

use std::fs;

use ferroce_labs::{COURSE, Folder, LabError};

use crate::classroom::{Classroom, scratch, solution};

#[test]
fn work_is_never_overwritten() {
    let room = Classroom::new("packet-by-hand");
    room.write("my work");
    assert!(matches!(room.folder.start(room.lab), Err(LabError::Exists(_))));
    assert_eq!(fs::read_to_string(room.folder.file(room.lab)).unwrap(), "my work");

    let first = room.folder.reset(room.lab).unwrap();
    room.write("more work");
    let second = room.folder.reset(room.lab).unwrap();
    assert_eq!(fs::read_to_string(first).unwrap(), "my work");
    assert_eq!(fs::read_to_string(second).unwrap(), "more work");
    assert_eq!(fs::read_to_string(room.folder.file(room.lab)).unwrap(), room.lab.starter);
}

#[test]
fn progress_lasts_until_the_lab_is_reset() {
    let room = Classroom::new("packet-by-hand");
    room.write(&solution("packet-by-hand"));
    room.check(1);
    let (again, _) = Folder::find(room.folder.path()).unwrap();
    assert!(again.progress(room.lab).unwrap().is_done(room.lab));
    room.folder.reset(room.lab).unwrap();
    assert!(again.progress(room.lab).unwrap().passed.is_empty());
}

#[test]
fn names_that_are_not_known_keep_their_progress() {
    let room = Classroom::new("packet-by-hand");
    let record = room.folder.path().join(".ferroce/progress.json");
    fs::write(&record, r#"{"a-lab-of-next-year": {"passed": ["one"], "hints": {}}}"#).unwrap();
    room.check(1);
    assert!(fs::read_to_string(&record).unwrap().contains("a-lab-of-next-year"));
}

#[test]
fn the_folder_is_found_from_within_a_lab() {
    let room = Classroom::new("packet-by-hand");
    let (found, lab) = Folder::find(&room.folder.path().join("packet-by-hand")).unwrap();
    assert_eq!((found.path(), lab.as_deref()), (room.folder.path(), Some("packet-by-hand")));
    let (_, lab) = Folder::find(room.folder.path()).unwrap();
    assert_eq!(lab, None);
}

#[test]
fn a_folder_of_something_else_is_no_folder_of_labs() {
    let path = scratch();
    fs::create_dir_all(&path).unwrap();
    assert!(matches!(Folder::find(&path), Err(LabError::NoFolder(_))));
    fs::remove_dir(&path).unwrap();
}

#[test]
fn names_are_unique_and_texts_name_only_what_there_is() {
    for (at, lab) in COURSE.iter().enumerate() {
        assert!(COURSE[..at].iter().all(|other| other.name != lab.name));
        assert!(lab.text.starts_with(&format!("# {}\n", lab.title)), "{}", lab.name);
        assert!(lab.text.contains(&format!("`{}`", lab.file)), "{}", lab.name);
        for (at, step) in lab.steps.iter().enumerate() {
            assert!(lab.steps[..at].iter().all(|other| other.name != step.name));
            assert!(lab.text.contains(&format!("| `{}` |", step.name)), "{} {}", lab.name, step.name);
            assert!(!step.hints.is_empty(), "{} {}", lab.name, step.name);
        }
    }
}
