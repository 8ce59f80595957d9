//! Commands that pages show are run, and print what the pages show.
//!
//! A block of language `console` is a session: lines with `$ ` are commands for bash, the lines after each are
//! what it prints. A line `...` stands for any number of lines, `[..]` for anything within a line. The sessions
//! of a page are one shell, at the top of the repository, with an empty home and `ferroce` on the path. Blocks
//! of language `sh` are not run: they need the network, or a terminal.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn commands_print_what_the_pages_show() {
    let book = ferroce_book::folder();
    let root = book.parent().unwrap();
    let bin = build_ferroce(root);
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    let mut ran = 0;
    for entry in fs::read_dir(book.join("src")).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let commands = sessions(&fs::read_to_string(&page).unwrap());
        let printed = run(&commands, root, &bin, &home);
        for (at, (command, expected)) in commands.iter().enumerate() {
            let seen = printed.get(at).map_or("(did not get here)", String::as_str);
            let matches = is_like(&expected.lines().collect::<Vec<_>>(), &seen.lines().collect::<Vec<_>>());
            assert!(matches, "{}: $ {command}\n--- shown\n{expected}\n--- printed\n{seen}", page.display());
            ran += 1;
        }
    }
    fs::remove_dir_all(&home).unwrap();
    assert!(ran > 0, "the book shows no commands");
}

/// Builds the program under test and returns the folder that it is in.
fn build_ferroce(root: &Path) -> PathBuf {
    // This test is in TARGET/PROFILE/deps.
    let profile = env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "ferroce-visualizer", "--bin", "ferroce"]).current_dir(root);
    cargo.args(if profile.ends_with("release") { &["--release"][..] } else { &[] });
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(cargo.status().unwrap().success(), "ferroce does not build");
    profile
}

/// The commands of a page, each with what it prints.
fn sessions(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in blocks.flat_map(|(block, _)| block.lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), String::new())),
            None => {
                let (_, output) = commands.last_mut().expect("a session begins with a command");
                output.push_str(line);
                output.push('\n');
            }
        }
    }
    commands
}

/// Runs the commands in one shell; returns what each printed.
fn run(commands: &[(String, String)], root: &Path, bin: &Path, home: &Path) -> Vec<String> {
    const MARK: &str = "=== end of a command ===";
    let script: String = commands.iter().map(|(command, _)| format!("{command}\necho '{MARK}'\n")).collect();
    let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(root);
    // rustup finds its toolchain through the real home.
    let rustup = env::var_os("RUSTUP_HOME").map_or_else(|| home_of_user().join(".rustup"), PathBuf::from);
    bash.env("HOME", home).env("PATH", path).env("RUSTUP_HOME", rustup).env("NO_COLOR", "1");
    let output = bash.output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts: Vec<String> = text.split(&format!("{MARK}\n")).map(str::to_owned).collect();
    parts.pop();
    parts
}

fn home_of_user() -> PathBuf {
    env::var_os("HOME").map(PathBuf::from).unwrap_or_default()
}

/// Whether lines are as a page shows them.
fn is_like(shown: &[&str], seen: &[&str]) -> bool {
    match shown.split_first() {
        None => seen.is_empty(),
        Some((&"...", rest)) => (0..=seen.len()).any(|skipped| is_like(rest, &seen[skipped..])),
        Some((line, rest)) => seen.split_first().is_some_and(|(first, others)| {
            is_line_like(line.trim_end(), first.trim_end()) && is_like(rest, others)
        }),
    }
}

fn is_line_like(shown: &str, seen: &str) -> bool {
    let Some((start, rest)) = shown.split_once("[..]") else { return shown == seen };
    let Some(after) = seen.strip_prefix(start) else { return false };
    (0..=after.len()).filter(|&at| after.is_char_boundary(at)).any(|at| is_line_like(rest, &after[at..]))
}
