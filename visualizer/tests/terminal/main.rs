//! The program in a real terminal, as its users have it: tmux, keys, and what is to be seen then.

mod terminal;

use terminal::{Terminal, has_tmux};

const LOST: &str = "replay tests/data/recordings/lost-packet.frec";

/// Presses these keys, one after the other, and waits for these words.
fn task(terminal: &Terminal, keys: &[&str], words: &str) {
    terminal.press(keys);
    terminal.wait_for(words);
}

#[test]
fn what_was_lost_and_what_the_sender_did() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run(LOST, 80, 24);
    terminal.wait_for("lost-packet.frec");
    task(&terminal, &["d"], "e12/");
    task(&terminal, &["a"], "NAK sequence 011");
    task(&terminal, &["r"], "went back last because");
    task(&terminal, &["3"], "BTH OpCode");
    task(&terminal, &["D", "2"], "[2 Events]");
    task(&terminal, &["v", "9"], ">changed");
    task(&terminal, &["g", "2", "/", "completes", "Enter"], "completes request");
    task(&terminal, &["?"], "Next packet sent again");
    terminal.press(&["?", "q"]);
    terminal.wait_for("ended with 0");
    assert!(!terminal.is_alternate(), "the terminal is as it was before");
}

#[test]
fn why_a_queue_pair_died_and_who_touched_which_bytes() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run("replay tests/data/recordings/refused.json", 80, 24);
    terminal.wait_for("refused.json");
    task(&terminal, &["G", "8"], "went from RTS to ERR");
    task(&terminal, &["5"], "DENIED");
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
}

#[test]
fn a_switch_in_an_incast() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run("replay incast", 120, 30);
    terminal.wait_for("incast");
    terminal.press(&["6", ":", "1%", "Enter"]);
    task(&terminal, &[], "switch to host15");
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    if !has_tmux() {
        return;
    }
    for (signal, keys) in [("TERM", None), ("INT", Some("C-c"))] {
        let terminal = Terminal::run(LOST, 80, 24);
        terminal.wait_for("PAUSED");
        assert!(terminal.is_alternate());
        match keys {
            Some(keys) => terminal.press(&[keys]),
            None => terminal.signal(signal),
        }
        terminal.wait_for("ended with");
        assert!(!terminal.is_alternate(), "after {signal}");
        terminal.wait_for_cursor();
    }
}

#[test]
fn a_lab_is_watched_in_a_plain_terminal() {
    if !has_tmux() {
        return;
    }
    let folder =
        std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("watch-{}", std::process::id()));
    let (dir, ferroce) = (folder.display(), env!("CARGO_BIN_EXE_ferroce"));
    let watch = format!(
        "lab start '{dir}' psn > /dev/null; NO_COLOR=1 '{ferroce}' lab watch '{dir}' psn; NO_COLOR=1 '{ferroce}' lab list '{dir}' | grep psn"
    );
    let terminal = Terminal::run(&watch, 80, 24);
    terminal.wait_for("waiting until you save responder.rs");
    let screen = terminal.screen();
    assert!(screen.contains("FAIL    psn, step 1 of 4") && screen.contains("(psn.wraps"), "{screen}");
    assert!(terminal.is_plain(), "there are colours although NO_COLOR is set");
    let solution = concat!(env!("CARGO_MANIFEST_DIR"), "/../labs/course/psn/solution.rs");
    std::fs::copy(solution, folder.join("psn/responder.rs")).unwrap();
    terminal.wait_for("PASS    psn");
    terminal.wait_for("passed");
    terminal.wait_for("ended with 0");
    let _ = std::fs::remove_dir_all(&folder);
}
