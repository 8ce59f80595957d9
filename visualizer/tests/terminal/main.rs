//! The program in a real terminal, as its users have it: tmux, keys, and what is to be seen then.
//!
//! The screens of the most usual tasks are kept as text files beside this one. Where a change is wanted,
//! `FERROCE_BLESS=1 cargo test -p ferroce-visualizer --test terminal` writes them anew; look at them before committing.

mod terminal;

use std::process::{Child, Command, Stdio};

use ferroce_visualizer::tui::on_terminal;
use terminal::{Terminal, has_tmux};

const LOST: &str = "replay tests/data/recordings/lost-packet.frec";
const REFUSED: &str = "replay tests/data/recordings/refused.json";
const CAPTURE: &str = "replay tests/data/captures/loss_rc_send_5000.pcap";

/// Presses these keys, one after the other, and waits for the screen that is kept under this name.
fn task(terminal: &Terminal, keys: &[&str], screen: &str) {
    terminal.press(keys);
    terminal.wait_for_screen(screen);
}

/// Ends the program; the terminal is as it was before.
fn quit(terminal: &Terminal) {
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    assert!(!terminal.is_alternate(), "the terminal is as it was before");
    terminal.wait_for_cursor();
}

#[test]
fn what_was_lost_and_what_the_sender_did() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run(LOST, 80, 24);
    task(&terminal, &[], "opened");
    task(&terminal, &["d"], "which-was-lost");
    task(&terminal, &["r"], "what-the-sender-did");
    task(&terminal, &["3"], "packet-opened");
    task(&terminal, &["g", "2", "/", "completes", "Enter"], "event-found");
    task(&terminal, &[":", "50%", "Enter", "h", "h", "1"], "back-again");
    task(&terminal, &["g", "d", "v", "9"], "past-changed");
    task(&terminal, &["?"], "keys");
    terminal.press(&["?"]);
    quit(&terminal);
}

#[test]
fn why_a_queue_pair_died_and_who_touched_which_bytes() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run(REFUSED, 80, 24);
    task(&terminal, &["G", "8"], "why-it-died");
    task(&terminal, &["5"], "memory-denied");
    quit(&terminal);
}

#[test]
fn a_capture_of_real_traffic() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run(CAPTURE, 120, 40);
    terminal.wait_for("loss_rc_send_5000.pcap");
    task(&terminal, &["r"], "capture-resent");
    quit(&terminal);
    let terminal = Terminal::run("explain --limit 3 tests/data/captures/loss_read_bw.pcap", 80, 40);
    task(&terminal, &[], "capture-explained");
}

#[test]
fn a_switch_in_an_incast() {
    if !has_tmux() {
        return;
    }
    let terminal = Terminal::run("replay incast", 120, 30);
    terminal.wait_for("incast");
    task(&terminal, &["6", ":", "1%", "Enter"], "switch-in-an-incast");
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn nics_that_run_are_listed_disturbed_and_recorded() {
    if !has_tmux() {
        return;
    }
    let place = std::env::temp_dir().join(format!("ferroce-terminal-top-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&place, mode).unwrap();
    let program = env!("CARGO_BIN_EXE_ferroce");
    let mut demo = Command::new(program);
    demo.args(["demo", "--plain", "--seconds", "600", "--messages", "3"]).env("FERROCE_RUNTIME_DIR", &place);
    let _demo = Running(demo.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let line = format!("cd {0}; FERROCE_RUNTIME_DIR={0} '{program}' top", place.display());
    let terminal = Terminal::run_program(&line, 80, 24);
    terminal.wait_for("127.");
    terminal.press(&["f"]);
    terminal.wait_for("faults");
    terminal.press(&["f", "j", "r"]);
    terminal.wait_for(".frec");
    terminal.press(&["r"]);
    quit(&terminal);
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    if !has_tmux() {
        return;
    }
    for (program, words) in [(LOST, "PAUSED"), ("demo", "q quit"), ("top", "q quit")] {
        let terminals = ["TERM", "INT", "HUP", "C-c"].map(|end| (end, Terminal::run(program, 80, 24)));
        for (end, terminal) in terminals {
            terminal.wait_for(words);
            assert!(terminal.is_alternate());
            match end {
                "C-c" => terminal.press(&[end]),
                signal => terminal.signal(signal),
            }
            terminal.wait_for("ended with");
            assert!(!terminal.is_alternate(), "{program} after {end}");
            terminal.wait_for_cursor();
        }
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

const PANICS: &str = "FERROCE_TEST_PANICS";

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    if std::env::var_os(PANICS).is_some() {
        // In the terminal of the test below.
        on_terminal::<()>(|terminal| {
            terminal.draw(|frame| {
                frame.buffer_mut().set_string(0, 0, "drawn before", ratatui::style::Style::new())
            })?;
            std::io::stdin().read_line(&mut String::new())?;
            panic!("on purpose");
        })
        .unwrap();
    }
    if !has_tmux() {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "--exact a_panic_leaves_the_terminal_as_it_was --nocapture";
    let terminal =
        Terminal::run_program(&format!("RUST_BACKTRACE=0 {PANICS}=1 '{}' {test}", this.display()), 80, 24);
    terminal.wait_for("drawn before");
    assert!(terminal.is_alternate());
    terminal.press(&["C-j"]);
    terminal.wait_for("ended with 101");
    assert!(!terminal.is_alternate());
    terminal.wait_for_cursor();
    // What was there before, and the message below it.
    let screen = terminal.screen();
    assert!(screen.contains("on purpose") && !screen.contains("drawn before"), "{screen}");
}
